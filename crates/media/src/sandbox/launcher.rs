//! The thread that starts all child processes. It lives as long as this process, because a child ends with the thread
//! that started it.

use std::io;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use super::process::Child;
use super::spawn::Launch;

/// What to start, and where to send the result.
type Request = (Launch, mpsc::SyncSender<io::Result<Child>>);

/// Starts a child on that thread, which starts one after another.
pub(super) fn start(launch: Launch) -> io::Result<Child> {
    static LAUNCHER: Mutex<Option<mpsc::Sender<Request>>> = Mutex::new(None);
    let (sender, child) = mpsc::sync_channel(1);
    {
        let mut launcher = LAUNCHER.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = match launcher.take() {
            Some(requests) => requests,
            None => start_thread()?,
        };
        let sent = requests.send((launch, sender));
        // If the thread has ended, the next call starts another.
        if sent.is_ok() {
            *launcher = Some(requests);
        }
    }
    child.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that starts it is gone")))
}

fn start_thread() -> io::Result<mpsc::Sender<Request>> {
    let (requests, queue) = mpsc::channel::<Request>();
    let run = move || {
        for (launch, reply) in queue {
            // If nobody waits for the child any more, it is dropped, which ends it.
            let _ = reply.send(launch.start());
        }
    };
    thread::Builder::new().name("launcher".to_owned()).spawn(run)?;
    Ok(requests)
}

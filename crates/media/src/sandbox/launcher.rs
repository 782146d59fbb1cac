//! The thread that starts all children. It lives as long as this process, for a child ends with the thread that
//! started it.

use std::io;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use super::process::Child;
use super::spawn::Launch;

/// What to start, and who waits for it.
type Order = (Launch, mpsc::SyncSender<io::Result<Child>>);

/// Has the thread start it, one after another.
pub(super) fn start(launch: Launch) -> io::Result<Child> {
    static LAUNCHER: Mutex<Option<mpsc::Sender<Order>>> = Mutex::new(None);
    let (sender, child) = mpsc::sync_channel(1);
    {
        let mut launcher = LAUNCHER.lock().unwrap_or_else(PoisonError::into_inner);
        let orders = match launcher.take() {
            Some(orders) => orders,
            None => start_thread()?,
        };
        let sent = orders.send((launch, sender));
        // Where its thread is gone, the next call starts another.
        if sent.is_ok() {
            *launcher = Some(orders);
        }
    }
    child.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that starts it is gone")))
}

fn start_thread() -> io::Result<mpsc::Sender<Order>> {
    let (orders, queue) = mpsc::channel::<Order>();
    let run = move || {
        for (launch, waiting) in queue {
            // A child that nobody waits for any more ends as it is dropped.
            let _ = waiting.send(launch.start());
        }
    };
    thread::Builder::new().name("launcher".to_owned()).spawn(run)?;
    Ok(orders)
}

//! A process that was started, until it was reaped.

use std::io::{self, PipeReader};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, waitid, waitpid};

/// How often it is asked whether it has ended. Descriptors that tell (pidfd) are younger than the kernels that this
/// service runs on.
const TICK: Duration = Duration::from_millis(1);

/// How long one that was killed may take to be gone. One that waits for a disk takes until that answers.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// A child process, the first of its process group. Dropping it kills and reaps it, with all of its group.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    /// Once it has ended and was reaped: its number may be another's then.
    status: Option<ExitStatus>,
    pub(crate) stdout: Option<PipeReader>,
    pub(crate) stderr: Option<PipeReader>,
}

impl Child {
    pub(super) fn new(pid: Pid, stdout: PipeReader, stderr: PipeReader) -> Self {
        Self { pid, status: None, stdout: Some(stdout), stderr: Some(stderr) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Waits for its end, and returns how it ended; `None` where it runs on. Whatever it has left of its group ends
    /// with it.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        let until = Instant::now() + timeout;
        loop {
            let ended = self.reap()?;
            let left = until.saturating_duration_since(Instant::now());
            if ended.is_some() || left.is_zero() {
                return Ok(ended);
            }
            thread::sleep(left.min(TICK));
        }
    }

    /// Ends it with all of its group.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] where it does not end for a while although it was killed.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        if self.reap()?.is_none() {
            kill_process_group(self.pid, Signal::KILL)?;
        }
        let ended = self.wait(KILL_TIMEOUT)?;
        ended.ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "it could not be ended"))
    }

    fn reap(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if waitid(WaitId::Pid(self.pid), ended)?.is_none() {
                return Ok(None);
            }
            // Until it is reaped, the group's number is nobody else's.
            let _ = kill_process_group(self.pid, Signal::KILL);
            let reaped = retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty()))?;
            self.status = reaped.map(|(_, status)| ExitStatus::from_raw(status.as_raw()));
        }
        Ok(self.status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            let pid = self.id();
            tracing::warn!(pid, "a child process has not ended although it was killed: {error}");
        }
    }
}

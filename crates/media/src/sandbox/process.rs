//! A child process, from its start until it is reaped.

use std::io::{self, PipeReader};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, waitid, waitpid};

/// How often a wait checks whether the process has ended. A pidfd would report the end, but this service also runs on
/// kernels without them.
const TICK: Duration = Duration::from_millis(1);

/// How long a killed process may take to end. If it waits for a disk, it ends only when that responds.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// A child process, the leader of its process group. Dropping it kills and reaps it with its group.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    /// Its exit status after it was reaped. Its id may belong to another process then.
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

    /// Waits for it to end, for at most `timeout`. Returns its exit status, or `None` if it still runs. When it has
    /// ended, the rest of its group is killed.
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

    /// Kills it with its group.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if it does not end in time although it was killed.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        if self.reap()?.is_none() {
            kill_process_group(self.pid, Signal::KILL)?;
        }
        let ended = self.wait(KILL_TIMEOUT)?;
        ended.ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "it could not be ended"))
    }

    /// Reaps the process if it has ended.
    fn reap(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if waitid(WaitId::Pid(self.pid), ended)?.is_none() {
                return Ok(None);
            }
            // Until it is reaped, the group's id cannot be reused.
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

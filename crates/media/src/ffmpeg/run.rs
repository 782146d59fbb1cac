//! One run of a tool on a file: its output as it comes, what it writes to its standard error, its end.

use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::program::Program;
use super::stderr::Tail;
use crate::limits::{Limits, Wait};
use crate::sandbox::{self, Child};

/// What a run leaves behind.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    /// The last of what it wrote to its standard error.
    pub(crate) stderr: String,
}

/// A child process that reads one file. Its output is to be read from it, and fails with
/// [`io::ErrorKind::TimedOut`] where none comes in time. Dropping it kills and reaps it, with all of its group.
#[derive(Debug)]
pub(crate) struct Run {
    child: Child,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
    tail: Tail,
    limits: Limits,
}

impl Run {
    /// Starts a program on an open file, or without any, with so many seconds of processor time at most.
    pub(super) fn start(
        program: &Program,
        args: &[&str],
        input: Option<&File>,
        cpu_seconds: u64,
        limits: Limits,
    ) -> io::Result<Self> {
        let mut child = sandbox::spawn(program.path(), args, &program.required_files(), input, cpu_seconds)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Self { child, stdout, stderr, tail: Tail::default(), limits })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads the child's whole output, `bytes` of it at most, and waits for its end.
    pub(crate) fn output(mut self, bytes: u64) -> io::Result<Output> {
        let mut stdout = Vec::new();
        self.by_ref().take(bytes).read_to_end(&mut stdout)?;
        let (status, stderr) = self.wait()?;
        Ok(Output { status, stdout, stderr })
    }

    /// Waits for the child's end, of whose output no more is wanted: how it ended, and the last of its standard error. One
    /// that does not end by itself is killed.
    pub(crate) fn wait(mut self) -> io::Result<(ExitStatus, String)> {
        self.stdout = None;
        let limits = self.limits.clone();
        let ended = self.await_exit(limits.exit());
        let status = match ended {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.child.kill()?,
            ended => ended?,
        };
        Ok((status, std::mem::take(&mut self.tail).into_text()))
    }

    fn await_exit(&mut self, wait: Wait<'_>) -> io::Result<ExitStatus> {
        // Closed by its end, as a rule.
        while self.stderr.is_some() {
            self.poll(wait.step()?)?;
        }
        loop {
            if let Some(status) = self.child.wait(wait.step()?)? {
                return Ok(status);
            }
        }
    }

    /// Waits a while for output, and reads the standard error meanwhile. Whether there is output, or its end.
    fn poll(&mut self, step: Duration) -> io::Result<bool> {
        let (stdout, stderr) = (self.stdout.as_ref(), self.stderr.as_ref());
        let fds = stdout.map(|fd| PollFd::new(fd, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> =
            fds.into_iter().chain(stderr.map(|fd| PollFd::new(fd, PollFlags::IN))).collect();
        let step = Timespec { tv_sec: step.as_secs().cast_signed(), tv_nsec: step.subsec_nanos().into() };
        match poll(&mut fds, Some(&step)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| !fd.revents().is_empty());
        let output = stdout.is_some() && is_ready(fds.first());
        let message = stderr.is_some() && is_ready(fds.last());
        if message {
            self.read_stderr()?;
        }
        Ok(output)
    }

    /// Reads what there is, so that the child never blocks on writing it.
    fn read_stderr(&mut self) -> io::Result<()> {
        let Some(stderr) = &mut self.stderr else { return Ok(()) };
        let mut chunk = [0; 4096];
        match stderr.read(&mut chunk) {
            Ok(0) => self.stderr = None,
            Ok(count) => self.tail.push(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Read for Run {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limits = self.limits.clone();
        let wait = limits.output();
        while self.stdout.is_some() {
            if self.poll(wait.step()?)?
                && let Some(stdout) = &mut self.stdout
            {
                return stdout.read(buffer);
            }
        }
        Ok(0)
    }
}

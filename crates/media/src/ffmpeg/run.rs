//! A run of a program on a file: its output as a stream, its standard error and its exit.

use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::program::Program;
use super::stderr::Tail;
use crate::limits::{Limits, Wait};
use crate::sandbox::{self, Child};

/// The results of a run.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    /// The last 4 kB of its standard error.
    pub(crate) stderr: String,
}

/// A child process that reads one file. Reading from it gives its output, and fails with [`io::ErrorKind::TimedOut`]
/// if there is none in time. Dropping it kills and reaps the process and its group.
#[derive(Debug)]
pub(crate) struct Run {
    child: Child,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
    tail: Tail,
    limits: Limits,
}

impl Run {
    /// Starts a program with an open file as its input, or without one. `cpu_seconds` limits its processor time.
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

    /// Reads at most `bytes` of the child's output, and waits for its exit.
    pub(crate) fn output(mut self, bytes: u64) -> io::Result<Output> {
        let mut stdout = Vec::new();
        self.by_ref().take(bytes).read_to_end(&mut stdout)?;
        let (status, stderr) = self.wait()?;
        Ok(Output { status, stdout, stderr })
    }

    /// Closes the child's output and waits for its exit; kills it if it does not exit in time. Returns its status and
    /// the last of its standard error.
    pub(crate) fn wait(mut self) -> io::Result<(ExitStatus, String)> {
        self.stdout = None;
        let limits = self.limits.clone();
        let exited = self.await_exit(limits.exit());
        let status = match exited {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.child.kill()?,
            exited => exited?,
        };
        Ok((status, std::mem::take(&mut self.tail).into_text()))
    }

    fn await_exit(&mut self, wait: Wait<'_>) -> io::Result<ExitStatus> {
        // Usually closed when the child exits.
        while self.stderr.is_some() {
            self.poll(wait.step()?)?;
        }
        loop {
            if let Some(status) = self.child.wait(wait.step()?)? {
                return Ok(status);
            }
        }
    }

    /// Waits for output for a while, and reads the standard error meanwhile. Returns whether there is output, or its
    /// end.
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

    /// Reads what is available, so that the child never blocks on writing.
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

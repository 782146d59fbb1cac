//! How ffprobe and ffmpeg run: on untrusted bytes, so with as little as will do.
//!
//! A child process gets no environment, no file name and no standard input but the file itself, may use
//! no protocol but `file` and `pipe`, and no demuxer that follows references to other files. The kernel
//! bounds its processor time and memory, keeps it from writing files and reading others ([`sandbox`]), and
//! the limits bounds how long it is waited for ([`Limits`]).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

pub(super) use super::complaints::reason;
pub(super) use super::tools::Tool;

use super::complaints::Complaints;
use super::limits::{Limits, Wait};
use super::tools::{Program, Tools};
use super::{MediaError, sandbox};

/// The containers people have sound in. Deliberately absent is whatever names other files or addresses
/// (hls, dash, concat, imf, sdp, image2, rtsp, lavfi, libopenmpt …) or takes any text for media.
const DEMUXERS: &str = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dss,dts,dtshd,dv,eac3,flac,\
    flv,gsm,live_flv,loas,m4a,matroska,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,oga,ogg,oma,\
    rm,shn,sox,tak,truehd,tta,voc,w64,wav,webm,wtv,wv,xwma,3gp,3g2,mj2";

/// The input's name, as the child sees it: its standard input, opened anew, so that it can seek.
pub(super) const INPUT: &str = "file:/dev/stdin";

/// How often a child that has closed its output and its complaints is asked whether it has ended.
const EXIT_TICK: Duration = Duration::from_millis(1);

/// How long a child that was killed may take to be gone. One that waits for a disk takes until that answers.
const KILL: Duration = Duration::from_secs(1);

/// What every run of either tool is told about its input, before `-i`.
pub(super) fn input_options() -> [&'static str; 6] {
    ["-protocol_whitelist", "file,pipe", "-format_whitelist", DEMUXERS, "-v", "error"]
}

/// What a child leaves behind.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) complaints: String,
}

/// A child process that reads one file. Its output is to be read from it, and fails with
/// [`io::ErrorKind::TimedOut`] where none comes in time. Dropping it kills and reaps it, with all of its group.
#[derive(Debug)]
pub(super) struct Confined {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    complaints: Complaints,
    limits: Limits,
    /// Once it has ended and was reaped.
    status: Option<ExitStatus>,
}

impl Confined {
    /// Starts `tool` on the file, with `cpu_seconds` of processor time at most.
    pub(super) fn spawn(
        tools: &Tools,
        tool: Tool,
        args: &[&str],
        input: &Path,
        cpu_seconds: u64,
        limits: Limits,
    ) -> Result<Self, MediaError> {
        let file = File::open(input).map_err(|error| MediaError::cannot_open(&error))?;
        if !file.metadata().map_err(|error| MediaError::cannot_open(&error))?.is_file() {
            return Err(MediaError::unreadable("it is not a plain file"));
        }
        Self::start(tools.program(tool), args, Some(&file), cpu_seconds, limits)
            .map_err(|error| MediaError::Tool(format!("{} could not be started: {error}.", tool.name())))
    }

    /// Starts a program on an open file, or without any.
    pub(super) fn start(
        program: &Program,
        args: &[&str],
        input: Option<&File>,
        cpu_seconds: u64,
        limits: Limits,
    ) -> io::Result<Self> {
        let mut command = Command::new(program.path());
        command.args(args).env_clear().env("LANG", "C").current_dir("/").process_group(0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        match input {
            Some(file) => command.stdin(file.try_clone()?),
            None => command.stdin(Stdio::null()),
        };
        let mut child = sandbox::spawn(command, &program.needed(), input, cpu_seconds)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Self { child, stdout, stderr, complaints: Complaints::default(), limits, status: None })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads the child's whole output, `bytes` of it at most, and waits for its end.
    pub(super) fn output(mut self, bytes: u64) -> io::Result<Output> {
        let mut stdout = Vec::new();
        self.by_ref().take(bytes).read_to_end(&mut stdout)?;
        let (status, complaints) = self.wait()?;
        Ok(Output { status, stdout, complaints })
    }

    /// Waits for the child's end, of whose output no more is wanted: how it ended and its last complaints. One that
    /// does not end by itself is killed.
    pub(super) fn wait(mut self) -> io::Result<(ExitStatus, String)> {
        self.stdout = None;
        let limits = self.limits.clone();
        let ended = self.await_exit(limits.exit());
        let status = match ended {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.kill()?,
            ended => ended?,
        };
        Ok((status, std::mem::take(&mut self.complaints).into_text()))
    }

    fn await_exit(&mut self, wait: Wait<'_>) -> io::Result<ExitStatus> {
        // Closed by its end, as a rule.
        while self.stderr.is_some() {
            self.poll(wait.step()?)?;
        }
        loop {
            if let Some(status) = self.reap()? {
                return Ok(status);
            }
            thread::sleep(wait.step()?.min(EXIT_TICK));
        }
    }

    /// Waits a while for output, and takes in complaints meanwhile. Whether there is output, or its end.
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
        let complaint = stderr.is_some() && is_ready(fds.last());
        if complaint {
            self.take_complaint()?;
        }
        Ok(output)
    }

    /// Reads what there is, so that the child never blocks on its complaints.
    fn take_complaint(&mut self) -> io::Result<()> {
        let Some(stderr) = &mut self.stderr else { return Ok(()) };
        let mut chunk = [0; 4096];
        match stderr.read(&mut chunk) {
            Ok(0) => self.stderr = None,
            Ok(count) => self.complaints.push(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// How it ended, if it has. Whatever it has left of its group ends with it.
    fn reap(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            let pid = Pid::from_child(&self.child);
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if waitid(WaitId::Pid(pid), ended)?.is_none() {
                return Ok(None);
            }
            // Until it is reaped, the group's number is nobody else's.
            let _ = kill_process_group(pid, Signal::KILL);
            self.status = Some(self.child.wait()?);
        }
        Ok(self.status)
    }

    /// Ends it with all of its group.
    fn kill(&mut self) -> io::Result<ExitStatus> {
        let until = Instant::now() + KILL;
        loop {
            if let Some(status) = self.reap()? {
                return Ok(status);
            }
            kill_process_group(Pid::from_child(&self.child), Signal::KILL)?;
            if Instant::now() > until {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it could not be ended"));
            }
            thread::sleep(EXIT_TICK);
        }
    }
}

impl Read for Confined {
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

impl Drop for Confined {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            let pid = self.child.id();
            tracing::warn!(pid, "a child process has not ended although it was killed: {error}");
        }
    }
}

/// A tool's output that could not be had, as the refusal of its file where it took too long.
pub(super) fn lost(tool: Tool, error: &io::Error) -> MediaError {
    match error.kind() {
        io::ErrorKind::TimedOut => MediaError::unreadable(&error.to_string()),
        _ => MediaError::Tool(format!("{}'s output was lost: {error}.", tool.name())),
    }
}

#[cfg(test)]
mod tests;

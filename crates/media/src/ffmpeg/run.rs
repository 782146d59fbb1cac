//! How ffprobe and ffmpeg run: on untrusted bytes, so with as little as will do.
//!
//! A child process gets no environment, no file name and no standard input but the file itself, may use
//! no protocol but `file` and `pipe`, and no demuxer that follows references to other files. The kernel
//! bounds its processor time and memory, keeps it from writing files and reading others ([`sandbox`]), and
//! how long it is waited for is bounded by the clock ([`Limits`]).

use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(super) use super::complaints::reason;
pub(super) use super::tools::Tool;

use super::MediaError;
use super::complaints::Complaints;
use super::limits::{Limits, Wait};
use super::sandbox::{self, Child};
use super::tools::{Program, Tools};

/// The containers people have sound in. Deliberately absent is whatever names other files or addresses
/// (hls, dash, concat, imf, sdp, image2, rtsp, lavfi, libopenmpt …) or takes any text for media.
const DEMUXERS: &str = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dss,dts,dtshd,dv,eac3,flac,\
    flv,gsm,live_flv,loas,m4a,matroska,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,oga,ogg,oma,\
    rm,shn,sox,tak,truehd,tta,voc,w64,wav,webm,wtv,wv,xwma,3gp,3g2,mj2";

/// The input's name, as the child sees it: its standard input, opened anew, so that it can seek.
pub(super) const INPUT: &str = "file:/dev/stdin";

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
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
    complaints: Complaints,
    limits: Limits,
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
        let mut child = sandbox::spawn(program.path(), args, &program.needed(), input, cpu_seconds)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Self { child, stdout, stderr, complaints: Complaints::default(), limits })
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
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.child.kill()?,
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
            if let Some(status) = self.child.wait(wait.step()?)? {
                return Ok(status);
            }
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

/// A tool's output that could not be had, as the refusal of its file where it took too long.
pub(super) fn lost(tool: Tool, error: &io::Error) -> MediaError {
    match error.kind() {
        io::ErrorKind::TimedOut => MediaError::unreadable(&error.to_string()),
        _ => MediaError::Tool(format!("{}'s output was lost: {error}.", tool.name())),
    }
}

#[cfg(test)]
mod tests;

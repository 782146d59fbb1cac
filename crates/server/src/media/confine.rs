//! How ffprobe and ffmpeg run: on untrusted bytes, so with as little as will do.
//!
//! A child process gets no environment, no file name and no standard input but the file itself, may use
//! no protocol but `file` and `pipe`, and no demuxer that follows references to other files. The kernel
//! bounds its processor time and memory, and keeps it from writing files and reading others
//! ([`sandbox`]).

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{MediaError, sandbox};

/// The containers people have sound in. Deliberately absent is whatever names other files or addresses
/// (hls, dash, concat, imf, sdp, image2, rtsp, lavfi, libopenmpt …) or takes any text for media.
const DEMUXERS: &str = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dss,dts,dtshd,dv,eac3,flac,\
    flv,gsm,live_flv,loas,m4a,matroska,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,oga,ogg,oma,\
    rm,shn,sox,tak,truehd,tta,voc,w64,wav,webm,wtv,wv,xwma,3gp,3g2,mj2";

/// The input's name, as the child sees it: its standard input, opened anew, so that it can seek.
pub(super) const INPUT: &str = "file:/dev/stdin";

/// Address space, in bytes. ffmpeg's many libraries alone take 0.4 GB of it; the tables of a day-long
/// video some 0.2 GB.
const MEMORY_BYTES: u64 = 2 << 30;

/// The three standard streams, the input, and the libraries one after another.
const OPEN_FILES: u64 = 32;

/// Bytes of a child's complaints that are kept: the last ones.
const COMPLAINT_BYTES: usize = 4 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Ffmpeg,
    Ffprobe,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Ffmpeg => "ffmpeg",
            Self::Ffprobe => "ffprobe",
        }
    }

    /// Where it is on the PATH; looked for and tried out until it is found.
    fn path(self) -> Result<&'static Path, MediaError> {
        static FFMPEG: OnceLock<PathBuf> = OnceLock::new();
        static FFPROBE: OnceLock<PathBuf> = OnceLock::new();
        let known = match self {
            Self::Ffmpeg => &FFMPEG,
            Self::Ffprobe => &FFPROBE,
        };
        if let Some(path) = known.get() {
            return Ok(path);
        }
        let found = find(self.name(), env::var_os("PATH").unwrap_or_default()).map_err(MediaError::Tool)?;
        Ok(known.get_or_init(|| found))
    }
}

/// Fails with a sentence where ffmpeg or ffprobe is missing or does not run. Blocks, some 0.1 s at first.
pub fn require_tools() -> Result<(), MediaError> {
    Tool::Ffmpeg.path()?;
    Tool::Ffprobe.path()?;
    Ok(())
}

fn find(name: &str, path: OsString) -> Result<PathBuf, String> {
    let mut places = env::split_paths(&path).map(|dir| dir.join(name));
    let program = places
        .find(|file| file.is_absolute() && file.is_file())
        .ok_or_else(|| format!("{name} was not found on the PATH. Install ffmpeg, which has it."))?;

    // Whether all that it needs is within the sandbox; else every upload would be blamed for it.
    let fails = |reason: &str| format!("{} does not run: {}.", program.display(), reason.trim());
    let mut trial = command(&program);
    trial.arg("-version").stdin(Stdio::null());
    let trial = sandbox::spawn(&mut trial, &program, None).and_then(Child::wait_with_output);
    match trial {
        Ok(output) if output.status.success() => Ok(program),
        Ok(output) => Err(fails(&String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(fails(&error.to_string())),
    }
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LANG", "C").current_dir("/").process_group(0);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

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

/// A child process that reads one file. Dropping it kills and reaps it.
#[derive(Debug)]
pub(super) struct Confined {
    child: Child,
    complaints: Option<JoinHandle<String>>,
}

impl Confined {
    /// Starts `tool` on the file, with `cpu_seconds` of processor time at most.
    pub(super) fn spawn(
        tool: Tool,
        args: &[&str],
        input: &Path,
        cpu_seconds: u64,
    ) -> Result<Self, MediaError> {
        let file = File::open(input).map_err(|error| MediaError::cannot_open(&error))?;
        if !file.metadata().map_err(|error| MediaError::cannot_open(&error))?.is_file() {
            return Err(MediaError::unreadable("it is not a plain file"));
        }
        let failed =
            |error: io::Error| MediaError::Tool(format!("{} could not be started: {error}.", tool.name()));
        let program = tool.path()?;
        let for_child = file.try_clone().map_err(failed)?;
        let mut command = command(program);
        command.args(args).stdin(for_child);
        let mut child = sandbox::spawn(&mut command, program, Some(&file)).map_err(failed)?;
        let stderr = child.stderr.take();
        // From here on dropping `confined` ends the child, whatever fails.
        let mut confined = Self { child, complaints: None };
        confined.limit(cpu_seconds).map_err(failed)?;
        if let Some(stderr) = stderr {
            let drain = move || last_words(stderr);
            let thread = thread::Builder::new().name("ffmpeg-stderr".to_owned());
            confined.complaints = Some(thread.spawn(drain).map_err(failed)?);
        }
        Ok(confined)
    }

    /// Set from outside, right after the start, because from inside it would take unsafe code between
    /// fork and exec. What the child runs before is the dynamic linker, and the limits
    /// count what was used already.
    fn limit(&self, cpu_seconds: u64) -> io::Result<()> {
        let pid = Pid::from_child(&self.child);
        let limits = [
            (Resource::Cpu, cpu_seconds),
            (Resource::As, MEMORY_BYTES),
            (Resource::Fsize, 0),
            (Resource::Core, 0),
            (Resource::Nofile, OPEN_FILES),
        ];
        for (resource, limit) in limits {
            prlimit(Some(pid), resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
        }
        Ok(())
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child's output; it can be taken once.
    pub(super) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Reads the child's whole output, `bytes` of it at most, and waits for its end. One that takes longer
    /// than `patience` by the clock is ended, with [`io::ErrorKind::TimedOut`].
    pub(super) fn output(mut self, patience: Duration, bytes: u64) -> io::Result<Output> {
        let stdout = self.stdout().ok_or(io::ErrorKind::BrokenPipe)?;
        // A thread of its own, so that a child which waits for a disk forever is not waited for.
        let (sender, receiver) = mpsc::channel();
        let read = move || {
            let mut output = Vec::new();
            let read = stdout.take(bytes).read_to_end(&mut output);
            // Nobody listens any more once the patience is over.
            let _ = sender.send(read.map(|_| output));
        };
        thread::Builder::new().name("ffmpeg-stdout".to_owned()).spawn(read)?;
        let stdout = receiver.recv_timeout(patience).map_err(|_| io::ErrorKind::TimedOut)??;
        let (status, complaints) = self.wait()?;
        Ok(Output { status, stdout, complaints })
    }

    /// Waits for the child's end: how it ended and its last complaints.
    pub(super) fn wait(mut self) -> io::Result<(ExitStatus, String)> {
        let status = self.child.wait()?;
        let complaints = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Ok((status, complaints))
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        // Fails only where the child has been reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end, so that the child never blocks on its complaints, and keeps the tail.
fn last_words(mut stderr: impl Read) -> String {
    let mut tail = VecDeque::with_capacity(2 * COMPLAINT_BYTES);
    let mut chunk = [0; COMPLAINT_BYTES];
    while let Ok(count) = stderr.read(&mut chunk)
        && count > 0
    {
        tail.extend(&chunk[..count]);
        tail.drain(..tail.len().saturating_sub(COMPLAINT_BYTES));
    }
    String::from_utf8_lossy(tail.make_contiguous()).into_owned()
}

/// What a tool complained of, as the end of a sentence; `None` where it says nothing in particular. Only
/// for people to read: nothing is decided by it.
pub(super) fn reason(complaints: &str) -> Option<String> {
    // The lines about the input as a whole only say again that it could not be read.
    let says_nothing =
        |line: &str| line.is_empty() || line.starts_with(INPUT) || line.starts_with("Last message repeated");
    let line = complaints.lines().map(str::trim).rfind(|line| !says_nothing(line))?;
    let (part, mut line) = split_part(line);
    if line.starts_with("Format not on whitelist") {
        return Some(format!("files of the kind {part} are not accepted"));
    }
    while let (_, rest) = split_part(line)
        && rest != line
    {
        line = rest;
    }
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    let line = line.trim_end_matches('.');
    (!line.is_empty()).then(|| format!("it is damaged or incomplete ({line})"))
}

/// “[mov,mp4 @ 0x55a4] moov atom not found”: the part of ffmpeg that speaks, and what it says.
fn split_part(line: &str) -> (&str, &str) {
    let parts = line.strip_prefix('[').and_then(|line| line.split_once("] "));
    let Some((part, line)) = parts else { return ("", line) };
    (part.split(" @ ").next().unwrap_or(part), line)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    /// Runs ffmpeg as confined as ever, but with options that a hole in it might amount to.
    fn escape(dir: &TempDir, args: &[&str]) -> String {
        let input = dir.path().join("input");
        fs::write(&input, "an input").unwrap();
        let args: Vec<&str> = ["-nostdin", "-v", "error"].iter().chain(args).copied().collect();
        let (status, complaints) = Confined::spawn(Tool::Ffmpeg, &args, &input, 10).unwrap().wait().unwrap();
        assert!(!status.success());
        complaints
    }

    #[test]
    fn the_kernel_keeps_ffmpeg_from_other_files_and_the_network() {
        if !sandbox::is_complete() {
            verbatim_testing::skip("this kernel does not know all rules of Landlock");
            return;
        }
        let dir = TempDir::new().unwrap();
        let secret = dir.path().join("secret.wav");
        fs::write(&secret, "RIFF").unwrap();
        let secret = secret.to_str().unwrap();
        for file in ["/etc/passwd", "/proc/self/environ", secret] {
            let complaints = escape(&dir, &["-i", file, "-f", "null", "-"]);
            assert!(complaints.contains("Permission denied"), "{file}: {complaints}");
        }
        let stolen = dir.path().join("stolen.wav");
        let tone = ["-f", "lavfi", "-i", "sine=duration=1", stolen.to_str().unwrap()];
        let complaints = escape(&dir, &tone);
        assert!(complaints.contains("Permission denied"), "{complaints}");
        assert!(!stolen.exists());

        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        for protocol in ["tcp", "udp"] {
            let url = format!("{protocol}://{}", server.local_addr().unwrap());
            let complaints = escape(&dir, &["-i", &url, "-f", "null", "-"]);
            assert!(complaints.contains("Permission denied"), "{complaints}");
        }
        assert!(server.accept().is_err());
    }

    #[test]
    fn a_tool_that_is_missing_or_does_not_run_is_told_of() {
        let dir = TempDir::new().unwrap();
        let missing = find("ffmpeg", dir.path().into()).unwrap_err();
        assert_eq!(missing, "ffmpeg was not found on the PATH. Install ffmpeg, which has it.");
        let broken = dir.path().join("ffmpeg");
        fs::write(&broken, "#!/bin/sh\necho no library >&2\nexit 1\n").unwrap();
        fs::set_permissions(&broken, Permissions::from_mode(0o755)).unwrap();
        let says = find("ffmpeg", dir.path().into()).unwrap_err();
        assert_eq!(says, format!("{} does not run: no library.", broken.display()));
    }

    #[test]
    fn a_complaint_becomes_the_end_of_a_sentence() {
        for (complaints, expected) in [
            ("", None),
            ("file:/dev/stdin: Invalid data found when processing input\n", None),
            (
                "[mov,mp4,m4a @ 0x55a4] moov atom not found\n    Last message repeated 2 times\n\
                 file:/dev/stdin: Invalid data\n",
                Some("it is damaged or incomplete (moov atom not found)"),
            ),
            (
                "[hls @ 0x5557] Format not on whitelist 'aac,ac3'\nfile:/dev/stdin: Invalid argument\n",
                Some("files of the kind hls are not accepted"),
            ),
            (
                "[aist#0:0/aac @ 0x1] [dec:aac @ 0x2] Error\u{7} while decoding.\n",
                Some("it is damaged or incomplete (Error while decoding)"),
            ),
        ] {
            assert_eq!(reason(complaints).as_deref(), expected, "{complaints}");
        }
    }

    #[test]
    fn only_the_tail_of_the_complaints_is_kept() {
        let long = format!("{}the end", "x".repeat(10 * COMPLAINT_BYTES));
        let tail = last_words(long.as_bytes());
        assert!(tail.len() == COMPLAINT_BYTES && tail.ends_with("xthe end"));
    }
}

//! Finds ffprobe and ffmpeg, tries them out, and runs them on a file.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;

use super::program::Program;
use super::run::Run;
use crate::error::MediaError;
use crate::limits::{Limits, Timeouts};
use crate::sandbox;

/// Processor time for a trial run, in seconds.
const TRIAL_CPU_SECONDS: u64 = 10;

/// The maximum output of a trial run, in bytes. It lists the build configuration.
const TRIAL_BYTES: u64 = 64 << 10;

/// One of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
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

    /// The error for output that could not be read. If it took too long, the file is at fault.
    pub(crate) fn output_lost(self, error: &io::Error) -> MediaError {
        match error.kind() {
            io::ErrorKind::TimedOut => MediaError::unreadable(&error.to_string()),
            _ => MediaError::Tool(format!("{}'s output was lost: {error}.", self.name())),
        }
    }
}

/// The installed ffprobe and ffmpeg, and their timeouts.
#[derive(Debug, Clone)]
pub struct Tools {
    ffmpeg: Arc<Program>,
    ffprobe: Arc<Program>,
    timeouts: Timeouts,
}

impl Tools {
    /// The programs on the PATH of this process. They are searched for and tried out until both are found, then kept.
    /// Blocks for about 0.2 s at first.
    ///
    /// # Errors
    /// If one is missing or does not run.
    pub fn installed() -> Result<Self, MediaError> {
        static INSTALLED: OnceLock<Tools> = OnceLock::new();
        if let Some(tools) = INSTALLED.get() {
            return Ok(tools.clone());
        }
        let tools = Self::find(&env::var_os("PATH").unwrap_or_default())?;
        Ok(INSTALLED.get_or_init(|| tools).clone())
    }

    /// The programs on this PATH, tried out.
    ///
    /// # Errors
    /// If one is missing or does not run.
    pub fn find(path: &OsStr) -> Result<Self, MediaError> {
        let find = |tool| find(tool, path).map(Arc::new).map_err(MediaError::Tool);
        let (ffmpeg, ffprobe) = thread::scope(|scope| {
            let ffprobe = scope.spawn(|| find(Tool::Ffprobe));
            (find(Tool::Ffmpeg), ffprobe.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        Ok(Self { ffmpeg: ffmpeg?, ffprobe: ffprobe?, timeouts: Timeouts::default() })
    }

    /// The same programs with other timeouts.
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Starts `tool` on the file. `cpu_seconds` limits its processor time.
    pub(crate) fn run(
        &self,
        tool: Tool,
        args: &[&str],
        input: &Path,
        cpu_seconds: u64,
        limits: Limits,
    ) -> Result<Run, MediaError> {
        let file = File::open(input).map_err(|error| MediaError::cannot_open(&error))?;
        if !file.metadata().map_err(|error| MediaError::cannot_open(&error))?.is_file() {
            return Err(MediaError::unreadable("it is not a plain file"));
        }
        let program = match tool {
            Tool::Ffmpeg => &self.ffmpeg,
            Tool::Ffprobe => &self.ffprobe,
        };
        Run::start(program, args, Some(&file), cpu_seconds, limits)
            .map_err(|error| MediaError::Tool(format!("{} could not be started: {error}.", tool.name())))
    }
}

/// Checks that ffprobe and ffmpeg are installed and run, and logs what this kernel does not confine. Blocks for about
/// 0.2 s at first.
///
/// # Errors
/// If one is missing or does not run.
pub fn require_tools() -> Result<(), MediaError> {
    sandbox::confinement();
    Tools::installed()?;
    Ok(())
}

/// Finds a program and tries it out.
fn find(tool: Tool, path: &OsStr) -> Result<Program, String> {
    let program = Program::find(tool.name(), path)?;
    // The trial shows whether all that the program needs is in the sandbox; otherwise every upload would seem to be
    // at fault.
    let limits = Limits::decoding(Timeouts::default());
    let trial = Run::start(&program, &["-version"], None, TRIAL_CPU_SECONDS, limits);
    match trial.and_then(|trial| trial.output(TRIAL_BYTES)) {
        Ok(output) if output.status.success() => Ok(program),
        Ok(output) => Err(program.failure(&output.stderr)),
        Err(error) => Err(program.failure(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_tool_that_is_missing_or_does_not_run_is_reported() {
        let dir = TempDir::new().unwrap();
        let find = || Tools::find(dir.path().as_os_str()).unwrap_err().to_string();
        assert_eq!(find(), "ffmpeg was not found on the PATH. Install ffmpeg, which has it.");
        let broken = dir.path().join("ffmpeg");
        let write = |script: &str| {
            fs::write(&broken, script).unwrap();
            fs::set_permissions(&broken, Permissions::from_mode(0o755)).unwrap();
        };
        write("#!/bin/sh\necho no library >&2\nexit 1\n");
        assert_eq!(find(), format!("{} does not run: no library.", broken.display()));
        // A script must not start another program, which would not be in the sandbox.
        write("#!/bin/sh\nexec /bin/cat /etc/passwd\n");
        let sentence = find();
        assert!(sentence.contains("Permission denied") || !sandbox::confinement().is_full(), "{sentence}");
        write("no program at all, but longer than the header that one has: 64 bytes");
        assert_eq!(find(), format!("{} does not run: it is not a program of this system.", broken.display()));
    }
}

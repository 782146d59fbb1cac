//! Where ffprobe and ffmpeg are, what they need, and whether they run.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::confine::Confined;
use super::libraries::Needed;
use super::limits::{Limits, Timeouts};
use super::{MediaError, sandbox};

/// Seconds of processor time for a trial run.
const TRIAL_CPU_SECONDS: u64 = 10;

/// Bytes of a trial run's answer, which names the configuration.
const TRIAL_BYTES: u64 = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Ffmpeg,
    Ffprobe,
}

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ffmpeg => "ffmpeg",
            Self::Ffprobe => "ffprobe",
        }
    }
}

/// ffprobe and ffmpeg, found and tried out.
#[derive(Debug, Clone)]
pub struct Tools {
    ffmpeg: Arc<Program>,
    ffprobe: Arc<Program>,
    pub(super) timeouts: Timeouts,
}

impl Tools {
    /// Those on the PATH of this process; looked for and tried out until they are found. Blocks, some 0.2 s at first.
    pub fn installed() -> Result<Self, MediaError> {
        static INSTALLED: OnceLock<Tools> = OnceLock::new();
        if let Some(tools) = INSTALLED.get() {
            return Ok(tools.clone());
        }
        let tools = Self::find(&env::var_os("PATH").unwrap_or_default())?;
        Ok(INSTALLED.get_or_init(|| tools).clone())
    }

    /// Those on this PATH. Fails with a sentence where one is missing or does not run.
    pub fn find(path: &OsStr) -> Result<Self, MediaError> {
        let find = |tool| Program::find(tool, path).map(Arc::new).map_err(MediaError::Tool);
        Ok(Self { ffmpeg: find(Tool::Ffmpeg)?, ffprobe: find(Tool::Ffprobe)?, timeouts: Timeouts::default() })
    }

    /// The same, with other limits by the limits.
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    pub(super) fn program(&self, tool: Tool) -> &Program {
        match tool {
            Tool::Ffmpeg => &self.ffmpeg,
            Tool::Ffprobe => &self.ffprobe,
        }
    }
}

/// Fails with a sentence where ffmpeg or ffprobe is missing or does not run, and tells the log what does not confine
/// them here. Blocks, some 0.2 s at first.
pub fn require_tools() -> Result<(), MediaError> {
    sandbox::confinement();
    Tools::installed()?;
    Ok(())
}

/// An executable file and what it needs to start.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    needed: Mutex<Needed>,
}

impl Program {
    fn find(tool: Tool, path: &OsStr) -> Result<Self, String> {
        let name = tool.name();
        let mut places = env::split_paths(path).map(|dir| dir.join(name));
        let path = places
            .find(|file| file.is_absolute() && file.is_file())
            .ok_or_else(|| format!("{name} was not found on the PATH. Install ffmpeg, which has it."))?;
        let fails = |reason: &str| format!("{} does not run: {}.", path.display(), reason.trim());
        let needed = Needed::by(&path).map_err(|error| fails(&error.to_string()))?;
        let program = Self { path: path.clone(), needed: Mutex::new(needed) };

        // Whether all that it needs is within the sandbox; else every upload would be blamed for it.
        let limits = Limits::decoding(Timeouts::default());
        let trial = Confined::start(&program, &["-version"], None, TRIAL_CPU_SECONDS, limits);
        match trial.and_then(|trial| trial.output(TRIAL_BYTES)) {
            Ok(output) if output.status.success() => Ok(program),
            Ok(output) => Err(fails(&output.complaints)),
            Err(error) => Err(fails(&error.to_string())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The files that it needs, asked for anew once an upgrade of the system has replaced one.
    pub(super) fn needed(&self) -> Needed {
        let mut needed = self.needed.lock().unwrap_or_else(PoisonError::into_inner);
        if !needed.exists()
            && let Ok(now) = Needed::by(&self.path)
        {
            *needed = now;
        }
        needed.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_tool_that_is_missing_or_does_not_run_is_told_of() {
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
        // A script may not start the program that it stands for: that would not be in the sandbox.
        write("#!/bin/sh\nexec /bin/cat /etc/passwd\n");
        let sentence = find();
        assert!(sentence.contains("Permission denied") || !sandbox::confinement().is_full(), "{sentence}");
        write("no program at all, but longer than the header that one has: 64 bytes");
        assert_eq!(find(), format!("{} does not run: it is not a program of this system.", broken.display()));
    }
}

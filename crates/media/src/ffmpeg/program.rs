//! An executable file, and the files that it needs to start.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::sandbox::RequiredFiles;

/// An executable file, and the files that it needs to start.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    required: Mutex<RequiredFiles>,
}

impl Program {
    /// Finds the first program of this name in the absolute folders of `path`. Fails with a sentence.
    pub(super) fn find(name: &str, path: &OsStr) -> Result<Self, String> {
        let mut places = env::split_paths(path).map(|dir| dir.join(name));
        let path = places
            .find(|file| file.is_absolute() && file.is_file())
            .ok_or_else(|| format!("{name} was not found on the PATH. Install ffmpeg, which has it."))?;
        match RequiredFiles::of(&path) {
            Ok(required) => Ok(Self { path, required: Mutex::new(required) }),
            Err(error) => Err(does_not_run(&path, &error.to_string())),
        }
    }

    /// The sentence about a program that failed in a trial run, for this reason.
    pub(super) fn failure(&self, reason: &str) -> String {
        does_not_run(&self.path, reason)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The files that it needs. They are determined anew after an upgrade of the system has replaced one.
    pub(super) fn required_files(&self) -> RequiredFiles {
        let mut required = self.required.lock().unwrap_or_else(PoisonError::into_inner);
        if !required.exist()
            && let Ok(current) = RequiredFiles::of(&self.path)
        {
            *required = current;
        }
        required.clone()
    }
}

fn does_not_run(path: &Path, reason: &str) -> String {
    format!("{} does not run: {}.", path.display(), reason.trim())
}

//! The errors of probing and decoding.

use std::io;
use std::time::Duration;

/// Why a file cannot be probed or decoded. Its text is a sentence.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The file is at fault; the sentence is meant for the user who sent it.
    #[error("{0}")]
    Unsupported(String),
    /// This machine is at fault, or its installation of ffmpeg.
    #[error("{0}")]
    Tool(String),
}

impl MediaError {
    /// The error for a file that cannot be read. `reason` is the end of a sentence.
    pub(crate) fn unreadable(reason: &str) -> Self {
        Self::Unsupported(format!("The file is not audio or video that can be read: {reason}."))
    }

    /// The error for a file that cannot be opened on this machine.
    pub(crate) fn cannot_open(error: &io::Error) -> Self {
        Self::Tool(format!("The file could not be opened: {error}."))
    }

    /// The error for a file that is longer than allowed, by its headers or by the sound decoded so far.
    pub(crate) fn too_long(max_duration: Duration) -> Self {
        let hours = max_duration.as_secs_f64() / 3600.0;
        let limit = match max_duration.as_secs() {
            seconds @ ..120 => format!("{seconds} seconds"),
            seconds @ 120..7200 => format!("{} minutes", seconds / 60),
            _ => format!("{} hours", (hours * 10.0).floor() / 10.0),
        };
        Self::Unsupported(format!("The file lasts longer than the {limit} that are allowed."))
    }
}

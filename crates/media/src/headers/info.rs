//! The result of a probe: plain data.

use serde::{Deserialize, Serialize};

use super::tracks::Tracks;

/// Whether a file has a moving picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileType {
    /// Sound alone, or with a still picture as its cover.
    Audio,
    /// Sound with a moving picture.
    Video,
}

impl FileType {
    /// As it is stored and shown: `audio` or `video`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// Reads what [`as_str`](Self::as_str) returns; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Audio, Self::Video].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The result of a probe: what a file is.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaInfo {
    /// By its content; its name does not matter.
    pub file_type: FileType,
    /// In seconds, from the headers, or measured if they lack it. `None` if measuring would take too long.
    pub duration: Option<f64>,
    /// Its audio tracks, at least one.
    pub tracks: Tracks,
}

//! ffprobe and ffmpeg as confined child processes: what an upload is, and its sound as a stream.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::job::FileType;

#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The file is at fault: the sentence is for whoever sent it.
    #[error("{0}")]
    Unsupported(String),
    /// This machine is at fault.
    #[error("{0}")]
    Tool(String),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MediaInfo {
    pub file_type: FileType,
    /// As the container tells it, in seconds.
    pub duration: Option<f64>,
}

/// Says what a file is, by its content alone. Refuses what is not media, has no audio stream, is a
/// playlist, or is longer than `max_duration`.
pub async fn probe(path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
    let _ = (path, max_duration);
    todo!()
}

/// The first audio stream of a file as 16 kHz mono samples, in chunks, from an ffmpeg that runs beside.
/// Blocking. An error item ends it; dropping it ends ffmpeg.
#[derive(Debug)]
pub struct PcmStream {}

impl PcmStream {
    pub fn open(path: &Path, max_duration: Duration) -> Result<Self, MediaError> {
        let _ = (path, max_duration);
        todo!()
    }
}

impl Iterator for PcmStream {
    type Item = io::Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

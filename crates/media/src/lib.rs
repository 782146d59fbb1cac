//! ffprobe and ffmpeg as confined child processes: what an upload is, and its sound as a stream.

mod clock;
mod complaints;
mod confine;
mod decode;
mod downmix;
mod libraries;
mod limits;
mod measure;
mod packets;
mod probe;
mod prober;
mod sandbox;
mod timeline;
mod tools;
mod track;

use std::io;

pub use decode::PcmStream;
pub use limits::Timeouts;
pub use probe::{MediaInfo, identify, measure_duration, probe_blocking};
pub use prober::Prober;
pub use sandbox::{Confinement, Enforced, confinement};
pub use tools::{Tools, require_tools};
pub use track::Tracks;

#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The file is at fault: the sentence is for whoever sent it.
    #[error("{0}")]
    Unsupported(String),
    /// This machine is at fault.
    #[error("{0}")]
    Tool(String),
}

impl MediaError {
    fn unreadable(reason: &str) -> Self {
        Self::Unsupported(format!("The file is not audio or video that can be read: {reason}."))
    }

    fn cannot_open(error: &io::Error) -> Self {
        Self::Tool(format!("The file could not be opened: {error}."))
    }
}

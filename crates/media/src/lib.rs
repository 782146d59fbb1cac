//! A file as samples: what a media file is, and its sound as a stream of 16 kHz mono.
//!
//! ffprobe and ffmpeg do the reading, as child processes that can reach nothing but the file. The way through:
//!
//! 1. [`require_tools`] checks at the start that both programs are there and run; [`confinement`] says how far this
//!    machine's kernel confines them.
//! 2. [`probe`] says what a file is ([`MediaInfo`]): audio or video, its duration, its [`Tracks`]. It decodes a second
//!    and measures what the headers do not tell; [`identify`] reads the headers alone.
//! 3. [`PcmStream`] decodes the best track that can be decoded. [`PcmStream::open_tracks`] takes the tracks of a probe,
//!    so that the file is not probed again.
//!
//! Every function blocks; whoever waits for one elsewhere gives it a thread. Everything that runs a program has a
//! limit by the clock ([`Timeouts`]) and can be ended by dropping the stream or by a [`Cancellation`].
//!
//! | folder | what is in it |
//! | --- | --- |
//! | `sandbox/` | starts a confined process: Landlock, seccomp, limits, no fork |
//! | `ffmpeg/` | finds ffprobe and ffmpeg and runs them in the sandbox, with limits by the clock |
//! | `headers/` | ffprobe's answer as [`MediaInfo`] and [`Tracks`] |
//! | `decode/` | ffmpeg's packets as one gapless stream: times, channels, chunks |
//! | `probe/` | headers, a decoded second and a measured duration, judged together |
//!
//! Each imports only those above it, `limits` and `error`.

mod decode;
mod error;
mod ffmpeg;
mod headers;
mod limits;
mod probe;
mod sandbox;

/// Samples in a second of all sound that is decoded.
pub(crate) use verbatim_speech::SAMPLE_RATE;

pub use decode::PcmStream;
pub use error::MediaError;
pub use ffmpeg::{Tools, require_tools};
pub use headers::{FileType, MediaInfo, Tracks};
pub use limits::{Cancellation, Timeouts};
pub use probe::{identify, measure_duration, probe, probe_with};
pub use sandbox::{Confinement, Enforced, confinement};

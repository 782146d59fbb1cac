//! Probes media files, and decodes their sound to a stream of 16 kHz mono samples.
//!
//! ffprobe and ffmpeg read the files, as child processes that can access nothing else. The steps:
//!
//! 1. [`require_tools`] checks at the start of the service that both programs are installed and run; [`confinement`]
//!    says how far this machine's kernel confines them.
//! 2. [`probe()`] finds out what a file is ([`MediaInfo`]): audio or video, its duration and its [`Tracks`]. It decodes
//!    a second, and measures the duration if the headers lack it; [`identify`] only reads the headers.
//! 3. [`PcmStream`] decodes the best track that can be decoded. [`PcmStream::open_tracks`] takes the tracks of a probe,
//!    so that the file is not probed again.
//!
//! All functions block; async code calls them on a thread. All that run a program have timeouts ([`Timeouts`]) and can
//! be cancelled, by dropping the stream or by a [`Cancellation`].
//!
//! | folder | contents |
//! | --- | --- |
//! | `sandbox/` | starts a confined process: Landlock, seccomp, limits, no fork |
//! | `ffmpeg/` | finds ffprobe and ffmpeg, and runs them in the sandbox with timeouts |
//! | `headers/` | turns ffprobe's output into [`MediaInfo`] and [`Tracks`] |
//! | `decode/` | joins ffmpeg's packets into one stream without gaps: times, channels, chunks |
//! | `probe/` | combines headers, a decoded second and a measured duration |
//!
//! Each imports only those above it, and `limits` and `error`.

mod decode;
mod error;
mod ffmpeg;
mod headers;
mod limits;
mod probe;
mod sandbox;

/// The sample rate of all decoded sound, in Hz.
pub(crate) use verbatim_speech::SAMPLE_RATE;

pub use decode::{PcmStream, distinct_channels};
pub use error::MediaError;
pub use ffmpeg::{Tools, require_tools};
pub use headers::{FileType, MediaInfo, Tracks};
pub use limits::{CancelOnDrop, Cancellation, Timeouts};
pub use probe::{identify, measure_duration, probe, probe_with};
pub use sandbox::{Confinement, Enforced, confinement};

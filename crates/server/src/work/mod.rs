//! One job's way from its upload to its result, and who takes it there.
//!
//! [`Workers`] claim jobs and renew their leases; a [`Pipeline`] does one job: a [`Source`] cuts its sound into windows, a
//! [`Transcription`] has the recognizer transcribe them, and the result is assembled from what is stored. [`ProcessLock`]
//! tells which processes have ended.

mod analysis;
mod assemble;
mod channels;
mod decoding;
mod detection;
mod error;
mod fingerprint;
mod pipeline;
mod processes;
mod progress;
mod source;
mod transcribe;
mod upload_sound;
mod workers;

pub use analysis::Analysis;
pub(crate) use assemble::{Recording, assemble, segments_of};
pub use decoding::Place;
pub use detection::LanguageDetector;
pub use error::PipelineError;
pub use pipeline::{Finished, Pipeline};
pub use processes::{ProcessLock, RequeueError};
pub use source::{Sound, Source, SourceEvent};
pub use transcribe::{Ended, Sink, Transcribing, Transcription};
pub use workers::{Intervals, Retention, Stop, Workers};

//! Whisper speech recognition on the CPU: speech in, timed text out.
//!
//! The way through: a [`Windows`] iterator cuts a stream of samples into [`Window`]s of speech by
//! voice activity ([`Vad`]); a [`Transcriber`] encodes windows, tells their language and decodes them
//! to [`Segment`]s whose times are seconds of the original stream.
//!
//! Everything here blocks and computes on the calling thread and rayon's pool; nothing is async.
//! All audio is 16 kHz mono `f32` in -1 … 1.

mod align;
mod attention;
mod config;
mod decoder;
mod encoder;
mod error;
mod hypothesis;
mod language;
mod level;
mod linear;
mod mel;
mod model;
mod options;
mod placing;
mod precision;
mod quantize;
#[cfg(test)]
mod reference;
mod repetition;
mod rules;
mod search;
mod segments;
mod spans;
mod stages;
mod suspect;
mod tokenizer;
mod transcriber;
mod transcript;
mod vad;
mod vector;
mod vocabulary;
mod voice;
mod weights;
mod window;
mod windows;

pub use error::Error;
pub use language::{Language, LanguageProbabilities};
pub use model::Model;
pub use options::{Options, Task};
pub use precision::ComputeType;
pub use stages::Stage;
pub use transcriber::{DecodeRequest, Encoded, Session, Transcriber};
pub use transcript::{Segment, WindowTranscript, Word};
pub use vad::Vad;
pub use window::Window;
pub use windows::{CUTTER_VERSION, Windows};

/// Samples a second that the model and voice activity detection work on.
pub const SAMPLE_RATE: usize = 16_000;

/// The longest window the model can hear, in seconds.
pub const WINDOW_SECONDS: usize = 30;

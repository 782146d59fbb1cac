//! The data types that all speech recognizers share: what they take and what they return.
//!
//! A [`Window`] is audio to transcribe with its place in the recording, [`DecodeOptions`] say how to transcribe it,
//! and a [`WindowTranscript`] is the result: [`Segment`]s of [`Word`]s, with times in seconds of the original
//! recording. A recognizer turns windows into transcripts. This crate computes nothing and knows no family of models;
//! its types are plain data that can be stored, compared and sent between machines.
//!
//! All audio is 16 kHz mono `f32` in -1 … 1.

mod cuts;
mod language;
mod options;
mod transcript;
mod voice;
mod window;

pub use language::{Language, LanguageProbabilities};
pub use options::{DecodeOptions, Task};
pub use transcript::{Segment, WindowTranscript, Word};
pub use voice::Voice;
pub use window::{PADDING, Piece, Window, WindowBytesError, sample_at, seconds_of};

/// The sample rate of all audio, in Hz.
pub const SAMPLE_RATE: usize = 16_000;

/// The maximum length of a window, in seconds: the input length of Whisper's encoder.
pub const WINDOW_SECONDS: usize = 30;

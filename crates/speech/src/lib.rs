//! What every speech recognizer takes and says, as plain data: it is stored, compared and sent between machines.
//!
//! A [`Window`] is sound to transcribe with its place in the recording, [`DecodeOptions`] say how, and a
//! [`WindowTranscript`] is what was said: [`Segment`]s of [`Word`]s whose times are seconds of the original. Whatever turns
//! the one into the other is a recognizer; nothing here computes, and nothing here belongs to one family of models.
//!
//! All audio is 16 kHz mono `f32` in -1 … 1.

mod language;
mod options;
mod transcript;
mod voice;
mod window;

pub use language::{Language, LanguageProbabilities};
pub use options::{DecodeOptions, Task};
pub use transcript::{Segment, WindowTranscript, Word};
pub use voice::Voice;
pub use window::{PADDING, Piece, Window, WindowBytesError, seconds_of};

/// Samples a second of all audio.
pub const SAMPLE_RATE: usize = 16_000;

/// The longest window, in seconds: what Whisper's encoder takes at once.
pub const WINDOW_SECONDS: usize = 30;

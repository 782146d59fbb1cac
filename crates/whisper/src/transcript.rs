//! What the engine has to say about a window: plain data.

use serde::{Deserialize, Serialize};

use crate::{Language, LanguageProbabilities};

/// A stretch of text with its times, in the form that Whisper's own tools print.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Where the window that this came from starts in the original audio, in frames of 10 ms.
    pub seek: u64,
    /// Seconds in the original audio.
    pub start: f64,
    /// Seconds in the original audio.
    pub end: f64,
    pub text: String,
    /// Text and timestamp tokens as the model gave them.
    pub tokens: Vec<u32>,
    /// The temperature at which this was decoded: 0 unless the fallback had to raise it.
    pub temperature: f32,
    /// Mean natural logarithm of the tokens' probabilities.
    pub avg_logprob: f32,
    /// Bytes of text over bytes of the same text compressed by zlib; repetition drives it up.
    pub compression_ratio: f32,
    /// How probable the model holds it that the window has no speech.
    pub no_speech_prob: f32,
}

/// All that was found in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowTranscript {
    /// In order of time; empty where the window holds no speech.
    pub segments: Vec<Segment>,
    /// The language that the window was decoded in.
    pub language: Language,
    /// What the model thinks of the window's language, whatever it was told.
    pub language_probabilities: LanguageProbabilities,
}

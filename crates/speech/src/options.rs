//! How to decode.

use serde::{Deserialize, Serialize};

use crate::Language;

/// What to do with the speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Write it down in its own language.
    #[default]
    Transcribe,
    /// Write it down in English.
    Translate,
}

impl Task {
    /// Takes `transcribe` or `translate`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "transcribe" => Some(Self::Transcribe),
            "translate" => Some(Self::Translate),
            _ => None,
        }
    }

    /// The language of a text, by the one that was spoken.
    pub fn written(self, spoken: Language) -> Language {
        match self {
            Self::Transcribe => spoken,
            Self::Translate => Language::ENGLISH,
        }
    }
}

/// How to decode. Thresholds and temperatures default to those of OpenAI's reference implementation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecodeOptions {
    /// `None`: the window's most probable language.
    pub language: Option<Language>,
    /// Decode a window that is clearly in another language than `language` in its own.
    pub follow_language: bool,
    pub task: Task,
    /// Let the model say where segments start and end. Without, a window is one segment.
    pub timestamps: bool,
    /// Have every window written down to its end. Without, a window's last segment may be left out where the
    /// model takes it to run on behind the window, as in OpenAI's reference, whose next window starts there.
    pub whole_windows: bool,
    /// Find out when each word was said, and time segments by their words.
    pub word_timestamps: bool,
    /// Text that the model is to believe came before every window: names, spelling, style.
    ///
    /// With `hotwords`, it may be as long as half of the decoder's context, less one token; of more, its end counts.
    pub initial_prompt: Option<String>,
    /// Words that the model is to expect, in their spelling. They stand before `initial_prompt`, and are cut at
    /// their end where they are longer than the two may be together.
    pub hotwords: Option<String>,
    /// Tried in turn until a decoding passes the thresholds below.
    pub temperatures: Vec<f32>,
    /// A higher compression ratio of the text means that it repeats itself: try the next temperature. So does
    /// a phrase that comes four times in a row or more, unless this is `None`.
    pub compression_ratio_threshold: Option<f32>,
    /// A lower mean log-probability means that the model is lost: try the next temperature.
    pub logprob_threshold: Option<f32>,
    /// A window above this with a mean log-probability under `logprob_threshold` is silence.
    pub no_speech_threshold: Option<f32>,
    /// Texts followed side by side at temperature 0, of which the most probable is kept; 1 is greedy decoding.
    pub beam_size: usize,
    /// Samples drawn at temperatures above 0; the most probable is kept.
    pub best_of: usize,
    /// Seeds the sampling, so that a run repeats.
    pub seed: u64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            language: None,
            follow_language: false,
            task: Task::Transcribe,
            timestamps: true,
            whole_windows: true,
            word_timestamps: true,
            initial_prompt: None,
            hotwords: None,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            compression_ratio_threshold: Some(2.4),
            logprob_threshold: Some(-1.0),
            no_speech_threshold: Some(0.6),
            beam_size: 5,
            best_of: 5,
            seed: 0,
        }
    }
}

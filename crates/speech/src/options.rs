//! The options of transcription.

use serde::{Deserialize, Serialize};

use crate::Language;

/// In which language the speech is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// In the language that was spoken.
    #[default]
    Transcribe,
    /// In English.
    Translate,
}

impl Task {
    /// Reads `transcribe` or `translate`, in any case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "transcribe" => Some(Self::Transcribe),
            "translate" => Some(Self::Translate),
            _ => None,
        }
    }

    /// The language of the text, given the language that was spoken.
    pub fn written(self, spoken: Language) -> Language {
        match self {
            Self::Transcribe => spoken,
            Self::Translate => Language::ENGLISH,
        }
    }
}

/// How to transcribe a window. Thresholds and temperatures default to those of OpenAI's reference implementation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecodeOptions {
    /// The language that is spoken. `None` takes the most probable one in each window.
    pub language: Option<Language>,
    /// Decode a window in its own language if that clearly is not `language`.
    pub follow_language: bool,
    /// Transcription or translation.
    pub task: Task,
    /// Let the model predict where segments start and end. If not, a window is one segment.
    pub timestamps: bool,
    /// Transcribe all speech of every window: to its end, and again where speech was left out. Short windows are also
    /// decoded without timestamps. If not, a window is decoded once, and its last segment may be left out because the
    /// model takes it to continue after the window. OpenAI's reference does this, and starts the next window there.
    pub whole_windows: bool,
    /// Compute when each word was said, and take the times of segments from their words.
    pub word_timestamps: bool,
    /// Text that is given to the model as what was said before every window. It suggests names, spelling and style.
    ///
    /// With `hotwords`, at most half of the decoder's context less one token is used; of a longer prompt, its end.
    pub initial_prompt: Option<String>,
    /// Words that are to be expected, in their spelling. They are put before `initial_prompt`. If they alone exceed
    /// the length that the two may have together, their end is cut off.
    pub hotwords: Option<String>,
    /// The temperatures to try in turn until a decoding passes the thresholds below.
    pub temperatures: Vec<f32>,
    /// The text repeats itself if its compression ratio is higher: the next temperature is tried. The same applies to
    /// a phrase that is repeated four times in a row or more. `None` turns both checks off.
    pub compression_ratio_threshold: Option<f32>,
    /// The model is unsure if the mean log-probability is lower: the next temperature is tried.
    pub logprob_threshold: Option<f32>,
    /// A window has no speech if its no-speech probability is higher and its mean log-probability is below
    /// `logprob_threshold`.
    pub no_speech_threshold: Option<f32>,
    /// The number of hypotheses in beam search, at temperature 0; 1 is greedy decoding.
    pub beam_size: usize,
    /// The number of texts sampled at temperatures above 0, of which the most probable is kept.
    pub best_of: usize,
    /// The seed of the sampling, which makes it reproducible.
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

//! What a recognizer returns for a window.

use serde::{Deserialize, Serialize};

use crate::{Language, LanguageProbabilities};

/// A piece of text with its times, with the fields that Whisper's own tools print.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// The start of its window in the original audio, in frames of 10 ms.
    pub seek: u64,
    /// Seconds in the original audio.
    pub start: f64,
    /// Seconds in the original audio.
    pub end: f64,
    /// With the space before it, if its script puts one between words.
    pub text: String,
    /// Text and timestamp tokens as the model gave them.
    pub tokens: Vec<u32>,
    /// The temperature of the decoding: above 0 only after a fallback.
    pub temperature: f32,
    /// Mean natural logarithm of the tokens' probabilities.
    pub avg_logprob: f32,
    /// The length of the text over its length when compressed by zlib. Repetition makes it high.
    pub compression_ratio: f32,
    /// The probability, by the model, that the window has no speech.
    pub no_speech_prob: f32,
    /// The text was probably not said. Either voice activity detection found hardly any speech during the segment and
    /// the model is unsure, or the segment repeats a phrase many times.
    #[serde(default)]
    pub suspect: bool,
    /// The words of `text`, in order; empty if [`DecodeOptions::word_timestamps`] is off.
    ///
    /// [`DecodeOptions::word_timestamps`]: crate::DecodeOptions::word_timestamps
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

/// A word with its punctuation marks, and when it was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// With the space before it, if there is one: the words of a segment, joined, are its text.
    pub word: String,
    /// Seconds in the original audio.
    pub start: f64,
    /// Seconds in the original audio.
    pub end: f64,
    /// The mean probability of its tokens, without those of punctuation.
    pub probability: f32,
}

/// The transcript of one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowTranscript {
    /// In order of time; empty if the window has no speech.
    pub segments: Vec<Segment>,
    /// The language that the window was decoded in: that of the speech, and of the text unless it was translated.
    pub language: Language,
    /// The probability of each language by the model, whichever language the options name.
    pub language_probabilities: LanguageProbabilities,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_segments_without_words_can_still_be_read() {
        let stored = r#"{"seek":0,"start":0.5,"end":1.5,"text":" Hello.","tokens":[50389,2425,13,50439],
            "temperature":0.0,"avg_logprob":-0.25,"compression_ratio":0.5,"no_speech_prob":0.01}"#;
        let segment: Segment = serde_json::from_str(stored).unwrap();
        assert_eq!((segment.text.as_str(), segment.words.len(), segment.suspect), (" Hello.", 0, false));
        let again = serde_json::to_value(&segment).unwrap();
        assert_eq!(again.get("words"), None, "what has no words is written as before");
    }
}

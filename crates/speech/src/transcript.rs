//! What a recognizer says about a window: plain data.

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
    /// Probably not said: voice activity detection heard hardly any speech under it and the model is unsure, or
    /// it repeats a phrase over and over.
    #[serde(default)]
    pub suspect: bool,
    /// The words of `text`, in order; empty where [`DecodeOptions::word_timestamps`] is off.
    ///
    /// [`DecodeOptions::word_timestamps`]: crate::DecodeOptions::word_timestamps
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

/// A word with its punctuation marks, and when it was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// With the space before it, where there is one: a segment's words, put together, are its text.
    pub word: String,
    /// Seconds in the original audio.
    pub start: f64,
    /// Seconds in the original audio.
    pub end: f64,
    /// The mean probability of its tokens, but for the punctuation marks.
    pub probability: f32,
}

/// All that was found in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowTranscript {
    /// In order of time; empty where the window holds no speech.
    pub segments: Vec<Segment>,
    /// The language that the window was decoded in: that of the speech, and of the text unless it was translated.
    pub language: Language,
    /// What the model thinks of the window's language, whatever it was told.
    pub language_probabilities: LanguageProbabilities,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_stored_before_words_were_known_can_still_be_read() {
        let stored = r#"{"seek":0,"start":0.5,"end":1.5,"text":" Hello.","tokens":[50389,2425,13,50439],
            "temperature":0.0,"avg_logprob":-0.25,"compression_ratio":0.5,"no_speech_prob":0.01}"#;
        let segment: Segment = serde_json::from_str(stored).unwrap();
        assert_eq!((segment.text.as_str(), segment.words.len(), segment.suspect), (" Hello.", 0, false));
        let again = serde_json::to_value(&segment).unwrap();
        assert_eq!(again.get("words"), None, "what has no words is written as before");
    }
}

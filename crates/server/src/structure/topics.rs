//! What a recording is about, in stretches.

use verbatim_whisper::{Language, Segment};

use super::sentences;
use crate::result::Topic;

/// The recording's topics: one, without a summary, that holds every sentence. A recording without words
/// has none.
pub fn topics(segments: &[Segment], language: Option<Language>) -> Vec<Topic> {
    let sentences = sentences(segments, language);
    let Some(seconds) = sentences.first().map(|sentence| sentence.start) else { return Vec::new() };
    let sentences = sentences.into_iter().map(|sentence| sentence.text).collect();
    vec![Topic { summary: String::new(), seconds, sentences }]
}

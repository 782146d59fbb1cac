//! What a recording is about, in stretches.

use crate::result::{Sentence, Topic};

/// The recording's topics: one, without a summary, that holds every sentence. A recording without words
/// has none.
pub fn topics(sentences: &[Sentence]) -> Vec<Topic> {
    let Some(first) = sentences.first() else { return Vec::new() };
    let texts = sentences.iter().map(|sentence| sentence.text.clone()).collect();
    vec![Topic { summary: String::new(), seconds: first.start, sentences: texts }]
}

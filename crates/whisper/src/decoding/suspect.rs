//! Segments that were probably not said: the model writes sentences it has often seen where nothing is said,
//! and loops where it is lost.

use crate::text::repetition::loops;
use crate::text::segments::TextSegment;
use crate::text::tokenizer::Tokenizer;
use verbatim_speech::{Window, Word};

/// Voice activity detection takes a sound for speech, or for a pause within it, from this probability on.
const VOICED: f32 = 0.35;

/// Under a segment that was said, at least this share of the time is voiced. On our recordings it is 0.44 and more,
/// but for one word at 0.13; under what is made up it is 0.
const LEAST_VOICED: f64 = 0.1;

/// A text without a voice under it may still be right where the model is surer than this. Of what it makes up on
/// our noises it is sure by 0.5 at most.
const SURE: f32 = 0.6;

/// Looked at around a segment whose words tell no better, in seconds.
const MARGIN: f64 = 0.1;

/// Whether a segment lies where there is hardly a voice, and the model is not sure of it. `span` is the segment
/// and `words` what is in it, in seconds from the window's start; `probability` is the mean over the window's
/// tokens.
pub(crate) fn lacks_voice(
    window: &Window,
    span: (f64, f64),
    words: &[Word],
    text: &str,
    probability: f32,
) -> bool {
    let of_words = words.iter().map(|word| (word.start, word.end));
    // Also what lasts no time was said somewhere.
    let around = ((span.0 - MARGIN).max(0.0), span.1 + MARGIN);
    let Some(voiced) = voiced(window, of_words).or_else(|| voiced(window, [around])) else { return false };
    // Words are more probable the second time, so those of a window that goes in circles say too much.
    let of_words = words.iter().map(|word| word.probability).sum::<f32>() / words.len() as f32;
    let probability = if words.is_empty() { probability } else { probability.min(of_words) };
    // Of a lone full stop the model is often sure.
    voiced < LEAST_VOICED && (probability < SURE || !text.contains(char::is_alphanumeric))
}

/// The share of the time of all spans that is voiced; `None` where that is no time, or where nobody listened.
fn voiced(window: &Window, spans: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let (mut voiced, mut all) = (0.0, 0.0);
    for (start, end) in spans {
        if let Some(share) = window.voiced(start, end, VOICED) {
            voiced += f64::from(share) * (end - start);
            all += end - start;
        }
    }
    (all > 0.0).then(|| voiced / all)
}

/// For each segment of a window, whether most of it is one phrase over and over.
pub(crate) fn looping(segments: &[TextSegment], tokenizer: &Tokenizer) -> Vec<bool> {
    let is_text = |token: &u32| *token < tokenizer.end_of_text;
    let text: Vec<u32> =
        segments.iter().flat_map(|segment| segment.tokens.iter().copied()).filter(is_text).collect();
    let loops = loops(&text);
    let mut end = 0;
    let is_looping = |segment: &TextSegment| {
        let start = end;
        end += segment.tokens.iter().copied().filter(is_text).count();
        let within = (start..end).filter(|at| loops.iter().any(|range| range.contains(at))).count();
        2 * within > end - start
    };
    segments.iter().map(is_looping).collect()
}

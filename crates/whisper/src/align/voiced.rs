//! Words are where a voice is.
//!
//! The path through the attention gives every moment to some word. Beside a pause that is the word before or behind it,
//! which then lasts over part of the pause. Words at the ends of sentences are shortened for that, some by too much.

use verbatim_speech::{Window, Word, sample_at, seconds_of};

/// A frame counts as speech from this probability on.
const VOICED: f32 = 0.35;

/// Voice activity detection hears a soft first sound late: a word starts this much before it, in seconds.
const ONSET: f64 = 0.05;

/// What is less silence than this, in seconds, stays with its word.
const LEAST: f64 = 0.15;

/// Takes the silence at the front of each word off, if there is a voice behind it, and lets a word before a pause last as
/// long as its voice does. Times are seconds from the window's start.
pub(crate) fn fit(window: &Window, segments: &mut [Vec<Word>]) {
    if window.voice.is_empty() {
        return;
    }
    let mut next_start = window.samples.len() as u64;
    for word in segments.iter_mut().flatten().rev() {
        if let Some(onset) = window.voice.onset(sample_at(word.start), sample_at(word.end), VOICED) {
            let start = seconds_of(onset) - ONSET;
            if start - word.start >= LEAST {
                word.start = start;
            }
        }
        let end = sample_at(word.end);
        if end < next_start {
            word.end = word.end.max(seconds_of(window.voice.offset(end, next_start, VOICED)));
        }
        next_start = sample_at(word.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Silence, speech from 1 s to 2 s and silence again, in frames of 0.1 s.
    fn window() -> Window {
        let mut window = Window::new(0, 0.0, vec![0.0; 48_000]);
        (0..30).for_each(|frame| window.voice.push(frame * 1600, if frame / 10 == 1 { 0.9 } else { 0.1 }));
        window
    }

    /// The words after fitting, from their times before it.
    fn fitted(window: &Window, times: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let word = |(start, end): &(f64, f64)| Word {
            word: " a".into(),
            start: *start,
            end: *end,
            probability: 1.0,
        };
        // Each is a segment of its own, which makes no difference.
        let mut segments: Vec<Vec<Word>> = times.iter().map(|times| vec![word(times)]).collect();
        fit(window, &mut segments);
        segments.concat().iter().map(|word| (word.start, word.end)).collect()
    }

    #[test]
    fn a_word_starts_with_its_voice() {
        let start = |start, end| fitted(&window(), &[(start, end)])[0].0;
        assert_eq!(start(0.2, 1.5), 0.95);
        assert_eq!(start(0.9, 1.5), 0.9, "a soft sound may be before it");
        assert_eq!(start(1.2, 1.5), 1.2);
        assert_eq!(start(0.2, 0.8), 0.2, "there is no voice");
        assert_eq!(start(0.2, 0.2), 0.2);
    }

    #[test]
    fn a_word_lasts_as_long_as_its_voice() {
        let end = |times: &[(f64, f64)]| fitted(&window(), times)[0].1;
        assert_eq!(end(&[(1.2, 1.5)]), 2.0);
        assert_eq!(end(&[(1.2, 1.5), (1.7, 1.8)]), 1.7, "the next word begins");
        assert_eq!(end(&[(1.2, 1.5), (1.5, 1.8)]), 1.5);
        assert_eq!(end(&[(1.2, 2.2)]), 2.2, "it is not shortened");
        assert_eq!(end(&[(0.2, 0.8)]), 0.8);
    }

    #[test]
    fn nothing_moves_where_nobody_listened() {
        let window = Window::new(0, 0.0, vec![0.0; 48_000]);
        assert_eq!(fitted(&window, &[(0.2, 1.5)]), [(0.2, 1.5)]);
    }
}

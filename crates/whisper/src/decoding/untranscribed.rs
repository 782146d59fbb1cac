//! Speech for which a window's transcript has no words.
//!
//! Whisper at times leaves out whole sentences: it stops at a pause or at another voice, or its timestamps jump ahead.
//! Voice activity detection tells that something was said there.

use std::ops::Range;

use verbatim_speech::{SAMPLE_RATE, Window, Word, sample_at};

/// A frame counts as speech from this probability on: the threshold at which a window is opened.
const VOICED: f32 = 0.5;

/// The times of words are this exact. What is nearer to a word may belong to it: 0.2 s.
const MARGIN: u64 = SAMPLE_RATE as u64 / 5;

/// A stretch of a window between two words, or between a word and the window's start or end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) samples: Range<u64>,
    /// Seconds of speech within.
    pub(crate) voiced: f64,
}

/// The stretches that hold speech and no words. `spans` and `words` are those of the transcript's segments, in seconds
/// from the window's start; a segment without words is taken to be spoken from its start to its end. None where nobody
/// listened for a voice.
pub(crate) fn untranscribed(window: &Window, spans: &[(f64, f64)], words: &[Vec<Word>]) -> Vec<Stretch> {
    let length = window.samples.len() as u64;
    let sample = |seconds: f64| sample_at(seconds).min(length);
    let mut covered: Vec<(u64, u64)> = Vec::new();
    for (span, words) in spans.iter().zip(words) {
        let of_words = words.iter().map(|word| (word.start, word.end));
        let whole = words.is_empty().then_some(*span);
        covered.extend(of_words.chain(whole).map(|(start, end)| (sample(start), sample(end))));
    }
    covered.sort_unstable();
    let mut stretches = Vec::new();
    let mut free_from = 0;
    for (start, end) in covered.into_iter().chain([(length, length)]) {
        if start > free_from {
            stretches.extend(stretch(window, free_from..start));
        }
        free_from = free_from.max(end);
    }
    stretches
}

/// The stretch, if there is speech in it that is not near a word.
fn stretch(window: &Window, samples: Range<u64>) -> Option<Stretch> {
    let from = if samples.start > 0 { samples.start + MARGIN } else { 0 };
    let at_end = samples.end == window.samples.len() as u64;
    let to = if at_end { samples.end } else { samples.end.saturating_sub(MARGIN) };
    let share = window.voice.share(from, to, VOICED)?;
    let voiced = f64::from(share) * (to - from) as f64 / SAMPLE_RATE as f64;
    (voiced > 0.0).then_some(Stretch { samples, voiced })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds with a voice in the frames of 0.1 s that are named.
    fn window(voiced: &[(u64, u64)]) -> Window {
        let mut window = Window::new(0, 0.0, vec![0.0; 160_000]);
        for frame in 0..100 {
            let is_voiced = voiced.iter().any(|(from, to)| (*from..*to).contains(&frame));
            window.voice.push(frame * 1600, if is_voiced { 0.9 } else { 0.1 });
        }
        window
    }

    fn word(start: f64, end: f64) -> Word {
        Word { word: " a".into(), start, end, probability: 1.0 }
    }

    /// Start and end of each stretch, and the speech in it, in tenths of seconds.
    fn found(window: &Window, spans: &[(f64, f64)], words: &[Vec<Word>]) -> Vec<(u64, u64, u64)> {
        let tenths = |stretch: &Stretch| {
            let Range { start, end } = stretch.samples;
            (start / 1600, end / 1600, (stretch.voiced * 10.0).round() as u64)
        };
        untranscribed(window, spans, words).iter().map(tenths).collect()
    }

    #[test]
    fn a_sentence_without_words_is_found_at_the_front_between_words_and_at_the_end() {
        let window = window(&[(5, 20), (30, 50), (60, 80), (85, 100)]);
        let words = [vec![word(3.0, 4.0), word(4.0, 5.0)], vec![word(8.5, 8.6)]];
        assert_eq!(
            found(&window, &[(3.0, 5.0), (8.5, 8.6)], &words),
            [(0, 30, 15), (50, 85, 20), (86, 100, 12)]
        );
        assert_eq!(
            found(&window, &[(0.0, 10.0)], &[vec![]]),
            [],
            "a segment without words is taken at its times"
        );
        assert_eq!(found(&window, &[], &[]), [(0, 100, 70)]);
    }

    #[test]
    fn what_is_near_a_word_belongs_to_it() {
        let window = window(&[(0, 100)]);
        let words = [vec![word(0.1, 4.9), word(5.2, 9.9)]];
        assert_eq!(found(&window, &[(0.1, 9.9)], &words), []);
        assert_eq!(found(&window, &[(0.0, 9.9)], &[vec![word(0.0, 4.9), word(5.4, 10.0)]]), [(49, 54, 1)]);
        assert_eq!(untranscribed(&Window::new(0, 0.0, vec![0.0; 160_000]), &[], &[]), [], "nobody listened");
    }
}

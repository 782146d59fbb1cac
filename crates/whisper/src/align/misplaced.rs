//! Words that alignment puts on the far side of a silence that was left out of their window.
//!
//! A sound that is no speech, a click or a chord, may pass for some and stand at the front of a window, tens of
//! seconds before the rest. The way that alignment finds through the attention begins at the window's first frame,
//! so that the first word is spread over that sound. Whether a word was really said there cannot be told from the
//! attention, which is as high on either side. But it can be tried: without the sound the model holds the word to
//! be as probable as before if it was said elsewhere, and to be improbable if it was said there.

use std::ops::Range;

use verbatim_speech::{SAMPLE_RATE, Word};
use verbatim_speech::{Window, sample_at, seconds_of};

/// Only a silence of which at least so much was left out puts a word far from where it was said: 2 s.
pub(crate) const LONG_SILENCE: u64 = 2 * SAMPLE_RATE as u64;

/// A sentence with more words than this on either side of a silence goes on over it.
const MOST_WORDS: usize = 3;

/// Words that were said elsewhere are at least this share as probable without the sound. Of those that we know it is
/// 0.4 and more, and 0.11 and less of words that were said in the sound.
const AS_PROBABLE: f32 = 0.2;

/// A few words at the front or the end of a segment, apart from the rest of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Misplaced {
    pub(crate) segment: usize,
    pub(crate) words: Range<usize>,
    /// The samples of the window in which no other word lies than these.
    pub(crate) sound: Range<u64>,
    /// The silence follows the words, and the rest of the segment follows the silence.
    leading: bool,
}

/// The words of a window, by segments and in seconds from its start, that lie alone on one side of a long silence.
pub(crate) fn misplaced(window: &Window, segments: &[Vec<Word>]) -> Vec<Misplaced> {
    let mut found = Vec::new();
    for cut in window.cuts(LONG_SILENCE) {
        let at = seconds_of(cut);
        let is_before = |word: &Word| (word.start + word.end) / 2.0 < at;
        for (segment, words) in segments.iter().enumerate() {
            let before = words.iter().take_while(|word| is_before(word)).count();
            let behind = words.len() - before;
            if before.min(behind) == 0 || before.min(behind) > MOST_WORDS {
                continue;
            }
            let leading = before <= behind;
            let (words, sound) = if leading {
                let spoken_until = segments[..segment].iter().flatten().last().map_or(0.0, |word| word.end);
                (0..before, sample_at(spoken_until).min(cut)..cut)
            } else {
                let next = segments[segment + 1..].iter().flatten().next();
                let end = next.map_or(window.samples.len() as u64, |word| sample_at(word.start));
                (before..before + behind, cut..end.max(cut))
            };
            if !sound.is_empty() {
                found.push(Misplaced { segment, words, sound, leading });
            }
        }
    }
    found
}

impl Misplaced {
    /// The window's samples without the sound that the words are said to lie in.
    pub(crate) fn without_sound(&self, window: &Window) -> Vec<f32> {
        let range = self.sound.start as usize..self.sound.end as usize;
        [&window.samples[..range.start], &window.samples[range.end..]].concat()
    }

    /// Moves the words to where they are in `elsewhere`, the same text aligned with [`Self::without_sound`], if
    /// they are probable enough there.
    pub(crate) fn correct(&self, segments: &mut [Vec<Word>], elsewhere: &[Vec<Word>]) {
        let Some(others) = elsewhere.get(self.segment).and_then(|words| words.get(self.words.clone())) else {
            return;
        };
        let words = &mut segments[self.segment];
        let probability = |words: &[Word]| words.iter().map(|word| word.probability).sum::<f32>();
        if probability(others) < AS_PROBABLE * probability(&words[self.words.clone()]) {
            return;
        }
        // In the window the sound is still there; and the words stay beside the rest of their segment.
        let (earliest, latest, shift) = if self.leading {
            let rest = words[self.words.end].end;
            (seconds_of(self.sound.end), rest, seconds_of(self.sound.end - self.sound.start))
        } else {
            let before = words[self.words.start - 1].start;
            // What lies at the cut itself is behind it.
            (before, seconds_of(self.sound.start.saturating_sub(1)).max(before), 0.0)
        };
        for (word, other) in words[self.words.clone()].iter_mut().zip(others) {
            word.start = (other.start + shift).clamp(earliest, latest);
            word.end = (other.end + shift).clamp(earliest, latest);
        }
        if self.leading {
            let end = words[self.words.end - 1].end;
            let next = &mut words[self.words.end];
            next.start = next.start.max(end);
        } else {
            let start = words[self.words.start].start;
            let before = &mut words[self.words.start - 1];
            before.end = before.end.min(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verbatim_speech::Piece;

    /// Pieces of 1 s and 4 s, between which 39 s were left out.
    fn window() -> Window {
        let pieces = vec![Piece { offset: 0, origin: 0 }, Piece { offset: 16_000, origin: 640_000 }];
        Window { pieces, ..Window::new(0, 0.0, vec![0.0; 80_000]) }
    }

    fn words(times: &[(f64, f64)]) -> Vec<Word> {
        let word = |(start, end): &(f64, f64)| Word {
            word: " a".into(),
            start: *start,
            end: *end,
            probability: 0.8,
        };
        times.iter().map(word).collect()
    }

    fn times(words: &[Word]) -> Vec<(f64, f64)> {
        let round = |seconds: f64| (seconds * 100.0).round() / 100.0;
        words.iter().map(|word| (round(word.start), round(word.end))).collect()
    }

    /// The words of two segments, and those that lie alone.
    fn found(first: &[(f64, f64)], second: &[(f64, f64)]) -> Vec<(usize, Range<usize>, Range<u64>)> {
        let misplaced = misplaced(&window(), &[words(first), words(second)]);
        misplaced.into_iter().map(|apart| (apart.segment, apart.words, apart.sound)).collect()
    }

    #[test]
    fn words_are_alone_where_the_rest_of_their_segment_is_behind_a_silence() {
        let rest = [(1.1, 1.3), (1.3, 1.6), (1.6, 2.0), (2.0, 2.2)];
        let with = |first: &[(f64, f64)]| [first, &rest].concat();
        assert_eq!(found(&with(&[(0.0, 1.1)]), &[]), [(0, 0..1, 0..16_000)], "at the front");
        let until = (0.2, 0.5);
        assert_eq!(found(&[until], &with(&[(0.6, 0.9)])), [(1, 0..1, 8_000..16_000)], "behind others");
        assert_eq!(found(&[(0.1, 0.3), (0.3, 0.9), (1.2, 1.4)], &[]), [(0, 2..3, 16_000..80_000)]);
        assert_eq!(found(&[(0.1, 0.3), (0.3, 0.9), (1.2, 1.4)], &[(2.0, 3.0)]), [(0, 2..3, 16_000..32_000)]);
        let four = [(0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8)];
        assert_eq!(found(&with(&four), &[]), [], "a sentence goes on");
        assert_eq!(found(&four, &rest), [], "each segment keeps to its side");
    }

    #[test]
    fn only_a_long_silence_parts_words() {
        let mut window = window();
        let segments = [words(&[(0.0, 0.9), (1.1, 1.3), (1.3, 1.6)])];
        window.pieces[1].origin = 16_000 + LONG_SILENCE;
        assert_eq!(misplaced(&window, &segments).len(), 1);
        window.pieces[1].origin -= 1;
        assert_eq!(misplaced(&window, &segments), []);
        window.pieces.truncate(1);
        assert_eq!(misplaced(&window, &segments), []);
    }

    #[test]
    fn words_that_are_as_probable_without_the_sound_go_to_the_rest() {
        let mut segments = [words(&[(0.0, 1.1), (1.1, 1.3), (1.3, 1.6)])];
        let apart = misplaced(&window(), &segments).remove(0);
        assert_eq!(apart.without_sound(&window()).len(), 64_000);
        // Times are from the cut on.
        let mut elsewhere = [words(&[(0.0, 0.15), (0.15, 0.3), (0.3, 0.6)])];
        elsewhere[0][0].probability = 0.1;
        apart.correct(&mut segments, &elsewhere);
        assert_eq!(times(&segments[0]), [(0.0, 1.1), (1.1, 1.3), (1.3, 1.6)], "it was said there");
        elsewhere[0][0].probability = 0.4;
        apart.correct(&mut segments, &[]);
        assert_eq!(times(&segments[0]), [(0.0, 1.1), (1.1, 1.3), (1.3, 1.6)], "nothing could be aligned");
        apart.correct(&mut segments, &elsewhere);
        assert_eq!(times(&segments[0]), [(1.0, 1.15), (1.15, 1.3), (1.3, 1.6)]);
        assert_eq!(window().original_word(segments[0][0].start, segments[0][0].end), (40.0, 40.15));
    }

    #[test]
    fn a_last_word_comes_back_from_behind_the_silence() {
        let mut segments = [words(&[(0.1, 0.3), (0.3, 0.7), (1.2, 1.4)])];
        let apart = misplaced(&window(), &segments).remove(0);
        apart.correct(&mut segments, &[words(&[(0.1, 0.3), (0.3, 0.6), (0.6, 1.0)])]);
        assert_eq!(times(&segments[0]), [(0.1, 0.3), (0.3, 0.6), (0.6, 1.0)]);
        // Also one that lasts no time stays before it.
        let mut segments = [words(&[(0.1, 0.3), (0.3, 0.7), (1.2, 1.4)])];
        apart.correct(&mut segments, &[words(&[(0.1, 0.3), (0.3, 1.0), (1.0, 1.0)])]);
        let (start, end) = window().original_word(segments[0][2].start, segments[0][2].end);
        assert!(end <= 1.0 && start <= end, "{start} {end}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_moved_words_stay_in_order(
            durations in proptest::collection::vec(0.0f64..0.8, 2..8),
            others in proptest::collection::vec(0.0f64..0.8, 8),
        ) {
            let line = |durations: &[f64]| {
                let mut end = 0.0;
                let times: Vec<(f64, f64)> = durations.iter().map(|duration| {
                    let start = end;
                    end += duration;
                    (start, end)
                }).collect();
                words(&times)
            };
            let mut segments = [line(&durations)];
            let elsewhere = [line(&others[..durations.len()])];
            for apart in misplaced(&window(), &segments) {
                apart.correct(&mut segments, &elsewhere);
            }
            let times = times(&segments[0]);
            proptest::prop_assert!(times.iter().all(|(start, end)| start <= end), "{times:?}");
            proptest::prop_assert!(times.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{times:?}");
        }
    }
}

//! Words that alignment puts on the far side of a silence that was left out of their window.
//!
//! A sound that is no speech, a click or a chord, may pass for some and stand at the front of a window, tens of
//! seconds before the rest. The way that alignment finds through the attention begins at the window's first frame,
//! so that the first word is spread over that sound. Whether a word was really heard there cannot be told from the
//! attention, which is as high on either side. But it can be tried: without the sound the model holds the word to
//! be as probable as before if it was said elsewhere, and to be improbable if it was said there.

use std::ops::Range;

use crate::window::{Window, seconds_of};
use crate::{SAMPLE_RATE, Word};

/// Only a silence of which at least so much was left out puts a word far from where it was said: 2 s.
pub(crate) const LONG: u64 = 2 * SAMPLE_RATE as u64;

/// A sentence with more words than this on either side of a silence goes on over it.
const MOST_WORDS: usize = 3;

/// Words that were said elsewhere are at least this share as probable without the sound. On our recordings it is 0.5
/// and more of those, and 0.05 and less of words that were said there.
const AS_PROBABLE: f32 = 0.2;

/// A few words at the front or the end of a segment, apart from the rest of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stray {
    pub(crate) segment: usize,
    pub(crate) words: Range<usize>,
    /// The samples of the window in which no other word lies than these.
    pub(crate) sound: Range<u64>,
    /// The silence follows the words, and the rest of the segment follows the silence.
    leading: bool,
}

/// The words of a window, by segments and in seconds from its start, that lie alone on one side of a long silence.
pub(crate) fn strays(window: &Window, segments: &[Vec<Word>]) -> Vec<Stray> {
    let mut strays = Vec::new();
    for cut in window.cuts(LONG) {
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
                (0..before, sample(spoken_until).min(cut)..cut)
            } else {
                let next = segments[segment + 1..].iter().flatten().next();
                let end = next.map_or(window.samples.len() as u64, |word| sample(word.start));
                (before..before + behind, cut..end.max(cut))
            };
            if !sound.is_empty() {
                strays.push(Stray { segment, words, sound, leading });
            }
        }
    }
    strays
}

impl Stray {
    /// The window's samples without the sound that the words are said to lie in.
    pub(crate) fn without_sound(&self, window: &Window) -> Vec<f32> {
        let range = self.sound.start as usize..self.sound.end as usize;
        [&window.samples[..range.start], &window.samples[range.end..]].concat()
    }

    /// Moves the words to where they are in `elsewhere`, the same text aligned with [`Self::without_sound`], if
    /// they are probable enough there.
    pub(crate) fn settle(&self, segments: &mut [Vec<Word>], elsewhere: &[Vec<Word>]) {
        let Some(others) = elsewhere.get(self.segment).and_then(|words| words.get(self.words.clone())) else {
            return;
        };
        let words = &mut segments[self.segment];
        let mean = |words: &[Word]| words.iter().map(|word| word.probability).sum::<f32>();
        if mean(others) < AS_PROBABLE * mean(&words[self.words.clone()]) {
            return;
        }
        // In the window the sound is still there; and the words stay beside the rest of their segment.
        let (earliest, latest, shift) = if self.leading {
            let rest = words[self.words.end].end;
            (seconds_of(self.sound.end), rest, seconds_of(self.sound.end - self.sound.start))
        } else {
            (words[self.words.start - 1].start, seconds_of(self.sound.start), 0.0)
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

fn sample(seconds: f64) -> u64 {
    (seconds * SAMPLE_RATE as f64).round() as u64
}

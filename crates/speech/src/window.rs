//! A window: a stretch of audio to transcribe, with its place in the recording.

mod bytes;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use self::bytes::WindowBytesError;
use crate::{SAMPLE_RATE, Voice};

/// Samples kept before and after speech: 1 s. A silence of more than twice this within a window is shortened to twice
/// this. Shorter pauses stay as they are: the model was trained on natural speech, and makes fewer errors where
/// sentences keep their pauses (`docs/accuracy.md`).
pub const PADDING: u64 = SAMPLE_RATE as u64;

/// Speech to transcribe: at most 30 s of samples, possibly joined from pieces of the original audio with long
/// silences between them left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Its position among the windows of its recording, from 0.
    pub index: usize,
    /// 16 kHz mono in -1 … 1. Amplified if the recording is very quiet.
    pub samples: Vec<f32>,
    /// The pieces of `samples`, in order; the first has offset 0. Never empty.
    pub pieces: Vec<Piece>,
    /// The probability of speech in each frame of `samples`.
    pub voice: Voice,
}

/// A piece of a window: its samples from `offset` up to the next piece are those of the original from `origin` on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// The index of its first sample in the window.
    pub offset: u64,
    /// The index of its first sample in the original.
    pub origin: u64,
}

impl Window {
    /// A window of one piece that starts `start` seconds into the original.
    pub fn new(index: usize, start: f64, samples: Vec<f32>) -> Self {
        let origin = (start * SAMPLE_RATE as f64).round() as u64;
        Self { index, samples, pieces: vec![Piece { offset: 0, origin }], voice: Voice::default() }
    }

    /// The share of the time from `start` to `end`, in seconds of the window, in which the probability of speech is
    /// at least `threshold`. `None` if the window has no [`Voice`] or `end` is not after `start`.
    pub fn voiced(&self, start: f64, end: f64, threshold: f32) -> Option<f32> {
        self.voice.share(sample_at(start), sample_at(end), threshold)
    }

    /// The samples of `range` as a window of its own, with their places in the original. `range` lies within
    /// `samples` and is not empty.
    pub fn part(&self, range: Range<u64>) -> Self {
        let Range { start, end } = range;
        let first = self.pieces.partition_point(|piece| piece.offset <= start).max(1) - 1;
        let within = self.pieces[first..].iter().take_while(|piece| piece.offset < end);
        let pieces = within.map(|piece| match start.checked_sub(piece.offset) {
            Some(inside) => Piece { offset: 0, origin: piece.origin + inside },
            None => Piece { offset: piece.offset - start, origin: piece.origin },
        });
        let mut voice = Voice::default();
        voice.append(0, &self.voice, start, end);
        Self {
            index: self.index,
            samples: self.samples[start as usize..end as usize].to_vec(),
            pieces: pieces.collect(),
            voice,
        }
    }

    /// The offsets in `samples`, in order, at which at least `left_out` samples of the original were left out.
    pub fn cuts(&self, left_out: u64) -> impl Iterator<Item = u64> {
        self.pieces.windows(2).filter_map(move |pair| {
            let end = pair[0].origin + pair[1].offset - pair[0].offset;
            (pair[1].origin - end >= left_out).then_some(pair[1].offset)
        })
    }

    /// Where the window starts in the original, in seconds.
    pub fn start(&self) -> f64 {
        self.original_start(0.0)
    }

    /// Where the window ends in the original, in seconds.
    pub fn end(&self) -> f64 {
        self.original_end(self.samples.len() as f64 / SAMPLE_RATE as f64)
    }

    /// Maps a span from `start` to `end`, in seconds of the window, to seconds of the original.
    ///
    /// The model puts the border between two segments somewhere in the silence between them. If most of that silence
    /// was left out and a segment reaches only a little beyond the cut, it is taken to end, or to start, at the cut.
    pub fn original_span(&self, start: f64, end: f64) -> (f64, f64) {
        const REACH: f64 = PADDING as f64 / SAMPLE_RATE as f64;
        let cuts = || self.pieces.iter().skip(1).map(|piece| seconds_of(piece.offset));
        let cut_before_end = cuts().find(|cut| start < *cut && *cut < end && end - cut <= REACH);
        let cut_after_start = cuts().find(|cut| start < *cut && *cut < end && cut - start <= REACH);
        match (cut_before_end, cut_after_start) {
            (Some(cut), None) => (self.original_start(start), self.original_end(cut)),
            (None, Some(cut)) => (self.original_start(cut), self.original_end(end)),
            _ => (self.original_start(start), self.original_end(end)),
        }
    }

    /// Maps a word from `start` to `end`, in seconds of the window, to seconds of the original. The word is clipped
    /// to the piece that holds its middle, so that it stays on one side of a silence that was left out.
    pub fn original_word(&self, start: f64, end: f64) -> (f64, f64) {
        let middle = (start + end) / 2.0;
        let next = self.pieces.partition_point(|piece| seconds_of(piece.offset) <= middle);
        let from = self.pieces.get(next.max(1) - 1).map_or(0, |piece| piece.offset);
        let to = self.pieces.get(next).map_or(self.samples.len() as u64, |piece| piece.offset);
        let within = |seconds: f64| seconds.max(seconds_of(from)).min(seconds_of(to));
        (self.original(within(start), next), self.original(within(end), next))
    }

    /// Maps a time in seconds. The border of two pieces belongs to the later one.
    fn original_start(&self, seconds: f64) -> f64 {
        self.original(seconds, self.pieces.partition_point(|piece| seconds_of(piece.offset) <= seconds))
    }

    /// Maps a time in seconds. The border of two pieces belongs to the earlier one.
    fn original_end(&self, seconds: f64) -> f64 {
        self.original(seconds, self.pieces.partition_point(|piece| seconds_of(piece.offset) < seconds))
    }

    /// Maps a time in seconds by the piece before `pieces[next]`.
    fn original(&self, seconds: f64, next: usize) -> f64 {
        let piece = self.pieces[next.max(1) - 1];
        let time = seconds - seconds_of(piece.offset) + seconds_of(piece.origin);
        // Rounded to milliseconds: finer than the model's time steps, and easier to read than 1.3800000000000001.
        (time * 1000.0).round() / 1000.0
    }
}

/// The sample nearest to a time in seconds.
pub fn sample_at(seconds: f64) -> u64 {
    (seconds * SAMPLE_RATE as f64).round() as u64
}

/// The duration of that many samples, in seconds.
pub fn seconds_of(samples: u64) -> f64 {
    samples as f64 / SAMPLE_RATE as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_where_enough_was_left_out() {
        let piece = |offset, origin| Piece { offset, origin };
        let pieces = vec![piece(0, 0), piece(16_000, 20_000), piece(32_000, 100_000)];
        let window = Window { pieces, ..Window::new(0, 0.0, vec![0.0; 48_000]) };
        assert_eq!(window.cuts(4_000).collect::<Vec<_>>(), [16_000, 32_000]);
        assert_eq!(window.cuts(4_001).collect::<Vec<_>>(), [32_000]);
        assert_eq!(Window::new(0, 0.0, vec![0.0; 48_000]).cuts(0).count(), 0);
    }

    #[test]
    fn a_part_keeps_its_place_in_the_original() {
        let piece = |offset, origin| Piece { offset, origin };
        let pieces = vec![piece(0, 16_000), piece(32_000, 320_000), piece(64_000, 640_000)];
        let mut window = Window { pieces, ..Window::new(3, 0.0, (0..96_000).map(|i| i as f32).collect()) };
        (0..96).for_each(|frame| window.voice.push(frame * 1000, frame as f32 / 96.0));
        let part = window.part(40_000..70_000);
        assert_eq!((part.index, part.samples[0], part.samples.len()), (3, 40_000.0, 30_000));
        assert_eq!(part.pieces, [piece(0, 328_000), piece(24_000, 640_000)]);
        assert_eq!((part.start(), part.end()), (20.5, 40.375));
        assert_eq!(part.voice.share(0, 30_000, 40.0 / 96.0), Some(1.0));
        assert_eq!(part.voice.share(0, 2_000, 41.0 / 96.0), Some(0.5));
        assert_eq!(window.part(0..96_000), window);
        assert_eq!(window.part(32_000..33_000).pieces, [piece(0, 320_000)]);
    }

    #[test]
    fn times_are_mapped_to_the_original_on_one_side_of_a_silence() {
        let pieces = vec![Piece { offset: 0, origin: 16_000 }, Piece { offset: 64_000, origin: 320_000 }];
        let window = Window { index: 0, samples: vec![0.0; 128_000], pieces, voice: Voice::default() };
        assert_eq!((window.start(), window.end()), (1.0, 24.0));
        assert_eq!(window.original_span(0.5, 4.0), (1.5, 5.0));
        assert_eq!(window.original_span(4.0, 5.0), (20.0, 21.0));
        assert_eq!(window.original_span(1.0, 4.5), (2.0, 5.0), "it stops before the silence");
        assert_eq!(window.original_span(3.5, 6.0), (20.0, 22.0), "it starts after the silence");
        assert_eq!(window.original_span(1.0, 6.0), (2.0, 22.0), "it continues across the silence");
        assert_eq!(window.original_span(3.7, 4.3), (4.7, 20.3), "it is unknown where it was");
        assert_eq!(window.original_word(3.5, 4.3), (4.5, 5.0), "most of the word was before the silence");
        assert_eq!(window.original_word(3.8, 4.6), (20.0, 20.6), "most of it was after the silence");
        assert_eq!(window.original_word(7.9, 8.0), (23.9, 24.0));
    }
}

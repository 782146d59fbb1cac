//! The probability of speech over time, from voice activity detection.

use serde::{Deserialize, Serialize};

/// The probability of speech, 0 to 1, in each frame of a stretch of audio. Empty if it was not computed.
///
/// A frame is stored as its first sample and its probability. It lasts until the next frame starts; the last has no
/// end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Voice(Vec<(u64, f32)>);

impl Voice {
    /// Whether no probabilities were computed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends a frame that starts at sample `start`.
    pub fn push(&mut self, start: u64, probability: f32) {
        self.0.push((start, probability));
    }

    /// Appends the frames of `other` between its samples `from` and `to`, moved so that `from` becomes sample `at`.
    pub fn append(&mut self, at: u64, other: &Self, from: u64, to: u64) {
        self.0
            .extend(other.between(from, to).map(|(start, _, probability)| (at + start - from, probability)));
    }

    /// Drops the frames that end at or before sample `position`.
    pub fn forget_before(&mut self, position: u64) {
        self.0.drain(..self.frame_at(position));
    }

    /// Whether the frames are in order and all probabilities are finite.
    pub(crate) fn is_in_order(&self) -> bool {
        self.0.is_sorted_by(|(before, _), (next, _)| before < next)
            && self.0.iter().all(|(_, probability)| probability.is_finite())
    }

    /// The share of the samples `from..to`, 0 to 1, in frames with a probability of at least `threshold`. `None` if
    /// there are no samples or no frames.
    pub fn share(&self, from: u64, to: u64, threshold: f32) -> Option<f32> {
        if self.0.is_empty() || from >= to {
            return None;
        }
        let voiced: u64 = self
            .between(from, to)
            .filter(|(_, _, probability)| *probability >= threshold)
            .map(|(start, end, _)| end - start)
            .sum();
        Some(voiced as f32 / (to - from) as f32)
    }

    /// The first sample between `from` and `to` of a frame with a probability of at least `threshold`.
    pub fn onset(&self, from: u64, to: u64, threshold: f32) -> Option<u64> {
        let mut frames = self.between(from, to);
        frames.find(|(_, _, probability)| *probability >= threshold).map(|(start, _, _)| start)
    }

    /// Where the frames from sample `from` on fall below `threshold` for the first time, or `to`.
    pub fn offset(&self, from: u64, to: u64, threshold: f32) -> u64 {
        let mut frames = self.between(from, to);
        frames.find(|(_, _, probability)| *probability < threshold).map_or(to, |(start, _, _)| start)
    }

    /// The first sample of the speech that lasts up to sample `end`: of frames with a probability of at least
    /// `threshold`, with gaps shorter than `gap` samples. Returns `end` if there is none. Frames before `earliest`
    /// are not considered.
    pub fn on_and_off_since(&self, end: u64, threshold: f32, gap: u64, earliest: u64) -> u64 {
        let frames = self.0[..self.0.partition_point(|(start, _)| *start < end)].iter().rev();
        let mut since = end;
        for (start, probability) in frames.take_while(|(start, _)| *start >= earliest) {
            if since - start >= gap {
                break;
            }
            if *probability >= threshold {
                since = *start;
            }
        }
        since
    }

    /// The frames between two samples, clipped to them: start, end, probability.
    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64, f32)> {
        let frames = &self.0[self.frame_at(from)..];
        let ends = frames.iter().skip(1).map(|(start, _)| *start).chain([u64::MAX]);
        let frames = frames.iter().zip(ends).take_while(move |((start, _), _)| *start < to);
        frames.map(move |((start, probability), end)| ((*start).max(from), end.min(to), *probability))
    }

    /// The index of the frame that holds a sample.
    fn frame_at(&self, position: u64) -> usize {
        self.0.partition_point(|(start, _)| *start <= position).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(frames: &[(u64, f32)]) -> Voice {
        let mut voice = Voice::default();
        for (start, probability) in frames {
            voice.push(*start, *probability);
        }
        voice
    }

    #[test]
    fn the_onset_is_the_first_voiced_frame_of_a_stretch() {
        let voice = voice(&[(0, 0.1), (512, 0.2), (1024, 0.9), (1536, 0.8)]);
        assert_eq!(voice.onset(0, 2048, 0.5), Some(1024));
        assert_eq!(voice.onset(1200, 2048, 0.5), Some(1200));
        assert_eq!(voice.onset(0, 1024, 0.5), None);
        assert_eq!(Voice::default().onset(0, 100, 0.0), None);
    }

    #[test]
    fn the_offset_is_where_a_voiced_stretch_ends() {
        let voice = voice(&[(0, 0.1), (512, 0.9), (1024, 0.8), (1536, 0.2), (2048, 0.9)]);
        assert_eq!(voice.offset(600, 3000, 0.5), 1536);
        assert_eq!(voice.offset(600, 1200, 0.5), 1200);
        assert_eq!(voice.offset(100, 3000, 0.5), 100);
        assert_eq!(voice.offset(2100, 3000, 0.5), 3000, "the last frame has no end");
    }

    #[test]
    fn the_share_counts_the_samples_between_from_and_to() {
        let voice = voice(&[(0, 0.9), (100, 0.1), (200, 0.5)]);
        assert_eq!(voice.share(0, 100, 0.5), Some(1.0));
        assert_eq!(voice.share(50, 150, 0.5), Some(0.5));
        assert_eq!(voice.share(100, 200, 0.5), Some(0.0));
        assert_eq!(voice.share(175, 275, 0.5), Some(0.75), "the last frame has no end");
        assert_eq!(voice.share(10, 10, 0.5), None);
        assert_eq!(Voice::default().share(0, 100, 0.5), None, "it was not computed");
    }

    #[test]
    fn speech_goes_back_to_the_first_long_gap() {
        let voice = voice(&[(0, 0.9), (100, 0.0), (200, 0.2), (300, 0.0), (400, 0.2), (500, 0.0)]);
        assert_eq!(voice.on_and_off_since(600, 0.1, 300, 0), 0);
        assert_eq!(voice.on_and_off_since(600, 0.1, 201, 0), 0);
        assert_eq!(voice.on_and_off_since(600, 0.1, 200, 0), 600, "the gap before the end is too long");
        assert_eq!(voice.on_and_off_since(600, 0.1, 300, 150), 200, "no farther back");
        assert_eq!(voice.on_and_off_since(600, 0.95, 300, 0), 600);
        assert_eq!(Voice::default().on_and_off_since(600, 0.1, 300, 0), 600);
    }

    #[test]
    fn appended_frames_follow_each_other() {
        let stream = voice(&[(0, 0.9), (100, 0.1), (200, 0.5), (300, 0.2)]);
        let mut window = Voice::default();
        window.append(0, &stream, 50, 150);
        window.append(100, &stream, 250, 310);
        assert_eq!(window, voice(&[(0, 0.9), (50, 0.1), (100, 0.5), (150, 0.2)]));
    }

    #[test]
    fn the_frame_at_the_position_is_kept() {
        let mut stream = voice(&[(0, 0.9), (100, 0.1), (200, 0.5)]);
        stream.forget_before(150);
        assert_eq!(stream, voice(&[(100, 0.1), (200, 0.5)]));
        stream.forget_before(10_000);
        assert_eq!(stream, voice(&[(200, 0.5)]));
    }
}

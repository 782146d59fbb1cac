//! How probable speech is along a stretch of sound, by voice activity detection.

use serde::{Deserialize, Serialize};

/// A probability for every frame, by the sample at which the frame starts; the last one goes on. Empty where
/// it was not computed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Voice(Vec<(u64, f32)>);

impl Voice {
    /// The next frame starts here.
    pub fn push(&mut self, start: u64, probability: f32) {
        self.0.push((start, probability));
    }

    /// Goes on from sample `at` as `other` does from `from` to `to`.
    pub fn append(&mut self, at: u64, other: &Self, from: u64, to: u64) {
        self.0
            .extend(other.between(from, to).map(|(start, _, probability)| (at + start - from, probability)));
    }

    /// Drops the frames that end before `position`.
    pub fn forget_before(&mut self, position: u64) {
        self.0.drain(..self.frame_at(position));
    }

    /// Whether every frame starts behind the one before, and no probability is anything but a number.
    pub(crate) fn is_in_order(&self) -> bool {
        self.0.is_sorted_by(|(before, _), (next, _)| before < next)
            && self.0.iter().all(|(_, probability)| probability.is_finite())
    }

    /// The share of the samples `from..to` at which speech is at least so probable; `None` where it was not
    /// computed.
    pub fn share(&self, from: u64, to: u64, probability: f32) -> Option<f32> {
        if self.0.is_empty() || from >= to {
            return None;
        }
        let voiced: u64 = self
            .between(from, to)
            .filter(|(_, _, at_least)| *at_least >= probability)
            .map(|(start, end, _)| end - start)
            .sum();
        Some(voiced as f32 / (to - from) as f32)
    }

    /// Since when speech has been at least so probable, on and off with no gap as long as `gap`, up to sample `end`;
    /// `end` where it has not been. Not before `earliest`.
    pub fn on_and_off_since(&self, end: u64, probability: f32, gap: u64, earliest: u64) -> u64 {
        let frames = self.0[..self.0.partition_point(|(start, _)| *start < end)].iter().rev();
        let mut since = end;
        for (start, at_least) in frames.take_while(|(start, _)| *start >= earliest) {
            if since - start >= gap {
                break;
            }
            if *at_least >= probability {
                since = *start;
            }
        }
        since
    }

    /// The frames between two samples, cut off there: start, end, probability.
    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64, f32)> {
        let frames = &self.0[self.frame_at(from)..];
        let ends = frames.iter().skip(1).map(|(start, _)| *start).chain([u64::MAX]);
        let frames = frames.iter().zip(ends).take_while(move |((start, _), _)| *start < to);
        frames.map(move |((start, probability), end)| ((*start).max(from), end.min(to), *probability))
    }

    /// The frame that a sample is in.
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
    fn the_share_is_of_the_samples_asked_for() {
        let voice = voice(&[(0, 0.9), (100, 0.1), (200, 0.5)]);
        assert_eq!(voice.share(0, 100, 0.5), Some(1.0));
        assert_eq!(voice.share(50, 150, 0.5), Some(0.5));
        assert_eq!(voice.share(100, 200, 0.5), Some(0.0));
        assert_eq!(voice.share(175, 275, 0.5), Some(0.75), "the last frame goes on");
        assert_eq!(voice.share(10, 10, 0.5), None);
        assert_eq!(Voice::default().share(0, 100, 0.5), None, "it was not computed");
    }

    #[test]
    fn speech_is_on_and_off_until_a_gap() {
        let voice = voice(&[(0, 0.9), (100, 0.0), (200, 0.2), (300, 0.0), (400, 0.2), (500, 0.0)]);
        assert_eq!(voice.on_and_off_since(600, 0.1, 300, 0), 0);
        assert_eq!(voice.on_and_off_since(600, 0.1, 201, 0), 0);
        assert_eq!(voice.on_and_off_since(600, 0.1, 200, 0), 600, "the gap before the end is too long");
        assert_eq!(voice.on_and_off_since(600, 0.1, 300, 150), 200, "no farther back");
        assert_eq!(voice.on_and_off_since(600, 0.95, 300, 0), 600);
        assert_eq!(Voice::default().on_and_off_since(600, 0.1, 300, 0), 600);
    }

    #[test]
    fn pieces_go_on_one_behind_the_other() {
        let stream = voice(&[(0, 0.9), (100, 0.1), (200, 0.5), (300, 0.2)]);
        let mut window = Voice::default();
        window.append(0, &stream, 50, 150);
        window.append(100, &stream, 250, 310);
        assert_eq!(window, voice(&[(0, 0.9), (50, 0.1), (100, 0.5), (150, 0.2)]));
    }

    #[test]
    fn what_is_forgotten_leaves_the_frame_that_goes_on() {
        let mut stream = voice(&[(0, 0.9), (100, 0.1), (200, 0.5)]);
        stream.forget_before(150);
        assert_eq!(stream, voice(&[(100, 0.1), (200, 0.5)]));
        stream.forget_before(10_000);
        assert_eq!(stream, voice(&[(200, 0.5)]));
    }
}

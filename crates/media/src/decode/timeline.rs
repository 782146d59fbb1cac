//! Joins packets into one mono stream without gaps: places them by the clock, and mixes their channels.

use std::collections::VecDeque;

use super::clock::{Clock, Held, Placement, Step};
use super::downmix::Downmix;
use super::packets::Packet;
use crate::SAMPLE_RATE;
use crate::headers::{Times, Track};

/// The samples of a recording from its packets.
#[derive(Debug)]
pub(super) struct Timeline {
    /// `None` if samples are counted.
    clock: Option<Clock>,
    channels: usize,
    downmix: Downmix,
    /// The interleaved samples of packets that the clock has not placed yet.
    held: Vec<i16>,
    /// Sound and silence that was placed but not mixed. Mixing is done on demand, so that a gap of hours takes no
    /// memory.
    placed: VecDeque<Piece>,
    mixed: Vec<f32>,
    /// The number of samples placed so far, per channel.
    length: u64,
    finished: bool,
}

#[derive(Debug)]
enum Piece {
    /// Samples per channel.
    Silence(u64),
    /// Interleaved samples.
    Sound(Vec<i16>),
}

impl Timeline {
    pub(super) fn new(track: &Track) -> Self {
        let clock = match track.times {
            Times::Counted => None,
            Times::Stamped { origin, max_gap } => Some(Clock::new(origin, max_gap)),
        };
        Self {
            clock,
            channels: track.channels.weights.len(),
            downmix: Downmix::new(&track.channels.weights),
            held: Vec::new(),
            placed: VecDeque::new(),
            mixed: Vec::new(),
            length: 0,
            finished: false,
        }
    }

    pub(super) fn push(&mut self, packet: Packet) {
        let Packet { time, mut samples } = packet;
        let Some(clock) = &mut self.clock else {
            self.place(Piece::Sound(samples));
            return;
        };
        let Step { held, silence, packet } = clock.place(time, samples.len() / self.channels);
        self.place_held(held);
        self.place(Piece::Silence(silence));
        match packet {
            Placement::Hold => self.held.append(&mut samples),
            Placement::Next { skip } => {
                samples.drain(..skip * self.channels);
                self.place(Piece::Sound(samples));
            }
        }
    }

    /// Ends the stream: there are no more packets.
    pub(super) fn finish(&mut self) {
        let held = self.clock.as_mut().and_then(Clock::finish);
        self.place_held(held);
        self.finished = true;
    }

    /// The duration of all that was placed, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.length as f64 / SAMPLE_RATE as f64
    }

    /// Mixes until there are `count` samples. Returns `false` if more packets are needed.
    pub(super) fn fill(&mut self, count: usize) -> bool {
        while self.mixed.len() < count {
            match self.placed.pop_front() {
                Some(Piece::Sound(samples)) => self.downmix.push(&samples, &mut self.mixed),
                Some(Piece::Silence(silence)) => {
                    let now = silence.min(SAMPLE_RATE as u64);
                    self.downmix.push_silence(now as usize, &mut self.mixed);
                    if silence > now {
                        self.placed.push_front(Piece::Silence(silence - now));
                    }
                }
                None if self.finished => {
                    self.downmix.finish(&mut self.mixed);
                    break;
                }
                None => break,
            }
        }
        self.mixed.len() >= count
    }

    /// Removes and returns `count` samples, or fewer at the end.
    pub(super) fn take(&mut self, count: usize) -> Vec<f32> {
        self.fill(count);
        let rest = self.mixed.split_off(count.min(self.mixed.len()));
        std::mem::replace(&mut self.mixed, rest)
    }

    fn place_held(&mut self, held: Option<Held>) {
        match held {
            Some(Held::Next { silence }) => {
                self.place(Piece::Silence(silence));
                let samples = std::mem::take(&mut self.held);
                self.place(Piece::Sound(samples));
            }
            Some(Held::Drop) => self.held.clear(),
            None => {}
        }
    }

    fn place(&mut self, piece: Piece) {
        let length = match &piece {
            Piece::Silence(silence) => *silence,
            Piece::Sound(samples) => (samples.len() / self.channels) as u64,
        };
        self.length = self.length.saturating_add(length);
        if length > 0 {
            self.placed.push_back(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::channels::Channels;

    /// 20 ms of a mono packet in which every sample is `value`.
    fn packet(time: u32, value: i16) -> Packet {
        Packet { time, samples: vec![value; 320] }
    }

    fn timeline(times: Times) -> Timeline {
        Timeline::new(&Track {
            number: 1,
            language: None,
            index: 0,
            channels: Channels { layout: Some("mono".to_owned()), weights: vec![1.0] },
            times,
        })
    }

    const STAMPED: Times = Times::Stamped { origin: 0.0, max_gap: 6.0 * 3600.0 };

    fn drain(timeline: &mut Timeline) -> Vec<f32> {
        timeline.finish();
        timeline.take(usize::MAX)
    }

    #[test]
    fn packets_are_placed_at_their_times() {
        let mut timeline = timeline(STAMPED);
        for (time, value) in [(100, 1), (120, 2), (1000, 3), (1020, 4)] {
            timeline.push(packet(time, value));
        }
        let samples: Vec<i16> = drain(&mut timeline).iter().map(|sample| (sample * 32768.0) as i16).collect();
        for (from, to, value) in [
            (0, 1600, 0),
            (1600, 1920, 1),
            (1920, 2240, 2),
            (2240, 16_000, 0),
            (16_000, 16_320, 3),
            (16_320, 16_640, 4),
        ] {
            assert!(samples[from..to].iter().all(|sample| *sample == value), "{from}: {value}");
        }
        assert_eq!(samples.len(), 16_640);
        assert_eq!(timeline.seconds(), 1.04);
    }

    #[test]
    fn a_gap_of_hours_is_mixed_on_demand() {
        let mut timeline = timeline(STAMPED);
        let five_hours = 5 * 3_600_000;
        for time in [0, 20, five_hours, five_hours + 20] {
            timeline.push(packet(time, 1));
        }
        assert!(timeline.fill(16_000));
        assert!(timeline.mixed.len() <= 2 * 16_000);
        assert_eq!(timeline.take(16_000).len(), 16_000);
        assert_eq!(timeline.seconds(), 5.0 * 3600.0 + 0.04);
    }

    #[test]
    fn without_times_packets_follow_each_other() {
        let mut timeline = timeline(Times::Counted);
        for time in [0, 9_000_000, 20, 20] {
            timeline.push(packet(time, 1));
        }
        assert_eq!(drain(&mut timeline).len(), 4 * 320);
    }
}

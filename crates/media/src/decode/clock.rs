//! Finds the place of each packet of samples in the recording, by the packets' times.
//!
//! Times are those of a player: zero is the start of the earliest track. Packets are placed one after another. If
//! their times differ from that, there are these cases:
//!
//! - A difference below [`TOLERANCE`] is jitter and ignored. Jitter does not add up, because times are compared to
//!   the start, not to the last packet.
//! - A step forward is a gap and filled with silence, if the next packet continues from there. (Decoders give a
//!   single frame a wrong time when a stream changes its sample rate.) A step of more than `max_gap` is no gap but
//!   another clock: several recordings were joined, or a malicious file names the year 3000. The sound
//!   continues without a gap.
//! - Sound at times that were placed already, by at most [`MAX_OVERLAP`], is a repetition and left out.
//! - If times step back further, or stay the same, the sound continues without a gap.
//!
//! ffmpeg replaces times that run backwards by the last time before. So after a step back, times stay the same until
//! they have caught up.

use crate::SAMPLE_RATE;

/// Samples per millisecond, the unit of packets' times.
const MILLISECOND: i64 = SAMPLE_RATE as i64 / 1000;

/// At the start, a smaller difference is due to rounding.
const START_TOLERANCE: i64 = MILLISECOND;

/// Later, a smaller difference is jitter.
const TOLERANCE: i64 = 50 * MILLISECOND;

/// The maximum length of a repetition that is left out.
const MAX_OVERLAP: i64 = SAMPLE_RATE as i64;

/// Where a packet is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// After all that was placed before, without its first `skip` samples, which were placed already.
    Next { skip: usize },
    /// Not yet: the next packet decides. Several packets may be held, in their order.
    Hold,
}

/// Where the packets that were held are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// After all that was placed before and `silence` samples of silence.
    Next { silence: u64 },
    /// Nowhere: they repeat sound that was placed already.
    Drop,
}

/// What to do for a packet: first with the packets that are held, then with itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// `None` if no packets are held, or if they are still held.
    pub(super) held: Option<Held>,
    /// Samples of silence before the packet.
    pub(super) silence: u64,
    pub(super) packet: Placement,
}

/// How the times of the last packets behave.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Times advance with the samples.
    Steady,
    /// The time of the packet that is held is this far ahead.
    Ahead { gap: i64 },
    /// Times stay the same; the packets since then are held.
    Stalled,
    /// Times have stayed the same for longer than a repetition lasts; no packets are held.
    Restarted,
}

/// The state of the placement. All values are in samples if not stated otherwise.
#[derive(Debug)]
pub(super) struct Clock {
    /// The time of the recording's zero, in milliseconds modulo 2^32.
    origin: u32,
    max_gap: i64,
    /// The place of the next sample, not counting the packets that are held.
    position: i64,
    /// The length of the packets that are held.
    held: i64,
    /// What is added to a packet's time to get its place.
    shift: i64,
    /// The last packet's time.
    last: Option<i64>,
    state: State,
}

impl Clock {
    /// `origin` and `max_gap` in seconds.
    pub(super) fn new(origin: f64, max_gap: f64) -> Self {
        Self {
            // The conversion to `i64` saturates, and that to `u32` wraps like the packets' times.
            origin: (origin * 1000.0).round() as i64 as u32,
            max_gap: (max_gap * SAMPLE_RATE as f64) as i64,
            position: 0,
            held: 0,
            shift: 0,
            last: None,
            state: State::Steady,
        }
    }

    /// Places a packet of `samples` samples per channel. `time` is in milliseconds modulo 2^32.
    pub(super) fn place(&mut self, time: u32, samples: usize) -> Step {
        // Correct within 24 days before and after the origin; times further away are another clock anyway.
        let time = i64::from(time.wrapping_sub(self.origin) as i32) * MILLISECOND;
        let length = samples as i64;
        let advanced = self.last.is_none_or(|last| time > last);
        let step = match self.state {
            _ if self.position == 0 && self.held == 0 => self.start(time, length),
            State::Steady if advanced => self.advance(time, length),
            State::Steady => self.hold(length, State::Stalled),
            State::Ahead { gap } if advanced => self.after_ahead(gap, time, length),
            State::Ahead { .. } => {
                // The time ahead was wrong: times are as before, or stay the same after it.
                let held = self.keep_held(0);
                Step { held, ..self.hold(length, State::Stalled) }
            }
            State::Stalled if advanced => self.after_stall(time, length),
            State::Stalled if self.held + length > MAX_OVERLAP => {
                self.state = State::Restarted;
                Step { held: self.keep_held(0), ..self.append(length, 0) }
            }
            State::Stalled => self.hold(length, State::Stalled),
            State::Restarted if advanced => self.rejoin(time, length),
            State::Restarted => self.append(length, 0),
        };
        self.last = Some(time);
        step
    }

    /// Ends the stream: says where the packets that are held are placed, if there are any.
    pub(super) fn finish(&mut self) -> Option<Held> {
        match self.state {
            State::Ahead { gap } if gap <= self.max_gap => self.keep_held(gap),
            _ => self.keep_held(0),
        }
    }

    /// How far a time is after the end of the sound so far; negative if sound was placed there already.
    fn distance(&self, time: i64) -> i64 {
        time + self.shift - self.position
    }

    /// Places the first packet.
    fn start(&mut self, time: i64, length: i64) -> Step {
        let late = self.distance(time);
        if late.abs() < START_TOLERANCE {
            return self.append(length, 0);
        }
        if late > self.max_gap || late < -MAX_OVERLAP {
            self.shift -= late;
            return self.append(length, 0);
        }
        self.fill(late.max(0));
        Step { silence: late.max(0).unsigned_abs(), ..self.append(length, (-late).max(0)) }
    }

    /// Places a packet whose time advances, while none is held.
    fn advance(&mut self, time: i64, length: i64) -> Step {
        match self.distance(time) {
            ahead if ahead > TOLERANCE => self.hold(length, State::Ahead { gap: ahead }),
            behind if behind < -MAX_OVERLAP => {
                self.shift -= behind;
                self.append(length, 0)
            }
            behind if behind < -TOLERANCE => self.append(length, -behind),
            _ => self.append(length, 0),
        }
    }

    /// Places the packet after one whose time was ahead: it continues from there.
    fn after_ahead(&mut self, gap: i64, time: i64, length: i64) -> Step {
        self.state = State::Steady;
        let held = if gap <= self.max_gap {
            self.keep_held(gap)
        } else {
            self.shift -= gap;
            self.keep_held(0)
        };
        Step { held, ..self.advance(time, length) }
    }

    /// Places the first packet whose time advances after a stall. The packets that are held were a repetition, or
    /// sound without times of its own, or the clock has changed.
    fn after_stall(&mut self, time: i64, length: i64) -> Step {
        let without_held = self.distance(time);
        let with_held = without_held - self.held;
        if with_held.abs() <= TOLERANCE.min(without_held.abs()) {
            self.state = State::Steady;
            return Step { held: self.keep_held(0), ..self.append(length, 0) };
        }
        if (-length.max(TOLERANCE)..=TOLERANCE).contains(&without_held) {
            self.state = State::Steady;
            self.held = 0;
            let skip = if without_held < -TOLERANCE { -without_held } else { 0 };
            return Step { held: Some(Held::Drop), ..self.append(length, skip) };
        }
        Step { held: self.keep_held(0), ..self.rejoin(time, length) }
    }

    /// Places a packet after times were lost: by the old clock if it fits, otherwise by a new one.
    fn rejoin(&mut self, time: i64, length: i64) -> Step {
        self.state = State::Steady;
        let distance = self.distance(time);
        if distance.abs() > TOLERANCE {
            self.shift -= distance;
        }
        self.append(length, 0)
    }

    /// Holds a packet.
    fn hold(&mut self, length: i64, state: State) -> Step {
        self.held += length;
        self.state = state;
        Step { held: None, silence: 0, packet: Placement::Hold }
    }

    /// Places the packets that are held after `silence` samples of silence.
    fn keep_held(&mut self, silence: i64) -> Option<Held> {
        let any = self.held > 0;
        self.fill(silence);
        self.fill(self.held);
        self.held = 0;
        any.then_some(Held::Next { silence: silence.unsigned_abs() })
    }

    /// Places a packet without its first `skip` samples.
    fn append(&mut self, length: i64, skip: i64) -> Step {
        let skip = skip.min(length);
        self.fill(length - skip);
        Step { held: None, silence: 0, packet: Placement::Next { skip: skip as usize } }
    }

    fn fill(&mut self, samples: i64) {
        self.position = self.position.saturating_add(samples);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Places packets of 20 ms with these times in milliseconds. Returns the layout of the recording as spans of
    /// (first packet, last packet, start of the first in ms).
    fn layout(clock: &mut Clock, times: impl IntoIterator<Item = i64>) -> Vec<(usize, usize, i64)> {
        let (mut at, mut held, mut spans) = (0, Vec::new(), Vec::<(usize, usize, i64)>::new());
        let mut put = |index: usize, at: &mut i64, skip: i64| {
            let whole = spans.last().is_some_and(|&(first, last, start)| {
                last + 1 == index && start + (index - first) as i64 * 20 == *at && skip == 0
            });
            match spans.last_mut() {
                Some(span) if whole => span.1 = index,
                _ => spans.push((index, index, *at)),
            }
            *at += 20 - skip;
        };
        for (index, time) in times.into_iter().enumerate() {
            let step = clock.place(time as u32, 320);
            match step.held {
                Some(Held::Next { silence }) => {
                    at += silence as i64 / MILLISECOND;
                    held.drain(..).for_each(|index| put(index, &mut at, 0));
                }
                Some(Held::Drop) => held.clear(),
                None => {}
            }
            at += step.silence as i64 / MILLISECOND;
            match step.packet {
                Placement::Next { skip: 320 } => {}
                Placement::Next { skip } => put(index, &mut at, skip as i64 / MILLISECOND),
                Placement::Hold => held.push(index),
            }
        }
        if let Some(Held::Next { silence }) = clock.finish() {
            at += silence as i64 / MILLISECOND;
            held.drain(..).for_each(|index| put(index, &mut at, 0));
        }
        spans
    }

    fn clock() -> Clock {
        Clock::new(0.0, 600.0)
    }

    fn steady(count: i64) -> impl Iterator<Item = i64> {
        (0..count).map(|index| index * 20)
    }

    #[test]
    fn sound_is_continuous_and_jitter_is_ignored() {
        assert_eq!(layout(&mut clock(), steady(100)), [(0, 99, 0)]);
        let jitter = steady(100).map(|time| time + (time * 7) % 40);
        assert_eq!(layout(&mut clock(), jitter), [(0, 99, 0)]);
    }

    #[test]
    fn a_late_start_is_kept_and_counts_from_the_origin() {
        assert_eq!(layout(&mut clock(), steady(9).map(|time| time + 5000)), [(0, 8, 5000)]);
        let ten_hours = 36_000_000;
        let mut late = Clock::new(36_000.0, 600.0);
        assert_eq!(layout(&mut late, steady(9).map(|time| time + ten_hours + 30)), [(0, 8, 30)]);
        let mut negative = Clock::new(-0.5, 600.0);
        assert_eq!(layout(&mut negative, steady(9).map(|time| time - 500)), [(0, 8, 0)]);
    }

    #[test]
    fn sound_before_the_origin_is_left_out() {
        assert_eq!(layout(&mut clock(), steady(9).map(|time| time - 50)), [(2, 2, 0), (3, 8, 10)]);
        // Much earlier times are another clock.
        assert_eq!(layout(&mut clock(), steady(9).map(|time| time - 5000)), [(0, 8, 0)]);
    }

    #[test]
    fn a_gap_is_kept_and_one_of_days_is_another_clock() {
        let gap = |gap: i64| steady(20).map(move |time| if time < 200 { time } else { time + gap });
        assert_eq!(layout(&mut clock(), gap(2000)), [(0, 9, 0), (10, 19, 2200)]);
        assert_eq!(layout(&mut clock(), gap(40)), [(0, 19, 0)]);
        assert_eq!(layout(&mut clock(), gap(3 * 86_400_000)), [(0, 19, 0)]);
        assert_eq!(layout(&mut clock(), steady(9).map(|time| time + 3 * 86_400_000)), [(0, 8, 0)]);
        // Gaps are kept after a change to another clock.
        let later = steady(30).map(|time| match time {
            ..200 => time,
            200..400 => time + 86_400_000,
            _ => time + 86_401_000,
        });
        assert_eq!(layout(&mut clock(), later), [(0, 19, 0), (20, 29, 1400)]);
    }

    #[test]
    fn every_packet_may_have_a_gap_before_it() {
        let times = (0..4).map(|index| index * 3000);
        assert_eq!(layout(&mut clock(), times), [(0, 0, 0), (1, 1, 3000), (2, 2, 6000), (3, 3, 9000)]);
    }

    #[test]
    fn a_single_wrong_time_is_ignored() {
        // ffmpeg replaces the times after it until they have caught up.
        let glitch = (0..200).map(|index| if index < 50 { index * 20 } else { (index * 20).max(2000) });
        assert_eq!(layout(&mut clock(), glitch), [(0, 199, 0)]);
    }

    #[test]
    fn a_repetition_is_left_out() {
        // Packets 10 to 14 repeat packets 5 to 9. ffmpeg replaces their times by that of packet 9.
        let times = steady(20).map(|time| if time < 200 { time } else { (time - 100).max(180) });
        assert_eq!(layout(&mut clock(), times), [(0, 9, 0), (15, 19, 200)]);
    }

    #[test]
    fn a_step_back_leaves_no_gap() {
        let recording = 5000;
        let times = (0..500).map(|index| index * 20 % recording);
        let raised = times.scan(0, |last, time| {
            *last = time.max(*last);
            Some(*last)
        });
        assert_eq!(layout(&mut clock(), raised), [(0, 499, 0)]);
        assert_eq!(layout(&mut clock(), std::iter::repeat_n(0, 300)), [(0, 299, 0)]);
    }

    #[test]
    fn times_may_wrap_around() {
        let origin = f64::from(u32::MAX - 99) / 1000.0;
        let mut wrapping = Clock::new(origin, 600.0);
        assert_eq!(
            layout(&mut wrapping, steady(20).map(|time| time + i64::from(u32::MAX - 99))),
            [(0, 19, 0)]
        );
    }

    proptest! {
        #[test]
        fn no_times_lose_or_overrun(
            times in proptest::collection::vec((any::<u32>(), 0_usize..5000), 0..60),
            origin in any::<f64>(),
        ) {
            let mut clock = Clock::new(origin, 600.0);
            let (mut held, mut silence) = (0, 0);
            for (time, samples) in &times {
                let step = clock.place(*time, *samples);
                silence += step.silence;
                if let Some(decided) = step.held {
                    held = 0;
                    if let Held::Next { silence: before } = decided {
                        silence += before;
                    }
                }
                match step.packet {
                    Placement::Next { skip } => prop_assert!(skip <= *samples),
                    Placement::Hold => held += samples,
                }
                prop_assert!(held as i64 <= MAX_OVERLAP + 5000);
            }
            prop_assert!(silence <= times.len() as u64 * 600 * SAMPLE_RATE as u64);
        }
    }
}

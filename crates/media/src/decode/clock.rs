//! The recording's clock: where in the recording each packet of samples belongs.
//!
//! Times are a player's: zero is where the earliest track starts. Sound is laid end to end, and where the
//! packets' times say otherwise the clock decides:
//!
//! - a difference under [`TOLERANCE`] is jitter and ignored (it cannot add up: times are compared with the
//!   start's, not the last packet's);
//! - a step forward is a gap, to be filled with silence, if the next packet goes on from there: decoders give a
//!   single frame a wrong time when a stream changes its rate. A step further than `max_gap` is not a gap but
//!   another clock, as where recordings were joined or a hostile file names the year 3000: sound goes on
//!   without a gap;
//! - sound whose time has been given out already, by [`MAX_OVERLAP`] at most, is a repetition and left out;
//! - a clock set back further goes on without a gap, and so does one that stands still.
//!
//! ffmpeg raises times that run backwards to the last time before, so a clock set back looks like one that stands still
//! until it has caught up.

use crate::SAMPLE_RATE;

/// Samples in a millisecond, the unit of packets' times.
const MILLISECOND: i64 = SAMPLE_RATE as i64 / 1000;

/// At the start a difference of less is rounding.
const START_TOLERANCE: i64 = MILLISECOND;

/// Later a difference of less is jitter.
const TOLERANCE: i64 = 50 * MILLISECOND;

/// Sound that comes again is left out up to this length.
const MAX_OVERLAP: i64 = SAMPLE_RATE as i64;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// It follows what was placed before, without its first `skip` samples, which are there already.
    Next { skip: usize },
    /// The next packet decides. One may hold on to several, in their order.
    Hold,
}

/// What becomes of packets that were held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// They follow, behind so many samples of silence.
    Next { silence: u64 },
    /// They are sound that is there already.
    Drop,
}

/// What to do about a packet: first about those held, then about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// `None` where none is held or they stay so.
    pub(super) held: Option<Held>,
    /// Samples of silence before the packet.
    pub(super) silence: u64,
    pub(super) packet: Placement,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Steady,
    /// The held packet's time lies this far ahead.
    Ahead {
        gap: i64,
    },
    /// Times stand still; the packets since are held.
    Still,
    /// Times have stood still for longer than an overlap lasts; nothing is held.
    Restarted,
}

/// All in samples.
#[derive(Debug)]
pub(super) struct Clock {
    /// The time that is zero, in milliseconds modulo 2^32.
    origin: u32,
    max_gap: i64,
    /// Where the next sample comes to lie, without those held.
    position: i64,
    held: i64,
    /// What to add to a packet's time for its place.
    shift: i64,
    /// The last packet's time.
    last: Option<i64>,
    state: State,
}

impl Clock {
    /// `origin` and `max_gap` in seconds.
    pub(super) fn new(origin: f64, max_gap: f64) -> Self {
        Self {
            // Converting saturates, and then wraps as the packets' times do.
            origin: (origin * 1000.0).round() as i64 as u32,
            max_gap: (max_gap * SAMPLE_RATE as f64) as i64,
            position: 0,
            held: 0,
            shift: 0,
            last: None,
            state: State::Steady,
        }
    }

    /// Places a packet of so many samples a channel, whose time is in milliseconds modulo 2^32.
    pub(super) fn place(&mut self, time: u32, samples: usize) -> Step {
        // Right within 24 days before and after the origin; what lies further is another clock anyway.
        let time = i64::from(time.wrapping_sub(self.origin) as i32) * MILLISECOND;
        let length = samples as i64;
        let advanced = self.last.is_none_or(|last| time > last);
        let step = match self.state {
            _ if self.position == 0 && self.held == 0 => self.start(time, length),
            State::Steady if advanced => self.go_on(time, length),
            State::Steady => self.hold(length, State::Still),
            State::Ahead { gap } if advanced => self.jump(gap, time, length),
            State::Ahead { .. } => {
                // The one ahead was wrong: times are as before, or stand still behind it.
                let held = self.keep_held(0);
                Step { held, ..self.hold(length, State::Still) }
            }
            State::Still if advanced => self.after_still(time, length),
            State::Still if self.held + length > MAX_OVERLAP => {
                self.state = State::Restarted;
                Step { held: self.keep_held(0), ..self.append(length, 0) }
            }
            State::Still => self.hold(length, State::Still),
            State::Restarted if advanced => self.rejoin(time, length),
            State::Restarted => self.append(length, 0),
        };
        self.last = Some(time);
        step
    }

    /// The end: what becomes of the packets held, if any are.
    pub(super) fn finish(&mut self) -> Option<Held> {
        match self.state {
            State::Ahead { gap } if gap <= self.max_gap => self.keep_held(gap),
            _ => self.keep_held(0),
        }
    }

    /// How far behind the sound so far the time lies: negative where sound is there already.
    fn distance(&self, time: i64) -> i64 {
        time + self.shift - self.position
    }

    /// Nothing has been placed yet.
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

    fn go_on(&mut self, time: i64, length: i64) -> Step {
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

    /// The packet after one that was ahead goes on from there.
    fn jump(&mut self, gap: i64, time: i64, length: i64) -> Step {
        self.state = State::Steady;
        let held = if gap <= self.max_gap {
            self.keep_held(gap)
        } else {
            self.shift -= gap;
            self.keep_held(0)
        };
        Step { held, ..self.go_on(time, length) }
    }

    /// Times that stood still go on: were the held packets a repetition, sound that only lacked times, or is it
    /// another clock?
    fn after_still(&mut self, time: i64, length: i64) -> Step {
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

    /// The old clock again, or from now on another.
    fn rejoin(&mut self, time: i64, length: i64) -> Step {
        self.state = State::Steady;
        let distance = self.distance(time);
        if distance.abs() > TOLERANCE {
            self.shift -= distance;
        }
        self.append(length, 0)
    }

    fn hold(&mut self, length: i64, state: State) -> Step {
        self.held += length;
        self.state = state;
        Step { held: None, silence: 0, packet: Placement::Hold }
    }

    fn keep_held(&mut self, silence: i64) -> Option<Held> {
        let any = self.held > 0;
        self.fill(silence);
        self.fill(self.held);
        self.held = 0;
        any.then_some(Held::Next { silence: silence.unsigned_abs() })
    }

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

    /// Packets of 20 ms with these times, in milliseconds, as the recording's layout: spans of (first packet, last
    /// packet, start of the first in ms).
    fn lay(clock: &mut Clock, times: impl IntoIterator<Item = i64>) -> Vec<(usize, usize, i64)> {
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
    fn sound_follows_on_and_jitter_is_ignored() {
        assert_eq!(lay(&mut clock(), steady(100)), [(0, 99, 0)]);
        let jitter = steady(100).map(|time| time + (time * 7) % 40);
        assert_eq!(lay(&mut clock(), jitter), [(0, 99, 0)]);
    }

    #[test]
    fn a_late_start_is_kept_and_counts_from_the_origin() {
        assert_eq!(lay(&mut clock(), steady(9).map(|time| time + 5000)), [(0, 8, 5000)]);
        let ten_hours = 36_000_000;
        let mut late = Clock::new(36_000.0, 600.0);
        assert_eq!(lay(&mut late, steady(9).map(|time| time + ten_hours + 30)), [(0, 8, 30)]);
        let mut negative = Clock::new(-0.5, 600.0);
        assert_eq!(lay(&mut negative, steady(9).map(|time| time - 500)), [(0, 8, 0)]);
    }

    #[test]
    fn what_lies_before_the_origin_is_left_out() {
        assert_eq!(lay(&mut clock(), steady(9).map(|time| time - 50)), [(2, 2, 0), (3, 8, 10)]);
        // So far before that it is another clock.
        assert_eq!(lay(&mut clock(), steady(9).map(|time| time - 5000)), [(0, 8, 0)]);
    }

    #[test]
    fn a_gap_is_kept_and_one_of_days_is_another_clock() {
        let gap = |gap: i64| steady(20).map(move |time| if time < 200 { time } else { time + gap });
        assert_eq!(lay(&mut clock(), gap(2000)), [(0, 9, 0), (10, 19, 2200)]);
        assert_eq!(lay(&mut clock(), gap(40)), [(0, 19, 0)]);
        assert_eq!(lay(&mut clock(), gap(3 * 86_400_000)), [(0, 19, 0)]);
        assert_eq!(lay(&mut clock(), steady(9).map(|time| time + 3 * 86_400_000)), [(0, 8, 0)]);
        // After another clock, its own gaps.
        let later = steady(30).map(|time| match time {
            ..200 => time,
            200..400 => time + 86_400_000,
            _ => time + 86_401_000,
        });
        assert_eq!(lay(&mut clock(), later), [(0, 19, 0), (20, 29, 1400)]);
    }

    #[test]
    fn every_packet_may_have_a_gap_before_it() {
        let times = (0..4).map(|index| index * 3000);
        assert_eq!(lay(&mut clock(), times), [(0, 0, 0), (1, 1, 3000), (2, 2, 6000), (3, 3, 9000)]);
    }

    #[test]
    fn a_single_wrong_time_is_ignored() {
        // ffmpeg raises the times behind it until they have caught up.
        let glitch = (0..200).map(|index| if index < 50 { index * 20 } else { (index * 20).max(2000) });
        assert_eq!(lay(&mut clock(), glitch), [(0, 199, 0)]);
    }

    #[test]
    fn a_repetition_is_left_out() {
        // Packets 10 to 14 say again what 5 to 9 said: their times are raised to the ninth's.
        let times = steady(20).map(|time| if time < 200 { time } else { (time - 100).max(180) });
        assert_eq!(lay(&mut clock(), times), [(0, 9, 0), (15, 19, 200)]);
    }

    #[test]
    fn a_clock_set_back_goes_on() {
        let recording = 5000;
        let times = (0..500).map(|index| index * 20 % recording);
        let raised = times.scan(0, |last, time| {
            *last = time.max(*last);
            Some(*last)
        });
        assert_eq!(lay(&mut clock(), raised), [(0, 499, 0)]);
        assert_eq!(lay(&mut clock(), std::iter::repeat_n(0, 300)), [(0, 299, 0)]);
    }

    #[test]
    fn times_that_wrap_go_on() {
        let origin = f64::from(u32::MAX - 99) / 1000.0;
        let mut wrapping = Clock::new(origin, 600.0);
        assert_eq!(lay(&mut wrapping, steady(20).map(|time| time + i64::from(u32::MAX - 99))), [(0, 19, 0)]);
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

//! Decides when subtitles appear and disappear, given when their words are said.
//!
//! What gives way, in this order, if the rules contradict each other: the reading speed, the gap between subtitles, the
//! shortest time. They never overlap, and none is shown longer than [`LONGEST`].

use super::rules::{GAP, LEAD, LONGEST, SHORTEST, SHORTEST_GAP, time_needed};

/// When the words of a subtitle are said, in milliseconds, and how much there is to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spoken {
    /// No earlier than that of the subtitle before.
    pub(super) start: u64,
    /// No earlier than `start`.
    pub(super) end: u64,
    pub(super) columns: usize,
}

/// When a subtitle is on the screen, in milliseconds: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The times of subtitles.
pub(super) fn timed(spoken: &[Spoken]) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::with_capacity(spoken.len());
    for (index, words) in spoken.iter().enumerate() {
        let before = shown.last().map(|before| before.end);
        // Later than its first word only if the words before need a millisecond that they do not have.
        let start = words.start.max(before.unwrap_or(0));
        let next = spoken.get(index + 1).map_or(u64::MAX, |next| next.start);
        let needed = time_needed(words.columns);
        let wanted = words.end.max(start + needed).min(start + LONGEST);
        let missing = (start + needed).saturating_sub(wanted.min(next.saturating_sub(GAP)));
        let room = start.saturating_sub(before.map_or(0, |before| before + GAP));
        let earlier = start - missing.min(LEAD).min(room);
        let end = wanted.min(latest_end(earlier, next)).max(start + 1);
        shown.push(Shown { start: earlier, end });
    }
    for index in 1..shown.len() {
        let (next, current) = (shown[index].start, &mut shown[index - 1]);
        if next - current.end < SHORTEST_GAP {
            current.end = current.end.max(latest_end(current.start, next).min(current.start + LONGEST));
        }
    }
    shown
}

/// How long a subtitle can be shown from its first word on, given when the next one starts.
pub(super) fn longest_time(spoken: Spoken, next: Option<u64>) -> u64 {
    let Spoken { start, columns, .. } = spoken;
    let wanted = spoken.end.max(start + time_needed(columns)).min(start + LONGEST);
    wanted.min(latest_end(start, next.unwrap_or(u64::MAX))).saturating_sub(start)
}

/// The latest end of a subtitle, given the start of the next: with a gap, unless it would be shown too short for that.
fn latest_end(start: u64, next: u64) -> u64 {
    next.saturating_sub(GAP).max(next.min(start + SHORTEST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Times of subtitles that are spoken from a start to an end and have so many columns.
    fn times(spoken: &[(u64, u64, usize)]) -> Vec<(u64, u64)> {
        let spoken: Vec<_> =
            spoken.iter().map(|&(start, end, columns)| Spoken { start, end, columns }).collect();
        timed(&spoken).into_iter().map(|shown| (shown.start, shown.end)).collect()
    }

    #[test]
    fn a_subtitle_is_shown_while_its_words_are_said() {
        assert_eq!(times(&[]), []);
        assert_eq!(times(&[(2000, 5000, 40), (9000, 12_000, 40)]), [(2000, 5000), (9000, 12_000)]);
    }

    #[test]
    fn a_subtitle_that_is_read_slower_than_it_is_said_stays_into_the_silence_and_then_comes_earlier() {
        // 80 columns take 4 s.
        assert_eq!(times(&[(2000, 4000, 80)]), [(2000, 6000)]);
        assert_eq!(times(&[(2000, 4000, 80), (5000, 8000, 40)])[0], (1750, 4917));
        assert_eq!(times(&[(100, 2000, 80), (3000, 8000, 40)])[0], (0, 2917));
        assert_eq!(times(&[(0, 2000, 20), (2200, 3200, 40), (3300, 6000, 40)])[1], (2083, 3217));
    }

    #[test]
    fn a_subtitle_is_shown_for_one_second_at_least_and_seven_at_most() {
        assert_eq!(times(&[(2000, 2100, 3)]), [(2000, 3000)]);
        assert_eq!(times(&[(2000, 30_000, 3)]), [(2000, 9000)]);
        assert_eq!(times(&[(2000, 2100, 3), (2400, 5000, 40)])[0], (1750, 2400));
    }

    #[test]
    fn between_two_subtitles_are_two_frames_or_half_a_second() {
        assert_eq!(times(&[(0, 2000, 20), (2000, 4000, 20)]), [(0, 1917), (2000, 4000)]);
        assert_eq!(times(&[(0, 2000, 20), (2300, 4000, 20)]), [(0, 2217), (2300, 4000)]);
        assert_eq!(times(&[(0, 2000, 20), (2600, 4000, 20)]), [(0, 2000), (2600, 4000)]);
        // Neither the second that it is shown at least nor the seven that it is shown at most leave room.
        assert_eq!(times(&[(0, 1000, 20), (1000, 4000, 20)]), [(0, 1000), (1000, 4000)]);
        assert_eq!(times(&[(0, 7200, 20), (7300, 9000, 20)]), [(0, 7000), (7300, 9000)]);
    }

    #[test]
    fn subtitles_without_time_follow_each_other() {
        assert_eq!(times(&[(5, 5, 40), (5, 5, 40), (6, 6, 40)]), [(0, 6), (6, 7), (7, 2007)]);
    }

    proptest! {
        #[test]
        fn no_subtitle_overlaps_and_none_is_shown_too_short_without_need(
            given in prop::collection::vec(
                (prop_oneof![Just(0), 0_u64..100, 0_u64..4000], 0_u64..9000, 1_usize..90),
                0..12,
            )
        ) {
            let mut at = 0;
            let spoken: Vec<Spoken> = given
                .iter()
                .map(|&(after, length, columns)| {
                    at += after;
                    Spoken { start: at, end: at + length, columns }
                })
                .collect();
            let shown = timed(&spoken);
            prop_assert_eq!(shown.len(), spoken.len());
            for (index, Shown { start, end }) in shown.iter().copied().enumerate() {
                let length = end - start;
                let (before, next) = (index.checked_sub(1).map(|before| shown[before].end), shown.get(index + 1));
                prop_assert!(start < end && length <= LONGEST);
                prop_assert!(start + LEAD >= spoken[index].start);
                prop_assert!(start <= spoken[index].start || before == Some(start));
                prop_assert!(before.is_none_or(|before| before <= start));
                let gap = next.map_or(u64::MAX, |next| next.start - end);
                prop_assert!(
                    gap == GAP || gap >= SHORTEST_GAP || length <= SHORTEST || length == LONGEST,
                    "{} ms after {} ms", gap, length
                );
                if length < time_needed(spoken[index].columns) {
                    let lead = start + LEAD == spoken[index].start.max(LEAD) || start == 0;
                    let closed = before.is_some_and(|before| start <= before + GAP);
                    prop_assert!(gap <= GAP && (lead || closed), "{:?} in {:?}", spoken, shown);
                }
            }
        }
    }
}

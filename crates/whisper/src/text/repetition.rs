//! Tokens that go round in circles.

use std::ops::Range;

/// So many times in a row a phrase is not said in earnest …
const TIMES: usize = 4;

/// … unless it is short: "no, no, no, no" are fewer tokens than this.
const TOKENS: usize = 12;

/// Where a phrase, of one token or more, comes at least four times in a row. In order of their starts; they
/// may overlap.
pub(crate) fn loops(tokens: &[u32]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for period in 1..=tokens.len() / TIMES {
        let mut start = 0;
        // From `start` on, every token is the one a period before it.
        for at in period..=tokens.len() {
            if tokens.get(at).is_some_and(|token| *token == tokens[at - period]) {
                continue;
            }
            if at - start >= TOKENS.max(TIMES * period) {
                found.push(start..at);
            }
            start = at + 1 - period;
        }
    }
    found.sort_by_key(|range: &Range<usize>| range.start);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(phrase: &[u32], times: usize) -> Vec<u32> {
        [&[100, 101], &*phrase.repeat(times), &[102]].concat()
    }

    #[test]
    fn a_phrase_four_times_in_a_row_is_a_loop() {
        for length in 3..20 {
            let phrase: Vec<u32> = (0..length).collect();
            assert!(loops(&repeated(&phrase, 3)).is_empty(), "three times {length} tokens");
            let found = loops(&repeated(&phrase, 4));
            assert_eq!(found.first(), Some(&(2..2 + 4 * length as usize)), "four times {length} tokens");
        }
    }

    #[test]
    fn short_phrases_may_be_repeated_more_often() {
        assert!(loops(&repeated(&[7], 11)).is_empty());
        assert_eq!(loops(&repeated(&[7], 12))[0], 2..14);
        assert!(loops(&repeated(&[7, 8], 5)).is_empty());
        assert_eq!(loops(&repeated(&[7, 8], 6))[0], 2..14);
    }

    #[test]
    fn what_only_resembles_itself_is_no_loop() {
        assert!(loops(&[]).is_empty());
        let counted: Vec<u32> = (0..20).flat_map(|count| [1, 2, 3, 10 + count]).collect();
        assert!(loops(&counted).is_empty());
    }
}

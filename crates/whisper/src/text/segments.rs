//! Tokens to segments: the timestamp tokens say where text starts and ends.

use super::tokenizer::Tokenizer;

/// A segment with times in seconds from the window's start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextSegment {
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) tokens: Vec<u32>,
}

/// Cuts the tokens of a window of `duration` seconds wherever one segment's end meets the next one's start.
pub(crate) fn split(tokens: &[u32], tokenizer: &Tokenizer, duration: f64) -> Vec<TextSegment> {
    let is_timestamp = |token: &u32| tokenizer.is_timestamp(*token);
    let seconds = |token: u32| tokenizer.seconds(token).min(duration);
    let mut boundaries: Vec<usize> =
        (1..tokens.len()).filter(|at| is_timestamp(&tokens[at - 1]) && is_timestamp(&tokens[*at])).collect();
    let ends_in_one = matches!(tokens, [.., before, last] if is_timestamp(last) && !is_timestamp(before));
    if boundaries.is_empty() {
        let timed = tokens.iter().copied().filter(is_timestamp).collect::<Vec<_>>();
        let start = timed.first().filter(|_| timed.len() > 1).map_or(0.0, |token| seconds(*token));
        let end = timed.last().map(|token| seconds(*token)).filter(|end| *end > start).unwrap_or(duration);
        return vec![TextSegment { start, end, tokens: tokens.to_vec() }];
    }
    if ends_in_one {
        boundaries.push(tokens.len());
    }
    let mut segments = Vec::new();
    let mut from = 0;
    for to in boundaries {
        let (first, last) = (tokens[from], tokens[to - 1]);
        segments.push(TextSegment {
            start: seconds(first),
            end: seconds(last),
            tokens: tokens[from..to].to_vec(),
        });
        from = to;
    }
    // A segment that was opened and not closed runs to the window's end.
    if from < tokens.len() && tokens[from..].iter().any(|token| !is_timestamp(token)) {
        segments.push(TextSegment {
            start: seconds(tokens[from]),
            end: duration,
            tokens: tokens[from..].to_vec(),
        });
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    /// Cuts a window of 10 s whose tokens are text (under 1000) and timestamps (1000 and tenths of a second).
    fn times(tokens: &[u32]) -> Vec<(f64, f64, usize)> {
        let tokenizer = &reference::base().model().tokenizer;
        let step = |token: &u32| {
            if *token < 1000 { *token } else { tokenizer.first_timestamp() + (token - 1000) * 5 }
        };
        let tokens: Vec<u32> = tokens.iter().map(step).collect();
        let is_text = |token: &&u32| !tokenizer.is_timestamp(**token);
        let shown = |segment: &TextSegment| {
            let round = |seconds: f64| (seconds * 100.0).round() / 100.0;
            (round(segment.start), round(segment.end), segment.tokens.iter().filter(is_text).count())
        };
        split(&tokens, tokenizer, 10.0).iter().map(shown).collect()
    }

    #[test]
    fn pairs_of_timestamps_separate_segments() {
        assert_eq!(times(&[1000, 1, 2, 1020, 1020, 3, 1050]), [(0.0, 2.0, 2), (2.0, 5.0, 1)]);
        assert_eq!(times(&[1000, 1, 1020, 1030, 3, 4, 1050, 1050]), [(0.0, 2.0, 1), (3.0, 5.0, 2)]);
    }

    #[test]
    fn without_pairs_all_is_one_segment() {
        assert_eq!(times(&[1000, 1, 2, 1040]), [(0.0, 4.0, 2)]);
        assert_eq!(times(&[1005, 1, 2, 1040]), [(0.5, 4.0, 2)]);
        assert_eq!(times(&[1000, 1, 2]), [(0.0, 10.0, 2)]);
        assert_eq!(times(&[1, 2]), [(0.0, 10.0, 2)]);
    }

    #[test]
    fn an_open_segment_runs_to_the_end_and_an_empty_one_is_none() {
        assert_eq!(times(&[1000, 1, 1020, 1020, 3, 4]), [(0.0, 2.0, 1), (2.0, 10.0, 2)]);
        assert_eq!(times(&[1000, 1, 1020, 1020]), [(0.0, 2.0, 1)]);
    }

    #[test]
    fn no_segment_ends_behind_the_window() {
        assert_eq!(times(&[1000, 1, 1090, 1090, 2, 1120]), [(0.0, 9.0, 1), (9.0, 10.0, 1)]);
    }
}

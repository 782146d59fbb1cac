//! Tokens to segments: the timestamp tokens say where text starts and ends.

use crate::tokenizer::Tokenizer;

/// A segment with times in seconds from the window's start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece {
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) tokens: Vec<u32>,
}

/// A window's tokens, cut into segments.
#[derive(Debug, PartialEq)]
pub(crate) struct Cut {
    pub(crate) pieces: Vec<Piece>,
    /// Up to where the window was written down, in seconds from its start: less than `duration` where the
    /// model closed a segment and opened another that it did not get to.
    pub(crate) consumed: f64,
}

/// Cuts the tokens of a window of `duration` seconds wherever one segment's end meets the next one's start.
pub(crate) fn cut(tokens: &[u32], tokenizer: &Tokenizer, duration: f64) -> Cut {
    let is_timestamp = |token: &u32| tokenizer.is_timestamp(*token);
    let seconds = |token: u32| tokenizer.seconds(token).min(duration);
    let mut boundaries: Vec<usize> =
        (1..tokens.len()).filter(|at| is_timestamp(&tokens[at - 1]) && is_timestamp(&tokens[*at])).collect();
    let ends_open = match tokens {
        [.., before, last] => is_timestamp(last) && !is_timestamp(before),
        _ => false,
    };
    if boundaries.is_empty() {
        let timed = tokens.iter().copied().filter(is_timestamp).collect::<Vec<_>>();
        let start = timed.first().filter(|_| timed.len() > 1).map_or(0.0, |token| seconds(*token));
        let end = timed.last().map(|token| seconds(*token)).filter(|end| *end > start).unwrap_or(duration);
        return Cut { pieces: vec![Piece { start, end, tokens: tokens.to_vec() }], consumed: duration };
    }
    if ends_open {
        boundaries.push(tokens.len());
    }
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in boundaries {
        let (first, last) = (tokens[from], tokens[to - 1]);
        pieces.push(Piece { start: seconds(first), end: seconds(last), tokens: tokens[from..to].to_vec() });
        from = to;
    }
    let consumed = if ends_open { duration } else { seconds(tokens[from - 1]) };
    Cut { pieces, consumed }
}

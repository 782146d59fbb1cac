//! Exceptions as the rules would cut them: sequences of tokens that are put together again.

use std::collections::HashMap;
use std::ops::Range;

/// Sequences of tokens to look for.
#[derive(Debug, Default)]
pub(super) struct Phrases {
    /// By the first token: what follows it.
    by_first: HashMap<Box<str>, Vec<Vec<Box<str>>>>,
}

impl Phrases {
    /// Adds a sequence; one without tokens is none.
    pub(super) fn add<'t>(&mut self, mut tokens: impl Iterator<Item = &'t str>) {
        if let Some(first) = tokens.next() {
            self.by_first.entry(first.into()).or_default().push(tokens.map(Into::into).collect());
        }
    }

    /// The sequences among `count` tokens, in order. Of two that overlap the longer one counts, then the one that
    /// starts first; and what one has taken or would have taken is no start and no end of another.
    pub(super) fn find<'t>(&self, count: usize, token: impl Fn(usize) -> &'t str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for start in 0..count {
            let Some(phrases) = self.by_first.get(token(start)) else { continue };
            for rest in phrases {
                let end = start + 1 + rest.len();
                if end <= count && rest.iter().zip(start + 1..).all(|(text, index)| **text == *token(index)) {
                    found.push(start..end);
                }
            }
        }
        found.sort_by_key(|span| (std::cmp::Reverse(span.len()), span.start));
        let mut seen = std::collections::HashSet::new();
        found.retain(|span| {
            let free = !seen.contains(&span.start) && !seen.contains(&(span.end - 1));
            seen.extend(span.clone());
            free
        });
        found.sort_by_key(|span| span.start);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_sequence_wins_then_the_first() {
        let mut phrases = Phrases::default();
        for phrase in [&["a", "b"][..], &["b", "c", "d"], &["d", "e"], &["f"]] {
            phrases.add(phrase.iter().copied());
        }
        let find = |text: &'static str| {
            let tokens: Vec<_> = text.split(' ').collect();
            phrases.find(tokens.len(), |index| tokens[index])
        };
        assert_eq!(find("a b x f d e"), [0..2, 3..4, 4..6]);
        assert_eq!(find("a b c d e x f"), [1..4, 6..7]);
        assert!(find("b c").is_empty());
    }
}

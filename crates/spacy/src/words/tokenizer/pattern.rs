//! Python's regular expressions with one look ahead or behind here and there.
//!
//! An expression that looks around needs a backtracking engine, which is slow on the many alternatives that spaCy's have. So
//! each is kept a second time, without its looking around: that finds all that the exact one finds and more, at the
//! speed of an automaton. Only from where it finds something is the exact one asked.

use std::ops::Range;

/// A regular expression as Python's `re` takes it.
#[derive(Debug)]
pub(super) struct Pattern {
    wide: regex::Regex,
    /// Missing where `wide` is exact.
    exact: Option<Box<fancy_regex::Regex>>,
}

impl Pattern {
    /// Compiles an expression; the error says what is wrong with it.
    pub(super) fn new(source: &str) -> Result<Self, String> {
        let without = without_looking_around(source);
        let wide = regex::Regex::new(&without).map_err(|error| error.to_string())?;
        let exact = if without == source {
            None
        } else {
            Some(Box::new(fancy_regex::Regex::new(source).map_err(|error| error.to_string())?))
        };
        Ok(Self { wide, exact })
    }

    /// The first match that starts at or behind `from`, in bytes. Text on which the exact expression tries more
    /// ways than it is allowed to does not match.
    pub(super) fn find_at(&self, text: &str, from: usize) -> Option<Range<usize>> {
        let wide = self.wide.find_at(text, from)?;
        match &self.exact {
            None => Some(wide.range()),
            Some(exact) => exact.find_from_pos(text, wide.start()).ok()?.map(|found| found.range()),
        }
    }

    /// Whether a match starts where the text does, as `re.match` says.
    pub(super) fn matches_start(&self, text: &str) -> bool {
        self.find_at(text, 0).is_some_and(|found| found.start == 0)
    }

    /// All matches, one behind the other.
    pub(super) fn find_all(&self, text: &str) -> Vec<Range<usize>> {
        let (mut found, mut from) = (Vec::new(), 0);
        while from <= text.len()
            && let Some(range) = self.find_at(text, from)
        {
            let behind = text[range.end..].chars().next().map_or(1, char::len_utf8);
            from = if range.is_empty() { range.end + behind } else { range.end };
            found.push(range);
        }
        found
    }
}

/// The expression without its groups `(?=…)`, `(?!…)`, `(?<=…)` and `(?<!…)`.
fn without_looking_around(source: &str) -> String {
    const GROUPS: [&str; 4] = ["(?=", "(?!", "(?<=", "(?<!"];
    let (mut kept, mut rest) = (String::with_capacity(source.len()), source);
    while let Some(first) = rest.chars().next() {
        let looks_around = GROUPS.iter().any(|group| rest.starts_with(group));
        let length = match first {
            '(' if looks_around => group_length(rest),
            '[' => class_length(rest),
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            _ => first.len_utf8(),
        };
        if !looks_around {
            kept.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    kept
}

/// The length in bytes of the group that `source` starts with, to its closing parenthesis.
fn group_length(source: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while let Some(first) = source[at..].chars().next() {
        at += match first {
            '[' => class_length(&source[at..]),
            '\\' => 1 + source[at + 1..].chars().next().map_or(0, char::len_utf8),
            _ => first.len_utf8(),
        };
        depth += match first {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length in bytes of the class of characters that `source` starts with, to its closing bracket.
fn class_length(source: &str) -> usize {
    let mut characters = source.char_indices().skip(1).peekable();
    characters.next_if(|(_, character)| *character == '^');
    characters.next_if(|(_, character)| *character == ']');
    while let Some((at, character)) = characters.next() {
        match character {
            ']' => return at + 1,
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    source.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_around_is_left_out() {
        let cases = [
            (r"^\+(?![0-9])|^,", r"^\+|^,"),
            (r"(?<=[0-9)\]])(?:km|m)$", r"(?:km|m)$"),
            (r"a(?=(?:b|\)))[(?=]", r"a[(?=]"),
            (r"\(?=x[]](?<!y)", r"\(?=x[]]"),
            (r"(?=never closed", ""),
        ];
        for (source, without) in cases {
            assert_eq!(without_looking_around(source), without);
        }
    }

    #[test]
    fn what_is_looked_at_counts() {
        let pattern = Pattern::new(r"(?<=[0-9])(?:km|m)$|!$").unwrap();
        assert_eq!(pattern.find_at("10km", 0), Some(2..4));
        assert_eq!(pattern.find_at("film", 0), None);
        assert_eq!(pattern.find_at("10km!", 0), Some(4..5));
    }

    #[test]
    fn matches_follow_one_another() {
        let pattern = Pattern::new(r"(?<=[a-z])-(?=[a-z])|\.\.+").unwrap();
        assert_eq!(pattern.find_all("-a-b-...c"), [2..3, 5..8]);
        assert_eq!(Pattern::new("x*").unwrap().find_all("éx"), [0..0, 2..3, 3..3]);
    }

    #[test]
    fn a_broken_expression_is_an_error() {
        assert!(Pattern::new("(?<=[0-9]").is_err());
        assert!(Pattern::new("[a-").is_err());
    }
}

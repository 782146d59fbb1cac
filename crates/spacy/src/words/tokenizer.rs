//! Text to tokens, as spaCy's tokenizer cuts it: at white space first, then marks off both ends of what stands
//! between, then at marks within, unless it is an exception or an address on the web. The rules are the pipeline's,
//! from its file `tokenizer`.

mod exceptions;
mod pattern;
mod phrases;

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use rmpv::ValueRef;

use crate::doc::{Doc, Label, Token};
use crate::error::{self, LoadError};
use crate::msgpack;
use crate::words::unicode;

use exceptions::{Exceptions, Part};
use pattern::Pattern;
use phrases::Phrases;

/// Text without white space is cut as far as this many bytes; what is longer stays one token. Time grows with the
/// square of that length, and no language has such words.
const LONGEST_SPAN: usize = 10_000;

/// A token's place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// In bytes.
    pub(crate) start: usize,
    /// In bytes.
    pub(crate) end: usize,
    /// Whether one blank follows that belongs to no token.
    pub(crate) space: bool,
    /// The normal form that an exception gives.
    pub(crate) norm: Option<Label>,
}

/// Cuts text into tokens.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    prefix: Option<Pattern>,
    suffix: Option<Pattern>,
    infix: Option<Pattern>,
    /// What is a token whatever stands at its ends.
    token: Option<Pattern>,
    /// What is a token whatever stands within.
    url: Option<Pattern>,
    exceptions: Exceptions,
    phrases: Phrases,
}

impl Tokenizer {
    /// Reads the file `tokenizer` of the pipeline's folder.
    pub(crate) fn load(folder: &Path) -> Result<Self, LoadError> {
        let file = folder.join("tokenizer");
        let damaged = |reason: String| LoadError::Damaged { file: file.clone(), reason };
        let bytes = error::read(&file)?;
        let rules = msgpack::parse(&file, &bytes)?;
        let pattern = |name: &str| match msgpack::field(&rules, name) {
            None => Err(damaged(format!("it has no rule `{name}`"))),
            Some(ValueRef::Nil) => Ok(None),
            Some(source) => {
                let source = msgpack::string(source);
                let source = source.ok_or_else(|| damaged(format!("its rule `{name}` is no string")))?;
                let pattern = Pattern::new(source);
                pattern
                    .map(Some)
                    .map_err(|reason| damaged(format!("its rule `{name}` cannot be used: {reason}")))
            }
        };
        let exceptions = msgpack::field(&rules, "exceptions");
        let exceptions = exceptions.ok_or_else(|| damaged("it has no exceptions".to_owned()))?;
        let all_phrases = msgpack::field(&rules, "faster_heuristics") == Some(&ValueRef::Boolean(false));
        let mut tokenizer = Self {
            prefix: pattern("prefix_search")?,
            suffix: pattern("suffix_search")?,
            infix: pattern("infix_finditer")?,
            token: pattern("token_match")?,
            url: pattern("url_match")?,
            exceptions: Exceptions::default(),
            phrases: Phrases::default(),
        };
        // What an exception looks like where it is not known as one, cut without any exceptions.
        let exceptions = Exceptions::read(exceptions).map_err(damaged)?;
        for word in exceptions.words() {
            if all_phrases || tokenizer.is_cut(word) {
                let pieces = tokenizer.cut_at_space(word);
                tokenizer.phrases.add(pieces.iter().map(|piece| &word[piece.start..piece.end]));
            }
        }
        tokenizer.exceptions = exceptions;
        Ok(tokenizer)
    }

    /// The tokens of a text, with nothing said about them yet.
    pub(crate) fn tokenize(&self, text: &str) -> Doc {
        let pieces = self.cut(text).into_iter().enumerate();
        let tokens = pieces.map(|(index, Piece { start, end, space, norm })| Token {
            start,
            end,
            space,
            norm,
            head: index,
            sentence_start: index == 0,
            ..Token::default()
        });
        Doc { text: text.to_owned(), tokens: tokens.collect(), ..Doc::default() }
    }

    /// Where the tokens of a text are.
    fn cut(&self, text: &str) -> Vec<Piece> {
        let pieces = self.cut_at_space(text);
        self.join_exceptions(text, pieces)
    }

    /// Cuts at white space, and then each span of text or of space by itself. A blank behind a span belongs to no
    /// token; other space is one.
    fn cut_at_space(&self, text: &str) -> Vec<Piece> {
        let mut known: HashMap<&str, Vec<Part>> = HashMap::new();
        let mut pieces: Vec<Piece> = Vec::with_capacity(text.len() / 4);
        let mut add = |pieces: &mut Vec<Piece>, span: Range<usize>| {
            let word = &text[span.clone()];
            let parts = known.entry(word).or_insert_with(|| self.cut_span(word));
            let mut start = span.start;
            for Part { length, norm } in parts {
                pieces.push(Piece { start, end: start + *length, space: false, norm: norm.clone() });
                start += *length;
            }
        };
        let mut start = 0;
        let mut in_space = text.starts_with(unicode::is_space);
        for (at, character) in text.char_indices() {
            if unicode::is_space(character) == in_space {
                continue;
            }
            if start < at {
                add(&mut pieces, start..at);
            }
            start = at;
            in_space = !in_space;
            if character == ' '
                && let Some(last) = pieces.last_mut()
            {
                last.space = true;
                start += 1;
            }
        }
        if start < text.len() {
            add(&mut pieces, start..text.len());
        }
        pieces
    }

    /// Cuts what stands between white space, or the space itself.
    fn cut_span(&self, span: &str) -> Vec<Part> {
        if let Some(parts) = self.exceptions.get(span) {
            return parts.to_vec();
        }
        if span.len() > LONGEST_SPAN {
            return vec![Part::plain(span)];
        }
        let (mut parts, mut suffixes) = (Vec::new(), Vec::new());
        let middle = self.cut_ends(span, &mut parts, &mut suffixes);
        if let Some(exception) = self.exceptions.get(middle) {
            parts.extend_from_slice(exception);
        } else if !middle.is_empty() {
            self.cut_within(middle, &mut parts);
        }
        parts.extend(suffixes.into_iter().rev());
        parts
    }

    /// Takes marks off both ends, until none is left or what is left is an exception. `suffixes` come in the order in
    /// which they are taken off.
    fn cut_ends<'s>(&self, mut span: &'s str, prefixes: &mut Vec<Part>, suffixes: &mut Vec<Part>) -> &'s str {
        while !span.is_empty() && !is_token(self.token.as_ref(), span) && self.exceptions.get(span).is_none()
        {
            let prefix = length_of_first(self.prefix.as_ref(), span);
            if prefix > 0 && self.exceptions.get(&span[prefix..]).is_some() {
                prefixes.push(Part::plain(&span[..prefix]));
                return &span[prefix..];
            }
            let suffix = length_of_first(self.suffix.as_ref(), &span[prefix..]);
            let before = span.len() - suffix;
            if suffix > 0 && self.exceptions.get(&span[..before]).is_some() {
                suffixes.push(Part::plain(&span[before..]));
                return &span[..before];
            }
            if prefix == 0 && suffix == 0 {
                break;
            }
            if prefix > 0 {
                prefixes.push(Part::plain(&span[..prefix]));
            }
            if suffix > 0 {
                suffixes.push(Part::plain(&span[before..]));
            }
            span = &span[prefix..before];
        }
        span
    }

    /// Cuts at the marks within a word that has none at its ends.
    fn cut_within(&self, word: &str, parts: &mut Vec<Part>) {
        let whole = is_token(self.token.as_ref(), word) || is_token(self.url.as_ref(), word);
        let infixes = if whole { Vec::new() } else { find_all(self.infix.as_ref(), word) };
        let mut start = 0;
        for infix in infixes.into_iter().filter(|infix| infix.start > 0) {
            parts.extend(
                [start..infix.start, infix.clone()]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .map(|part| Part::plain(&word[part])),
            );
            start = infix.end;
        }
        if start < word.len() {
            parts.push(Part::plain(&word[start..]));
        }
    }

    /// Whether a rule cuts something off the word, or within it.
    fn is_cut(&self, word: &str) -> bool {
        length_of_first(self.prefix.as_ref(), word) > 0
            || !find_all(self.infix.as_ref(), word).is_empty()
            || length_of_first(self.suffix.as_ref(), word) > 0
            || word.contains(' ')
    }

    /// Finds exceptions that the rules have cut, and cuts them as they should be.
    fn join_exceptions(&self, text: &str, pieces: Vec<Piece>) -> Vec<Piece> {
        let found = self.phrases.find(pieces.len(), |index| &text[pieces[index].start..pieces[index].end]);
        if found.is_empty() {
            return pieces;
        }
        let mut joined = Vec::with_capacity(pieces.len());
        let mut at = 0;
        for phrase in found {
            let (start, end) = (pieces[phrase.start].start, pieces[phrase.end - 1].end);
            // Where space stands between its parts it is not that exception.
            let Some(parts) = self.exceptions.get(&text[start..end]) else { continue };
            joined.extend_from_slice(&pieces[at..phrase.start]);
            at = phrase.end;
            let mut start = start;
            for Part { length, norm } in parts {
                joined.push(Piece { start, end: start + length, space: false, norm: norm.clone() });
                start += length;
            }
            if let Some(last) = joined.last_mut() {
                last.space = pieces[phrase.end - 1].space;
            }
        }
        joined.extend_from_slice(&pieces[at..]);
        joined
    }
}

/// Whether a rule, if there is one, takes the whole for a token.
fn is_token(pattern: Option<&Pattern>, span: &str) -> bool {
    pattern.is_some_and(|pattern| pattern.matches_start(span))
}

/// The length in bytes of a rule's first match; 0 without one.
fn length_of_first(pattern: Option<&Pattern>, span: &str) -> usize {
    pattern.and_then(|pattern| pattern.find_at(span, 0)).map_or(0, |found| found.len())
}

fn find_all(pattern: Option<&Pattern>, word: &str) -> Vec<Range<usize>> {
    pattern.map_or_else(Vec::new, |pattern| pattern.find_all(word))
}

//! Finds the noun phrases of an English text: its noun chunks without function words.

use std::ops::Range;

use verbatim_spacy::{Doc, Label, Span, Token};

use crate::words::is_english_function_word;

/// Nouns and the words that describe them: a noun chunk without its articles, pronouns, numbers and possessives. “The
/// crew's old boats” has two: “crew” and “old boats”.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NounPhrase {
    /// In order; the last is a noun.
    pub(crate) words: Vec<NounWord>,
}

/// A word of a [`NounPhrase`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NounWord {
    pub(crate) range: Range<usize>,
    pub(crate) lemma: Label,
    /// Whether it is a noun rather than a word that describes one.
    pub(crate) is_noun: bool,
    pub(crate) is_name: bool,
}

/// The noun phrases in one noun chunk.
pub(super) fn noun_phrases(doc: &Doc, chunk: &Span) -> Vec<NounPhrase> {
    let mut phrases = vec![Vec::new()];
    for index in chunk.start..chunk.end {
        let token = &doc.tokens()[index];
        let text = doc.token_text(index);
        let compound = index + 1 < chunk.end && doc.token_text(index + 1) == "-";
        if is_part(token) || (compound && &*token.pos == "ADV") {
            phrases.last_mut().expect("there is one from the start on").push(NounWord {
                range: token.start..token.end,
                lemma: token.lemma.clone(),
                is_noun: matches!(&*token.pos, "NOUN" | "PROPN"),
                is_name: &*token.pos == "PROPN",
            });
        } else if text != "-" {
            phrases.push(Vec::new());
        }
    }
    phrases.into_iter().filter_map(|words| NounPhrase::of(doc.text(), words)).collect()
}

/// Whether a word can be part of a noun phrase.
fn is_part(token: &Token) -> bool {
    let describes = &*token.pos == "VERB" && matches!(&*token.dep, "amod" | "compound");
    describes || matches!(&*token.pos, "NOUN" | "PROPN" | "ADJ")
}

impl NounPhrase {
    /// The noun phrase in neighbouring words; `None` if they have no noun, or only function words.
    fn of(text: &str, mut words: Vec<NounWord>) -> Option<Self> {
        let is_content =
            |word: &NounWord| !is_english_function_word(&text[word.range.clone()].to_lowercase());
        words.truncate(words.iter().rposition(|word| word.is_noun)? + 1);
        words.drain(..words.iter().position(is_content)?);
        Some(Self { words })
    }

    /// Its place in the text, in bytes.
    pub(crate) fn range(&self) -> Range<usize> {
        let (first, last) = (self.words.first(), self.words.last());
        first.map_or(0, |word| word.range.start)..last.map_or(0, |word| word.range.end)
    }

    /// The lemmas of its words, in lower case.
    pub(crate) fn lemmas(&self) -> impl Iterator<Item = String> {
        self.words.iter().map(|word| word.lemma.to_lowercase())
    }
}

/// The phrases within each range of the text, as places in that range. A phrase that extends beyond the end of a
/// range is left out.
pub(crate) fn within(phrases: &[NounPhrase], ranges: &[Range<usize>]) -> Vec<Vec<NounPhrase>> {
    let mut rest = phrases;
    let ranges = ranges.iter().map(|range| {
        rest = &rest[rest.partition_point(|phrase| phrase.range().start < range.start)..];
        let count = rest.partition_point(|phrase| phrase.range().start < range.end);
        let mut inside: Vec<NounPhrase> =
            rest[..count].iter().filter(|phrase| phrase.range().end <= range.end).cloned().collect();
        for word in inside.iter_mut().flat_map(|phrase| &mut phrase.words) {
            word.range = word.range.start - range.start..word.range.end - range.start;
        }
        inside
    });
    ranges.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(words: &[(usize, usize)]) -> NounPhrase {
        let word = |&(start, end): &(usize, usize)| NounWord {
            range: start..end,
            lemma: "x".into(),
            is_noun: true,
            is_name: false,
        };
        NounPhrase { words: words.iter().map(word).collect() }
    }

    #[test]
    fn phrases_are_places_in_their_sentence() {
        let phrases = [
            phrase(&[(2, 5), (6, 9)]),
            phrase(&[(12, 14)]),
            phrase(&[(18, 19), (20, 25)]),
            phrase(&[(26, 30)]),
        ];
        let found = within(&phrases, &[0..10, 11..19, 20..31]);
        assert_eq!(
            found,
            [vec![phrase(&[(2, 5), (6, 9)])], vec![phrase(&[(1, 3)])], vec![phrase(&[(6, 10)])]]
        );
    }
}

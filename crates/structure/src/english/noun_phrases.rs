//! The noun phrases of an English text: its noun chunks without what says nothing of a subject.

use std::ops::Range;

use verbatim_spacy::{Doc, Label, Span, Token};

use crate::words::is_english_function_word;

/// Nouns and what describes them: a noun chunk without the articles, pronouns and numbers before it, and without
/// whose it is: “the crew's old boats” are a crew and old boats.
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
    /// Or else it describes one.
    pub(crate) is_noun: bool,
    pub(crate) is_name: bool,
}

/// The noun phrases in one noun chunk.
pub(super) fn noun_phrases(doc: &Doc, chunk: &Span) -> Vec<NounPhrase> {
    let mut phrases = vec![Vec::new()];
    for index in chunk.start..chunk.end {
        let token = &doc.tokens()[index];
        let said = doc.token_text(index);
        let compound = index + 1 < chunk.end && doc.token_text(index + 1) == "-";
        if is_part(token) || (compound && &*token.pos == "ADV") {
            phrases.last_mut().expect("there is one from the start on").push(NounWord {
                range: token.start..token.end,
                lemma: token.lemma.clone(),
                is_noun: matches!(&*token.pos, "NOUN" | "PROPN"),
                is_name: &*token.pos == "PROPN",
            });
        } else if said != "-" {
            phrases.push(Vec::new());
        }
    }
    phrases.into_iter().filter_map(|words| NounPhrase::of(doc.text(), words)).collect()
}

fn is_part(token: &Token) -> bool {
    let describes = &*token.pos == "VERB" && matches!(&*token.dep, "amod" | "compound");
    describes || matches!(&*token.pos, "NOUN" | "PROPN" | "ADJ")
}

impl NounPhrase {
    /// Of neighbouring words; `None` where no noun is among them, or nothing that says what is spoken of.
    fn of(text: &str, mut words: Vec<NounWord>) -> Option<Self> {
        let says = |word: &NounWord| !is_english_function_word(&text[word.range.clone()].to_lowercase());
        words.truncate(words.iter().rposition(|word| word.is_noun)? + 1);
        words.drain(..words.iter().position(says)?);
        Some(Self { words })
    }

    /// Where it is.
    pub(crate) fn range(&self) -> Range<usize> {
        let (first, last) = (self.words.first(), self.words.last());
        first.map_or(0, |word| word.range.start)..last.map_or(0, |word| word.range.end)
    }

    /// The lemmas of its words, in small letters.
    pub(crate) fn lemmas(&self) -> impl Iterator<Item = String> {
        self.words.iter().map(|word| word.lemma.to_lowercase())
    }
}

/// The phrases of each stretch of the text, as places in that stretch. What reaches over its end is left out.
pub(crate) fn within(phrases: &[NounPhrase], stretches: &[Range<usize>]) -> Vec<Vec<NounPhrase>> {
    let mut rest = phrases;
    let stretches = stretches.iter().map(|stretch| {
        rest = &rest[rest.partition_point(|phrase| phrase.range().start < stretch.start)..];
        let count = rest.partition_point(|phrase| phrase.range().start < stretch.end);
        let mut inside: Vec<NounPhrase> =
            rest[..count].iter().filter(|phrase| phrase.range().end <= stretch.end).cloned().collect();
        for word in inside.iter_mut().flat_map(|phrase| &mut phrase.words) {
            word.range = word.range.start - stretch.start..word.range.end - stretch.start;
        }
        inside
    });
    stretches.collect()
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

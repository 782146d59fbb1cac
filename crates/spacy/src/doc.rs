//! A text and what was found in it: plain data.

use std::ops::Range;
use std::sync::Arc;

/// A name from the pipeline's tables (a tag, a dependency, a lemma), shared by all tokens that bear it. Empty
/// where nothing was said.
pub type Label = Arc<str>;

/// A text with its tokens, and the spans that were found over them.
#[derive(Debug, Clone, Default)]
pub struct Doc {
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    pub(crate) entities: Vec<Span>,
    pub(crate) noun_chunks: Vec<Span>,
}

/// A word, a mark, or space beyond the one blank between words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Token {
    /// Where it starts in the text, in bytes.
    pub start: usize,
    /// Where it ends in the text, in bytes.
    pub end: usize,
    /// Whether one blank follows that belongs to no token.
    pub space: bool,
    /// The normal form that the tokenizer's exceptions give it, where they do: “not” for the “n't” of “don't”.
    pub norm: Option<Label>,
    /// Fine-grained part of speech, of the Penn Treebank.
    pub tag: Label,
    /// Universal part of speech: `NOUN`, `VERB` …
    pub pos: Label,
    /// Universal features, as `Number=Plur|Person=1`.
    pub morph: Label,
    /// The form that stands in a dictionary.
    pub lemma: Label,
    /// What the token is to its head: `nsubj`, `ROOT` …
    pub dep: Label,
    /// The index of the token that it depends on; its own, if it depends on none.
    pub head: usize,
    /// Whether a sentence starts here.
    pub sentence_start: bool,
}

/// Neighbouring tokens with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Index of the first token.
    pub start: usize,
    /// Index behind the last token.
    pub end: usize,
    /// `PERSON`, `DATE` … for an entity; `NP` for a noun chunk; empty for a sentence.
    pub label: Label,
}

impl Doc {
    /// The text that was analyzed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All tokens, in the order of the text.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Named entities, in the order of the text; they do not overlap.
    pub fn entities(&self) -> &[Span] {
        &self.entities
    }

    /// The entity that the token at `index` is part of.
    pub fn entity(&self, index: usize) -> Option<&Span> {
        let next = self.entities.partition_point(|entity| entity.end <= index);
        self.entities.get(next).filter(|entity| entity.start <= index)
    }

    /// Base noun phrases, in the order of the text; they do not overlap.
    pub fn noun_chunks(&self) -> &[Span] {
        &self.noun_chunks
    }

    /// The sentences, which together are all tokens.
    pub fn sentences(&self) -> impl Iterator<Item = Span> + '_ {
        let mut start = 0;
        std::iter::from_fn(move || {
            let rest = self.tokens.get(start + 1..)?;
            let end = rest
                .iter()
                .position(|token| token.sentence_start)
                .map_or(self.tokens.len(), |at| start + 1 + at);
            let sentence = Span { start, end, label: Label::default() };
            start = end;
            Some(sentence)
        })
    }

    /// What the token at `index` says.
    pub fn token_text(&self, index: usize) -> &str {
        &self.text[self.tokens[index].start..self.tokens[index].end]
    }

    /// Where a span is in the text, in bytes, without the blank behind it.
    pub fn range(&self, span: &Span) -> Range<usize> {
        match self.tokens.get(span.start..span.end) {
            Some([first, .., last]) => first.start..last.end,
            Some([only]) => only.start..only.end,
            _ => 0..0,
        }
    }

    /// What a span says, without the blank behind it.
    pub fn span_text(&self, span: &Span) -> &str {
        &self.text[self.range(span)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(text: &str, sentence_starts: &[bool]) -> Doc {
        let mut at = 0;
        let tokens = text.split(' ').zip(sentence_starts).map(|(word, &sentence_start)| {
            let token =
                Token { start: at, end: at + word.len(), space: true, sentence_start, ..Token::default() };
            at += word.len() + 1;
            token
        });
        Doc { text: text.to_owned(), tokens: tokens.collect(), ..Doc::default() }
    }

    #[test]
    fn sentences_are_all_tokens() {
        let doc = doc("It rained . We left .", &[true, false, false, true, false, false]);
        let sentences: Vec<_> = doc.sentences().map(|span| doc.span_text(&span).to_owned()).collect();
        assert_eq!(sentences, ["It rained .", "We left ."]);
    }

    #[test]
    fn a_token_is_part_of_one_entity_or_none() {
        let mut doc = doc("Ann Lee left Rome .", &[true, false, false, false, false]);
        doc.entities = vec![
            Span { start: 0, end: 2, label: "PERSON".into() },
            Span { start: 3, end: 4, label: "GPE".into() },
        ];
        let labels: Vec<_> = (0..6).map(|at| doc.entity(at).map(|entity| entity.label.to_string())).collect();
        let (person, place) = (Some("PERSON".to_owned()), Some("GPE".to_owned()));
        assert_eq!(labels, [person.clone(), person, None, place, None, None]);
    }

    #[test]
    fn an_empty_text_has_no_sentence() {
        assert_eq!(Doc::default().sentences().count(), 0);
    }
}

//! Analyzes English text with a spaCy pipeline: finds its sentences, entities and noun phrases, as places in the
//! text.

mod noun_phrases;
mod phrases;

use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use verbatim_spacy::{Doc, Label, LoadError, Pipeline, Span};

#[cfg(test)]
pub(crate) use self::noun_phrases::NounWord;
use self::noun_phrases::noun_phrases;
pub(crate) use self::noun_phrases::{NounPhrase, within};
use self::phrases::breaks;
use crate::breaks::{Break, BreakKind};
use crate::failures::{Failures, Part};
use crate::sentences::{by_rules, is_punctuation};
use crate::transcript::trimmed;
use verbatim_speech::Language;

/// The maximum size of a piece that is analyzed at once, in bytes. It bounds the memory for long transcripts.
const PIECE_BYTES: usize = 64 * 1024;

/// The same, if a text is analyzed on several threads: an hour of speech has 50 kB.
const BREAKS_PIECE_BYTES: usize = 8 * 1024;

/// The loaded pipeline, which any number of threads may use.
#[derive(Debug)]
pub struct English {
    name: String,
    pipeline: Pipeline,
}

/// What was found in a text; a field is `None` if finding it failed. All places are in bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Analysis {
    /// Without the white space around them. Each has a letter or a digit.
    pub(crate) sentences: Option<Vec<Range<usize>>>,
    pub(crate) entities: Option<Vec<(Range<usize>, Label)>>,
    pub(crate) noun_phrases: Option<Vec<NounPhrase>>,
}

impl English {
    /// Loads the pipeline in a folder. `name` is what [`name`](Self::name) returns.
    pub fn load(dir: &Path, name: &str) -> Result<Self, LoadError> {
        Ok(Self { name: name.to_owned(), pipeline: verbatim_spacy::load(dir)? })
    }

    /// Its name in `models_used`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Analyzes a text piece by piece. `None` if the pipeline itself failed.
    pub(crate) fn analyze(&self, text: &str, failures: &mut Failures) -> Option<Analysis> {
        let mut analysis = Analysis {
            sentences: Some(Vec::new()),
            entities: Some(Vec::new()),
            noun_phrases: Some(Vec::new()),
        };
        for piece in failures.catch(Part::English, || pieces(text, PIECE_BYTES))? {
            let doc = failures.catch(Part::English, || self.pipeline.analyze(&text[piece.clone()]))?;
            analysis.add(&doc, piece.start, failures);
        }
        Some(analysis)
    }

    /// The places of a text that are better or worse to break than between any two words, in order. `None` if the
    /// pipeline failed.
    pub(crate) fn breaks(&self, text: &str, failures: &mut Failures) -> Option<Vec<Break>> {
        failures.catch(Part::English, || {
            let found = pieces(text, BREAKS_PIECE_BYTES).into_par_iter().map(|piece| {
                let moved = |found: Break| Break { place: piece.start + found.place, ..found };
                let start = Break { place: piece.start, kind: BreakKind::Sentence };
                let doc = self.pipeline.analyze(&text[piece.clone()]);
                let inside = breaks(&doc).into_iter().map(moved);
                (piece.start > 0).then_some(start).into_iter().chain(inside).collect::<Vec<_>>()
            });
            found.collect::<Vec<_>>().concat()
        })
    }
}

/// Splits a text into pieces of at most that many bytes, which end at the ends of sentences, found by rule. A longer
/// sentence, as in speech without punctuation, is split at spaces.
fn pieces(text: &str, most: usize) -> Vec<Range<usize>> {
    if text.len() <= most {
        return std::iter::once(0..text.len()).collect();
    }
    let mut pieces: Vec<Range<usize>> = Vec::new();
    for sentence in by_rules(text, Some(Language::ENGLISH)) {
        for part in parts(text, sentence, most) {
            match pieces.last_mut() {
                Some(last) if part.end - last.start <= most => last.end = part.end,
                _ => pieces.push(part),
            }
        }
    }
    pieces
}

/// Splits a sentence at spaces into parts of at most that many bytes. A longer word is not split.
fn parts(text: &str, sentence: Range<usize>, most: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut from = sentence.start;
    while sentence.end - from > most {
        let spaces = || text[from..sentence.end].match_indices(' ').map(|(at, _)| from + at);
        let fits = spaces().take_while(|at| at - from <= most).last();
        let Some(cut) = fits.or_else(|| spaces().next()) else { break };
        parts.extend(trimmed(text, from..cut));
        from = cut + 1;
    }
    parts.extend(trimmed(text, from..sentence.end));
    parts
}

impl Analysis {
    /// Adds what was found in a piece of the text that starts at that place.
    fn add(&mut self, doc: &Doc, place: usize, failures: &mut Failures) {
        let moved = |range: Range<usize>| place + range.start..place + range.end;
        let sentences = || sentences(doc).into_iter().map(moved).collect();
        extend(&mut self.sentences, failures.catch(Part::ParserSentences, sentences));
        let entity = |entity: &Span| {
            let range = trimmed(doc.text(), doc.range(entity))?;
            Some((moved(range), entity.label.clone()))
        };
        let entities = || doc.entities().iter().filter_map(entity).collect();
        extend(&mut self.entities, failures.catch(Part::Entities, entities));
        let phrases = || {
            let chunks = doc.noun_chunks();
            let mut phrases: Vec<NounPhrase> =
                chunks.iter().flat_map(|chunk| noun_phrases(doc, chunk)).collect();
            for word in phrases.iter_mut().flat_map(|phrase| &mut phrase.words) {
                word.range = moved(word.range.clone());
            }
            phrases
        };
        extend(&mut self.noun_phrases, failures.catch(Part::Keywords, phrases));
    }
}

/// Appends the results of a piece. If finding them failed in one piece, all are dropped: a result with unknown gaps
/// is of no use.
fn extend<T>(all: &mut Option<Vec<T>>, piece: Option<Vec<T>>) {
    match (all.as_mut(), piece) {
        (Some(all), Some(piece)) => all.extend(piece),
        _ => *all = None,
    }
}

/// The sentences by the parser. One that has only punctuation is joined to the one before.
fn sentences(doc: &Doc) -> Vec<Range<usize>> {
    let mut sentences: Vec<Range<usize>> = Vec::new();
    for sentence in doc.sentences() {
        let Some(range) = trimmed(doc.text(), doc.range(&sentence)) else { continue };
        match sentences.last_mut() {
            Some(last)
                if is_punctuation(&doc.text()[range.clone()])
                    || is_punctuation(&doc.text()[last.clone()]) =>
            {
                last.end = range.end;
            }
            _ => sentences.push(range),
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::model_folder;

    #[test]
    fn a_long_text_is_split_after_sentences() {
        let text = "One is here. Two is there. Three is nowhere. Four.";
        let cut = |most| pieces(text, most).into_iter().map(|piece| &text[piece]).collect::<Vec<_>>();
        assert_eq!(cut(100), [text]);
        assert_eq!(cut(30), ["One is here. Two is there.", "Three is nowhere. Four."]);
        assert_eq!(cut(10), ["One is", "here.", "Two is", "there.", "Three is", "nowhere.", "Four."]);
    }

    /// The pipeline, which `make models` fetches.
    fn english() -> &'static English {
        static ENGLISH: LazyLock<English> =
            LazyLock::new(|| English::load(&model_folder("en_core_web_sm"), "en_core_web_sm").unwrap());
        &ENGLISH
    }

    struct Found {
        sentences: Vec<Range<usize>>,
        entities: Vec<(Range<usize>, Label)>,
        noun_phrases: Vec<NounPhrase>,
    }

    /// What is found in a text; nothing may fail.
    fn analyze(text: &str) -> Found {
        let mut failures = Failures::default();
        let analysis = english().analyze(text, &mut failures).unwrap();
        assert_eq!(failures.message(), None);
        let Analysis { sentences, entities, noun_phrases } = analysis;
        Found {
            sentences: sentences.unwrap(),
            entities: entities.unwrap(),
            noun_phrases: noun_phrases.unwrap(),
        }
    }

    fn texts(text: &str, ranges: impl IntoIterator<Item = Range<usize>>) -> Vec<&str> {
        ranges.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn sentences_entities_and_noun_phrases_are_places_in_the_text() {
        let text = "In May Mr. Dashwood left Norland with the crew's old ill-disposed sailors. \
                    They never came back to the five young men there! — Zoë met him in Paris";
        let found = analyze(text);
        let sentences = [
            "In May Mr. Dashwood left Norland with the crew's old ill-disposed sailors.",
            "They never came back to the five young men there! —",
            "Zoë met him in Paris",
        ];
        assert_eq!(texts(text, found.sentences), sentences);
        let entities: Vec<_> =
            found.entities.into_iter().map(|(range, label)| format!("{} {label}", &text[range])).collect();
        let expected =
            ["May DATE", "Dashwood PERSON", "Norland ORG", "five CARDINAL", "Zoë PERSON", "Paris GPE"];
        assert_eq!(entities, expected);
        let phrases = texts(text, found.noun_phrases.iter().map(NounPhrase::range));
        let expected = ["Mr. Dashwood", "Norland", "crew", "old ill-disposed sailors", "young men", "Paris"];
        assert_eq!(phrases, expected);
        let sailors: Vec<String> = found.noun_phrases[3].lemmas().collect();
        assert_eq!(sailors, ["old", "ill", "dispose", "sailor"]);
    }

    /// Places in the pieces of a long text become places in the whole text.
    #[test]
    fn long_texts_are_analyzed_to_their_end() {
        let sentence = "Mr. Dashwood sold the old boats in Paris.";
        let text = vec![sentence; 4 * PIECE_BYTES / sentence.len()].join(" ");
        let found = analyze(&text);
        assert!(pieces(&text, PIECE_BYTES).len() > 3);
        assert_eq!(texts(&text, found.sentences.last().cloned()), [sentence]);
        assert_eq!(texts(&text, found.entities.last().map(|(range, _)| range.clone())), ["Paris"]);
        assert!(found.noun_phrases.is_sorted_by_key(|phrase| phrase.range().start));
        assert_eq!(texts(&text, found.noun_phrases.last().map(NounPhrase::range)), ["Paris"]);
    }

    proptest! {
        #[test]
        fn odd_text_keeps_its_letters_and_never_panics(text in "\\PC{0,60}", space in "[ \t\n]{0,3}") {
            let text = format!("{text}{space}{text}").trim().to_owned();
            let found = analyze(&text);
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            let sentences: String = texts(&text, found.sentences).iter().map(|s| letters(s)).collect();
            prop_assert_eq!(sentences, letters(&text));
            prop_assert!(texts(&text, found.noun_phrases.iter().map(NounPhrase::range)).iter().all(|s| !s.is_empty()));
        }

        #[test]
        fn pieces_hold_all_of_a_text(text in "(\\PC{0,12}[ .!?]{0,2}){0,12}", most in 1_usize..40) {
            let pieces = pieces(&text, most);
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            let all: String = pieces.iter().map(|piece| letters(&text[piece.clone()])).collect();
            prop_assert_eq!(all, letters(&text));
            prop_assert!(pieces.is_sorted_by(|a, b| a.end <= b.start), "{:?}", pieces);
        }
    }
}

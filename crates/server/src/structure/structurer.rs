//! All that is found out of a transcript. A part that fails is left out and told of; nothing fails for it.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use verbatim_spacy::Label;
use verbatim_whisper::{Language, Segment};

use super::embedder::Embedder;
use super::english::{Analysis, English, within};
use super::keywords::keywords;
use super::sentences::{by_rules, timed};
use super::topics::{TopicOptions, Topics, topics};
use super::transcript::TimedText;
use crate::result::{Entity, Keyword, Sentence, Topic};

/// What transcripts are structured with.
#[derive(Debug, Clone, Default)]
pub struct Structurer {
    /// Without it English is cut into sentences as other languages are, and has neither entities nor keywords.
    pub english: Option<Arc<English>>,
    /// Without it topics of English are told apart as those of other languages are.
    pub embedder: Option<Arc<Embedder>>,
    /// `None` where no topics are wanted.
    pub topics: Option<TopicOptions>,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Structure {
    pub sentences: Vec<Sentence>,
    pub topics: Vec<Topic>,
    pub entities: Vec<Entity>,
    pub keywords: Vec<Keyword>,
    /// The name of the pipeline that has run.
    pub spacy: Option<String>,
    /// What found the topics.
    pub topic_method: Option<String>,
    /// What is missing, and why, in sentences.
    pub error: Option<String>,
}

impl Structure {
    /// Nothing, for that reason.
    pub fn left_out(reason: &str) -> Self {
        Self { error: Some(reason.to_owned()), ..Self::default() }
    }
}

impl Structurer {
    /// The structure of a transcript in `language`. Takes seconds for a day's: not to be called where others wait.
    pub fn structure(&self, segments: &[Segment], language: Option<Language>) -> Structure {
        let structured = catch_unwind(AssertUnwindSafe(|| {
            let text = TimedText::new(segments);
            self.text(&text, None, language)
        }));
        structured.unwrap_or_else(|_| {
            Structure::left_out("The transcript could not be structured (an internal error).")
        })
    }

    /// The structure of a text whose sentences are known, and stay as they are.
    pub fn sentences(&self, sentences: &[Sentence], language: Option<Language>) -> Structure {
        let (text, ranges) = TimedText::of_sentences(sentences);
        self.text(&text, Some(ranges), language)
    }

    fn text(
        &self,
        text: &TimedText,
        known: Option<Vec<Range<usize>>>,
        language: Option<Language>,
    ) -> Structure {
        let mut errors = Errors::default();
        let is_english = language == Some(Language::ENGLISH) && !text.text.is_empty();
        let english = self.english.as_ref().filter(|_| is_english);
        let analyzed = english.and_then(|english| {
            let missing = "The English pipeline failed on this text (an internal error): its sentences are cut by rule, and \
                           entities and keywords are missing.";
            errors.survive(missing, || english.analyze(&text.text))
        });
        let spacy = analyzed.as_ref().and(english).map(|english| english.name().to_owned());
        let (cut, entities, noun_phrases) = match analyzed {
            Some(Analysis { sentences, entities, noun_phrases }) => {
                (Some(sentences), entities, Some(noun_phrases))
            }
            None => (None, Vec::new(), None),
        };
        let ranges = known.or(cut).unwrap_or_else(|| by_rules(&text.text, language));
        let sentences = timed(text, &ranges);
        let nouns = noun_phrases.as_ref().map(|phrases| within(phrases, &ranges));
        let found = match self.topics {
            None => errors.miss("There are no topics: they are turned off (ENABLE_TOPICS)."),
            Some(options) => errors
                .survive("There are no topics: finding them failed (an internal error).", || {
                    topics(&sentences, nouns.as_deref(), language, self.embedder.as_deref(), options)
                }),
        };
        let Topics { topics, method } = found.unwrap_or_default();
        Structure {
            topics,
            entities: timed_entities(text, entities),
            keywords: noun_phrases.map(|phrases| keywords(text, &phrases)).unwrap_or_default(),
            sentences,
            spacy,
            topic_method: method,
            error: errors.told(),
        }
    }
}

/// Sentences on what is missing.
#[derive(Debug, Default)]
struct Errors(Vec<&'static str>);

impl Errors {
    /// What a part finds, unless it panics; the panic itself is logged where all are.
    fn survive<T>(&mut self, missing: &'static str, part: impl FnOnce() -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(part)).map_or_else(|_| self.miss(missing), Some)
    }

    fn miss<T>(&mut self, missing: &'static str) -> Option<T> {
        self.0.push(missing);
        None
    }

    fn told(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(" "))
    }
}

/// Entities by their places in bytes, which are in order.
fn timed_entities(text: &TimedText, places: Vec<(Range<usize>, Label)>) -> Vec<Entity> {
    let (mut bytes, mut characters) = (0, 0);
    let mut characters_before = |place: usize| {
        characters += text.text[bytes..place].chars().count();
        bytes = place;
        characters
    };
    let entity = |(place, label): (Range<usize>, Label)| Entity {
        text: text.text[place.clone()].to_owned(),
        label: label.to_string(),
        start: characters_before(place.start),
        end: characters_before(place.end),
        seconds: text.seconds(place).0,
    };
    places.into_iter().map(entity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(texts: &[&str]) -> Vec<Sentence> {
        let sentence = |(i, text): (usize, &&str)| Sentence {
            text: (*text).to_owned(),
            start: 10.0 * i as f64,
            end: 10.0 * i as f64 + 8.0,
        };
        texts.iter().enumerate().map(sentence).collect()
    }

    #[test]
    fn a_part_that_panics_is_missing_and_told_of() {
        let mut errors = Errors::default();
        assert_eq!(errors.survive("Never said.", || 3), Some(3));
        assert_eq!(errors.survive::<u8>("The first is missing.", || panic!("as a bug would")), None);
        assert_eq!(errors.miss::<u8>("So is the second."), None);
        assert_eq!(errors.told().as_deref(), Some("The first is missing. So is the second."));
        assert_eq!(Errors::default().told(), None);
    }

    #[test]
    fn topics_that_are_turned_off_are_told_of() {
        let structure = Structurer::default().sentences(&said(&["It rained.", "It snowed."]), None);
        assert_eq!(
            structure.error.as_deref(),
            Some("There are no topics: they are turned off (ENABLE_TOPICS).")
        );
        assert_eq!(structure.sentences, said(&["It rained.", "It snowed."]));
        assert_eq!((structure.topics, structure.topic_method, structure.spacy), (vec![], None, None));
    }

    #[test]
    fn entities_are_placed_in_characters_and_seconds() {
        let (text, sentences) = TimedText::of_sentences(&said(&["Café au lait.", "Zoë saw Paris."]));
        let label = Label::from("GPE");
        let start = sentences[1].start + "Zoë saw ".len();
        let found = timed_entities(&text, vec![(sentences[1].clone(), label.clone())]);
        assert_eq!((found[0].start, found[0].end, found[0].seconds), (14, 28, 10.0));
        let found = timed_entities(&text, vec![(start..start + 5, label)]);
        assert_eq!((found[0].text.as_str(), found[0].start, found[0].end), ("Paris", 22, 27));
        assert!(found[0].seconds > 14.0 && found[0].seconds < 15.0, "{found:?}");
    }

    #[test]
    fn nothing_said_has_no_structure_and_no_error() {
        let structurer = Structurer { topics: Some(TopicOptions::default()), ..Structurer::default() };
        assert_eq!(structurer.structure(&[], Some(Language::ENGLISH)), Structure::default());
    }
}

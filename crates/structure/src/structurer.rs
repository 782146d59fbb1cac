//! Finds the structure of a transcript. If a part panics, it is left out and named, and the other parts are still
//! found.

use std::ops::Range;
use std::sync::Arc;

use verbatim_spacy::Label;

use crate::breaks::{Break, breaks_by_rules};
use crate::embedder::Embedder;
use crate::english::{Analysis, English, within};
use crate::failures::{Failures, Part};
use crate::keywords::keywords;
use crate::sentences::{by_rules, timed};
use crate::structure::{Entity, Sentence, Structure};
use crate::topics::{TopicOptions, Topics, topics};
use crate::transcript::TimedText;
use verbatim_speech::{Language, Segment};

/// Structures transcripts, with the models that are loaded.
#[derive(Debug, Clone, Default)]
pub struct Structurer {
    /// Without it, English is split into sentences like other languages, and has neither entities nor keywords.
    pub english: Option<Arc<English>>,
    /// Without it, topics of English are found by words alone, like those of other languages.
    pub embedder: Option<Arc<Embedder>>,
    /// `None` if topics are turned off.
    pub topics: Option<TopicOptions>,
}

impl Structurer {
    /// The structure of a transcript in `language`. Blocks: a transcript of a day takes seconds.
    pub fn structure(&self, segments: &[Segment], language: Option<Language>) -> Structure {
        with_failures(|failures| {
            let text = failures.catch(Part::Text, || TimedText::new(segments))?;
            Some(self.text(&text, None, language, failures))
        })
    }

    /// The structure of a text whose sentences are known; they are not changed.
    pub fn sentences(&self, sentences: &[Sentence], language: Option<Language>) -> Structure {
        with_failures(|failures| {
            let (text, ranges) = failures.catch(Part::Text, || TimedText::of_sentences(sentences))?;
            Some(self.text(&text, Some(ranges), language, failures))
        })
    }

    /// Where a text in `language` is better or worse to break than between any two words, in order. Sentences are found
    /// in every language; phrases in English, and words in scripts that put no space between them. Blocks: an hour's
    /// text takes a good part of a second.
    pub fn breaks(&self, text: &str, language: Option<Language>) -> Vec<Break> {
        let failures = &mut Failures::default();
        let english =
            self.english.as_ref().filter(|_| language == Some(Language::ENGLISH) && !text.is_empty());
        let phrases = english.and_then(|english| english.breaks(text, failures));
        phrases
            .or_else(|| failures.catch(Part::Sentences, || breaks_by_rules(text, language)))
            .unwrap_or_default()
    }

    /// Everything but the message about failures. All that works on the text runs in [`Failures::catch`].
    fn text(
        &self,
        text: &TimedText,
        known: Option<Vec<Range<usize>>>,
        language: Option<Language>,
        failures: &mut Failures,
    ) -> Structure {
        let is_english = language == Some(Language::ENGLISH) && !text.text.is_empty();
        let english = self.english.as_ref().filter(|_| is_english);
        let analyzed = english.and_then(|english| english.analyze(&text.text, failures));
        let spacy = analyzed.as_ref().and(english).map(|english| english.name().to_owned());
        let (parsed, entities, phrases) = match analyzed {
            Some(Analysis { sentences, entities, noun_phrases }) => (sentences, entities, noun_phrases),
            None => (None, None, None),
        };
        let sentences = failures.catch(Part::Sentences, || {
            let ranges = known.or(parsed).unwrap_or_else(|| by_rules(&text.text, language));
            (timed(text, &ranges), ranges)
        });
        let (sentences, ranges) = sentences.unwrap_or_default();
        let topics = self.topics.and_then(|options| {
            failures.catch(Part::Topics, || {
                let nouns = phrases.as_ref().map(|phrases| within(phrases, &ranges));
                topics(&sentences, nouns.as_deref(), language, self.embedder.as_deref(), options)
            })
        });
        let Topics { topics, method } = topics.unwrap_or_default();
        let entities = entities
            .and_then(|places| failures.catch(Part::Entities, || timed_entities(text, places)))
            .unwrap_or_default();
        let keywords = phrases
            .and_then(|phrases| failures.catch(Part::Keywords, || keywords(text, &phrases)))
            .unwrap_or_default();
        Structure { sentences, topics, entities, keywords, spacy, topic_method: method, error: None }
    }
}

/// The structure that `find` returns, with a message about the parts that failed.
fn with_failures(find: impl FnOnce(&mut Failures) -> Option<Structure>) -> Structure {
    let mut failures = Failures::default();
    let structure = find(&mut failures).unwrap_or_default();
    Structure { error: failures.message(), ..structure }
}

/// Entities from their places in bytes, which are in order.
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
    use crate::failures::broken::without;
    use crate::testing::{model_folder, segment};

    fn sentences(texts: &[&str]) -> Vec<Sentence> {
        let sentence = |(i, text): (usize, &&str)| Sentence {
            text: (*text).to_owned(),
            start: 10.0 * i as f64,
            end: 10.0 * i as f64 + 8.0,
        };
        texts.iter().enumerate().map(sentence).collect()
    }

    /// With all models; `make models` fetches them.
    fn structurer() -> Structurer {
        let english = English::load(&model_folder("en_core_web_sm"), "en_core_web_sm").unwrap();
        let embedder = Embedder::load(&model_folder("all-minilm-l6-v2")).unwrap();
        let topics = Some(TopicOptions::default());
        Structurer { english: Some(Arc::new(english)), embedder: Some(Arc::new(embedder)), topics }
    }

    #[test]
    fn each_part_that_panics_is_missing_and_reported_and_the_others_are_found() {
        let text =
            "Mr. Dashwood sold his old boats in Paris. He never came back there. The old boats were lost.";
        let segments = [segment(0.0, 8.0, text)];
        let structurer = structurer();
        let structure = || structurer.structure(&segments, Some(Language::ENGLISH));
        let whole = structure();
        let counts = |structure: &Structure| {
            let Structure { sentences, topics, entities, keywords, .. } = structure;
            [sentences.len(), topics.len(), entities.len(), keywords.len()]
        };
        assert!(counts(&whole).iter().all(|count| *count > 0) && whole.error.is_none(), "{whole:?}");
        let (sentences, spacy) = (whole.sentences.clone(), whole.spacy.clone());
        let missing = |part| Structure { error: Some(message(part)), ..whole.clone() };
        for (part, expected) in [
            (Part::Text, Structure::left_out(&message(Part::Text))),
            (Part::ParserSentences, missing(Part::ParserSentences)),
            (Part::Entities, Structure { entities: vec![], ..missing(Part::Entities) }),
            (Part::Topics, Structure { topics: vec![], topic_method: None, ..missing(Part::Topics) }),
        ] {
            assert_eq!(without(part, structure), expected);
        }
        let found = without(Part::English, structure);
        assert_eq!(
            (&found.sentences, &found.spacy, &found.error),
            (&sentences, &None, &Some(message(Part::English)))
        );
        assert_eq!(counts(&found)[1..], [1, 0, 0]);
        let found = without(Part::Keywords, structure);
        assert_eq!(
            (&found.entities, &found.spacy, &found.error),
            (&whole.entities, &spacy, &Some(message(Part::Keywords)))
        );
        assert_eq!(counts(&found)[..2], counts(&whole)[..2]);
        assert_eq!(found.keywords, []);
        let found = without(Part::Sentences, structure);
        assert_eq!((&found.entities, &found.keywords), (&whole.entities, &whole.keywords));
        assert_eq!((&counts(&found)[..2], found.error), (&[0, 0][..], Some(message(Part::Sentences))));
    }

    /// The message about a part that failed.
    fn message(part: Part) -> String {
        let mut failures = Failures::default();
        without(part, || failures.catch(part, || ()));
        failures.message().unwrap()
    }

    #[test]
    fn topics_that_are_turned_off_are_no_error() {
        let structure = Structurer::default().sentences(&sentences(&["It rained.", "It snowed."]), None);
        let sentences = sentences(&["It rained.", "It snowed."]);
        assert_eq!(structure, Structure { sentences, ..Structure::default() });
    }

    #[test]
    fn entities_are_placed_in_characters_and_seconds() {
        let (text, sentences) = TimedText::of_sentences(&sentences(&["Café au lait.", "Zoë saw Paris."]));
        let label = Label::from("GPE");
        let start = sentences[1].start + "Zoë saw ".len();
        let found = timed_entities(&text, vec![(sentences[1].clone(), label.clone())]);
        assert_eq!((found[0].start, found[0].end, found[0].seconds), (14, 28, 10.0));
        let found = timed_entities(&text, vec![(start..start + 5, label)]);
        assert_eq!((found[0].text.as_str(), found[0].start, found[0].end), ("Paris", 22, 27));
        assert!(found[0].seconds > 14.0 && found[0].seconds < 15.0, "{found:?}");
    }

    #[test]
    fn an_empty_transcript_has_an_empty_structure_and_no_error() {
        let structurer = Structurer { topics: Some(TopicOptions::default()), ..Structurer::default() };
        assert_eq!(structurer.structure(&[], Some(Language::ENGLISH)), Structure::default());
    }
}

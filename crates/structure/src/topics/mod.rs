//! Divides a transcript into topics.

mod segmentation;
mod summary;

use self::segmentation::Text;
use self::summary::{Closeness, summary};
use crate::embedder::{Embedder, Embedding};
use crate::english::NounPhrase;
use crate::keywords::{Phrases, title};
use crate::structure::{Sentence, Topic};
use crate::words::{Word, words};
use verbatim_speech::Language;

/// The name of the method by words alone, in `models_used`.
const LEXICAL: &str = "lexical";

/// The share of a boundary's penalty that a very long pause removes.
const PAUSE_SHARE: f64 = 0.25;

/// A pause that is longer than the median by this many seconds removes half of that share.
const HALF_PAUSE: f64 = 2.0;

/// How topics are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopicOptions {
    /// The minimum number of sentences in a topic.
    pub min_sentences: usize,
    /// A factor for the number of topics: above 1 gives more, below 1 fewer.
    pub granularity: f64,
}

impl Default for TopicOptions {
    fn default() -> Self {
        Self { min_sentences: 3, granularity: 1.0 }
    }
}

/// Topics, and the method by which they were found.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Topics {
    pub(crate) topics: Vec<Topic>,
    /// `None` if there are no sentences.
    pub(crate) method: Option<String>,
}

/// The topics of a text in `language`, in order. Each sentence belongs to one. English sentences are compared by
/// their vectors and words if there is an embedder, all others by their words alone. `nouns` are the noun phrases of
/// each sentence, if they are known.
pub(crate) fn topics(
    sentences: &[Sentence],
    nouns: Option<&[Vec<NounPhrase>]>,
    language: Option<Language>,
    embedder: Option<&Embedder>,
    options: TopicOptions,
) -> Topics {
    if sentences.is_empty() {
        return Topics::default();
    }
    let texts: Vec<&str> = sentences.iter().map(|sentence| sentence.text.as_str()).collect();
    let words: Vec<Vec<Word>> = texts.iter().map(|text| words(text)).collect();
    let english = language == Some(Language::ENGLISH);
    let vectors = embedder.filter(|_| english).map(|embedder| embedder.embed(&texts));
    let text =
        vectors.as_ref().map_or_else(|| Text::lexical(&words), |vectors| Text::english(&words, vectors));
    let median = median_pause(sentences);
    let share = |i: usize| 1.0 - PAUSE_SHARE * pause_weight(pause_before(sentences, i) - median);
    let segments = text.segments(options.min_sentences, options.granularity, share);
    let phrases = Phrases::new(&texts, &words, english, nouns);
    let topics = segments.into_iter().map(|range| {
        let vectors: Option<&[Embedding]> = vectors.as_ref().map(|vectors| &vectors[range.clone()]);
        let closeness = vectors.map_or_else(|| Closeness::Words(&words[range.clone()]), Closeness::Vectors);
        let keywords = phrases.keywords(range.clone());
        let (texts, sentences) = (&texts[range.clone()], &sentences[range.clone()]);
        Topic {
            summary: summary(texts, &words[range], &closeness),
            title: title(&keywords),
            seconds: sentences.first().map_or(0.0, |first| first.start),
            end: sentences.last().map_or(0.0, |last| last.end),
            sentences: texts.iter().map(|text| (*text).to_owned()).collect(),
            keywords,
        }
    });
    let method = if vectors.is_some() { Embedder::NAME } else { LEXICAL };
    Topics { topics: topics.collect(), method: Some(method.to_owned()) }
}

/// The silence before a sentence that is not the first, in seconds.
fn pause_before(sentences: &[Sentence], i: usize) -> f64 {
    (sentences[i].start - sentences[i - 1].end).max(0.0)
}

/// The median of all pauses between sentences.
fn median_pause(sentences: &[Sentence]) -> f64 {
    let mut pauses: Vec<f64> = (1..sentences.len()).map(|i| pause_before(sentences, i)).collect();
    pauses.sort_by(f64::total_cmp);
    pauses.get(pauses.len() / 2).copied().unwrap_or(0.0)
}

/// The weight of a pause that is longer than the median by that many seconds: 0 if it is not longer, towards 1 if it
/// is much longer.
fn pause_weight(longer: f64) -> f64 {
    let longer = longer.max(0.0);
    longer / (longer + HALF_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(texts: &[&str]) -> Vec<Sentence> {
        let sentence = |(i, text): (usize, &&str)| Sentence {
            text: (*text).to_owned(),
            start: 4.0 * i as f64,
            end: 4.0 * i as f64 + 3.5,
        };
        texts.iter().enumerate().map(sentence).collect()
    }

    const GERMAN: [&str; 10] = [
        "Die Vermessung des Flusses begann im Frühling.",
        "Das Wasser des Flusses stand hoch, und die Boote waren alt.",
        "Am Wehr des Flusses verloren sie ein Boot im Wasser.",
        "Der Vermesser maß den Fluss von einem Boot aus.",
        "Jedes Boot auf dem Fluss trug einen Vermesser.",
        "Brot beginnt mit Mehl, Hefe und Salz.",
        "Der Bäcker knetet das Mehl, bis der Teig glatt ist.",
        "Der Teig ruht, und die Hefe lässt den Teig gehen.",
        "Dann formt der Bäcker den Teig und heizt den Ofen.",
        "Ein heißer Ofen gibt dem Brot vom Bäcker die Kruste.",
    ];

    #[test]
    fn a_language_without_a_model_has_lexical_topics_with_times() {
        let options = TopicOptions { min_sentences: 3, granularity: 2.0 };
        let found = topics(&sentences(&GERMAN), None, Language::parse("de"), None, options);
        assert_eq!(found.method.as_deref(), Some("lexical"));
        let times: Vec<_> = found.topics.iter().map(|topic| (topic.seconds, topic.end)).collect();
        assert_eq!(times, [(0.0, 19.5), (20.0, 39.5)]);
        assert_eq!(found.topics[0].sentences, GERMAN[..5]);
        for topic in &found.topics {
            assert!(topic.sentences.iter().any(|sentence| topic.summary.contains(sentence)), "{topic:?}");
            assert!(!topic.title.is_empty() && !topic.keywords.is_empty(), "{topic:?}");
        }
    }

    #[test]
    fn no_sentences_make_no_topic() {
        assert_eq!(topics(&[], None, None, None, TopicOptions::default()), Topics::default());
    }

    #[test]
    fn few_sentences_are_one_topic() {
        let found = topics(&sentences(&GERMAN[3..7]), None, None, None, TopicOptions::default());
        assert_eq!(found.topics.len(), 1);
        assert_eq!(found.topics[0].sentences, GERMAN[3..7]);
    }

    #[test]
    fn longer_pauses_count_more_but_never_decide_alone() {
        let shares: Vec<_> = [-1.0, 0.0, 2.0, 60.0].map(pause_weight).into();
        assert!(shares.is_sorted() && shares[1] == 0.0 && shares[2] == 0.5 && shares[3] < 1.0, "{shares:?}");
    }
}

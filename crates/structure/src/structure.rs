//! What is found in a transcript: plain data, with the fields that results show.

use serde::{Deserialize, Serialize};

/// All that was found in a transcript.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Structure {
    /// In order of time; none starts before the end of the one before.
    pub sentences: Vec<Sentence>,
    /// In order. Each sentence belongs to one topic.
    pub topics: Vec<Topic>,
    /// Names, dates and amounts, in order; only of English.
    pub entities: Vec<Entity>,
    /// Phrases that say what the whole is about, those with the highest score first; only of English.
    pub keywords: Vec<Keyword>,
    /// The name of the spaCy pipeline, if one was used.
    pub spacy: Option<String>,
    /// How the topics were found: [`Embedder::NAME`](crate::Embedder::NAME), or `lexical` if by words alone.
    pub topic_method: Option<String>,
    /// Sentences about the parts that failed. A part that is turned off is no error.
    pub error: Option<String>,
}

impl Structure {
    /// An empty structure, with this error.
    pub fn left_out(reason: &str) -> Self {
        Self { error: Some(reason.to_owned()), ..Self::default() }
    }
}

/// A sentence with its times. Its text is never blank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sentence {
    pub text: String,
    /// The start of its first word, in seconds of the original.
    pub start: f64,
    /// The end of its last word, in seconds of the original.
    pub end: f64,
}

/// Successive sentences on one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Topic {
    /// One or two of its sentences, of at most 200 characters.
    pub summary: String,
    /// Up to three of its keywords; empty if it has none.
    #[serde(default)]
    pub title: String,
    /// The start of its first sentence, in seconds.
    pub seconds: f64,
    /// The end of its last sentence, in seconds.
    #[serde(default)]
    pub end: f64,
    /// The texts of its sentences, in order.
    pub sentences: Vec<String>,
    /// Phrases that distinguish it from the other topics, those with the highest score first.
    #[serde(default)]
    pub keywords: Vec<String>,
}

/// A name, date or amount in the transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    pub text: String,
    /// The kind of entity, as spaCy names it: PERSON, GPE, DATE ...
    pub label: String,
    /// Its start, in characters of the transcript.
    pub start: usize,
    /// Its end, in characters of the transcript.
    pub end: usize,
    /// When it is said: its start, in seconds of the original.
    pub seconds: f64,
}

/// A noun phrase with all its mentions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keyword {
    /// Its most frequent form in the text.
    pub phrase: String,
    /// The lemmas of its words: their dictionary forms.
    pub lemma: String,
    /// The number of mentions.
    pub count: usize,
    /// The start of each mention, in order, in seconds of the original.
    pub seconds: Vec<f64>,
}

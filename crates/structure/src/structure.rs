//! What is found in a transcript, as a result shows it: plain data.

use serde::{Deserialize, Serialize};

/// All that was found in a transcript.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Structure {
    /// In order, none before the end of the last.
    pub sentences: Vec<Sentence>,
    /// In order; together they hold every sentence.
    pub topics: Vec<Topic>,
    /// Names, dates and amounts, in order; of English alone.
    pub entities: Vec<Entity>,
    /// What the whole is about, the most telling phrases first; of English alone.
    pub keywords: Vec<Keyword>,
    /// The name of the spaCy pipeline that has run.
    pub spacy: Option<String>,
    /// What found the topics: [`Embedder::NAME`](crate::Embedder::NAME), or lexical where words alone did.
    pub topic_method: Option<String>,
    /// What has failed and is missing for that, in sentences. What is turned off is no error.
    pub error: Option<String>,
}

impl Structure {
    /// Nothing, for that reason.
    pub fn left_out(reason: &str) -> Self {
        Self { error: Some(reason.to_owned()), ..Self::default() }
    }
}

/// A sentence and its times. Its text is never blank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sentence {
    pub text: String,
    /// Seconds in the original, where the first word starts.
    pub start: f64,
    /// Seconds in the original, where the last word ends.
    pub end: f64,
}

/// A stretch of sentences on one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Topic {
    /// One or two of its sentences, of at most 200 characters.
    pub summary: String,
    /// A few of its keywords; empty where it has none.
    #[serde(default)]
    pub title: String,
    /// Where the first sentence starts, in seconds.
    pub seconds: f64,
    /// Where the last sentence ends, in seconds.
    #[serde(default)]
    pub end: f64,
    /// The texts of its sentences, in order.
    pub sentences: Vec<String>,
    /// Phrases that tell it from the other topics, the most telling first.
    #[serde(default)]
    pub keywords: Vec<String>,
}

/// A stretch of the transcript that names something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    pub text: String,
    /// What it names, as spaCy has it: PERSON, GPE, DATE ...
    pub label: String,
    /// Characters of the transcript before it.
    pub start: usize,
    /// Characters of the transcript up to its end.
    pub end: usize,
    /// When it is said, in seconds in the original.
    pub seconds: f64,
}

/// A noun phrase, with all its mentions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keyword {
    /// As it is said most often.
    pub phrase: String,
    /// The forms of its words that stand in a dictionary.
    pub lemma: String,
    /// How many mentions it has.
    pub count: usize,
    /// When each mention is said, in order: seconds in the original.
    pub seconds: Vec<f64>,
}

//! The contract's `result` object.

use serde::{Deserialize, Serialize};
use verbatim_speech::{Segment, Task};

use crate::jobs::FileType;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TranscriptionResult {
    pub transcript: String,
    pub language_detection: LanguageDetection,
    /// Whether the text is in the languages spoken, or in English.
    #[serde(default)]
    pub task: Task,
    /// In order, none before the end of the last.
    #[serde(default)]
    pub sentences: Vec<Sentence>,
    pub topics: Vec<Topic>,
    /// Names, dates and amounts, in order; of English alone.
    #[serde(default)]
    pub entities: Vec<Entity>,
    /// What the whole is about, the most telling phrases first; of English alone.
    #[serde(default)]
    pub keywords: Vec<Keyword>,
    /// What of the structure is missing, and why. Null where nothing is.
    #[serde(default)]
    pub structure_error: Option<String>,
    pub source_type: FileType,
    pub filename: String,
    pub file_size: u64,
    pub whisper_segments: Vec<NumberedSegment>,
    pub models_used: ModelsUsed,
    pub job_id: String,
    pub processing_completed_at: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LanguageDetection {
    /// A code; null where the recording holds no speech to judge by and no language was asked for.
    pub language: Option<String>,
    /// The probability that the model gives this language, the mean over the windows judged.
    pub confidence: f32,
}

/// Never blank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sentence {
    pub text: String,
    /// Seconds in the original, where the first word starts.
    pub start: f64,
    /// Seconds in the original, where the last word ends.
    pub end: f64,
}

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
    /// When it is said.
    pub seconds: f64,
}

/// A noun phrase, with all its mentions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keyword {
    /// As it is said most often.
    pub phrase: String,
    /// The forms of its words that stand in a dictionary.
    pub lemma: String,
    pub count: usize,
    /// When each mention is said, in order.
    pub seconds: Vec<f64>,
}

/// A segment in Whisper's own form: its number over the whole recording comes first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NumberedSegment {
    pub id: u64,
    #[serde(flatten)]
    pub segment: Segment,
    /// The language that it was transcribed in, as a code: a recording may change its language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelsUsed {
    pub whisper: String,
    /// The pipeline that found sentences, entities and keywords. Null where none has run.
    pub spacy: Option<String>,
    /// What found the topics: all-MiniLM-L6-v2, or lexical where words alone did. Null where there are none.
    #[serde(default)]
    pub topics: Option<String>,
}

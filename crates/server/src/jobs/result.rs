//! The contract's `result` object.

use serde::{Deserialize, Serialize};
use verbatim_speech::{Segment, Task};
pub use verbatim_structure::{Entity, Keyword, Sentence, Topic};

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

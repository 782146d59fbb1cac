//! The `result` object of the API.

use serde::{Deserialize, Serialize};
use verbatim_speech::{Segment, Task};
pub use verbatim_structure::{Entity, Keyword, Sentence, Topic};

use crate::jobs::FileType;

/// What a completed job gives its client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TranscriptionResult {
    pub transcript: String,
    pub language_detection: LanguageDetection,
    /// Whether the text is in the languages spoken, or translated into English.
    #[serde(default)]
    pub task: Task,
    /// In order of time, without overlap.
    #[serde(default)]
    pub sentences: Vec<Sentence>,
    pub topics: Vec<Topic>,
    /// Names, dates and amounts, in order; only for English.
    #[serde(default)]
    pub entities: Vec<Entity>,
    /// Key phrases of the whole text, the most relevant first; only for English.
    #[serde(default)]
    pub keywords: Vec<Keyword>,
    /// Which part of the structure is missing, and why. Null if none is.
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

/// The main language of a recording.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LanguageDetection {
    /// A code such as `en`; null if the recording has no speech and its client gave no language.
    pub language: Option<String>,
    /// The probability of this language by the model: the mean over the windows that it was detected in.
    pub confidence: f32,
}

/// A segment in Whisper's form: first its number in the whole recording, then its fields.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NumberedSegment {
    pub id: u64,
    #[serde(flatten)]
    pub segment: Segment,
    /// The language that it was transcribed in, as a code: the language of a recording may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The channel that it was heard on, from 0, if channels were transcribed on their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u64>,
}

/// The models that made a result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelsUsed {
    pub whisper: String,
    /// The spaCy pipeline that found sentences, entities and keywords. Null if none was used.
    pub spacy: Option<String>,
    /// What found the topics: `all-MiniLM-L6-v2`, or `lexical` if only words were compared. Null if there are none.
    #[serde(default)]
    pub topics: Option<String>,
}

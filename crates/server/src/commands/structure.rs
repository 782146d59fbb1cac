//! `verbatim structure`: structures stored results and plain text again, without the audio.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use verbatim_speech::{Language, Segment, Task};
use verbatim_structure::{Structure, Structurer};

use crate::jobs::result::{Entity, Keyword, LanguageDetection, NumberedSegment, Sentence, Topic};
use crate::settings::StructureCommand;

/// The fields of a result that its structure is made from.
#[derive(Debug, Deserialize)]
struct StoredResult {
    language_detection: LanguageDetection,
    #[serde(default)]
    task: Task,
    #[serde(default)]
    sentences: Vec<Sentence>,
    #[serde(default)]
    whisper_segments: Vec<NumberedSegment>,
}

/// What is printed: the fields of a result that belong to its structure.
#[derive(Debug, Serialize)]
struct StructureOutput {
    topics: Vec<Topic>,
    sentences: Vec<Sentence>,
    entities: Vec<Entity>,
    keywords: Vec<Keyword>,
    models_used: StructureModels,
    structure_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct StructureModels {
    spacy: Option<String>,
    topics: Option<String>,
}

/// Prints one line of JSON for each file.
pub fn run(settings: &StructureCommand, out: &mut impl Write) -> anyhow::Result<()> {
    let structurer = Structurer::load(&settings.structure.options(&settings.models_dir));
    let structurer = structurer.map_err(|error| settings.models_dir.explain(error))?;
    for file in &settings.files {
        let output = StructureOutput::from(structure(&structurer, file, settings.language)?);
        serde_json::to_writer(&mut *out, &output)?;
        writeln!(out)?;
    }
    Ok(())
}

impl From<Structure> for StructureOutput {
    fn from(structure: Structure) -> Self {
        let Structure { sentences, topics, entities, keywords, spacy, topic_method, error } = structure;
        let models_used = StructureModels { spacy, topics: topic_method };
        Self { topics, sentences, entities, keywords, models_used, structure_error: error }
    }
}

/// Structures a file: a result as JSON, or plain text. If a result has sentences but no segments, its sentences are
/// kept. `given` is the language of the command line.
fn structure(structurer: &Structurer, file: &Path, given: Option<Language>) -> anyhow::Result<Structure> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    if !text.trim_start().starts_with('{') {
        return Ok(structurer.structure(&[segment(&text)], given));
    }
    let stored: StoredResult =
        serde_json::from_str(&text).with_context(|| format!("{} is no result of a job", file.display()))?;
    let spoken = stored.language_detection.language.as_deref().and_then(Language::parse);
    let language = given.or(spoken.map(|language| stored.task.written(language)));
    if stored.whisper_segments.is_empty() {
        return Ok(structurer.sentences(&stored.sentences, language));
    }
    let segments: Vec<Segment> =
        stored.whisper_segments.into_iter().map(|numbered| numbered.segment).collect();
    Ok(structurer.structure(&segments, language))
}

/// A whole text as one segment, without times.
fn segment(text: &str) -> Segment {
    Segment {
        seek: 0,
        start: 0.0,
        end: 0.0,
        text: text.split_whitespace().collect::<Vec<_>>().join(" "),
        tokens: Vec::new(),
        temperature: 0.0,
        avg_logprob: 0.0,
        compression_ratio: 0.0,
        no_speech_prob: 0.0,
        suspect: false,
        words: Vec::new(),
    }
}

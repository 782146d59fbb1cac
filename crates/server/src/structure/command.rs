//! `verbatim structure`: stored results and plain text, structured once more without their sound.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use verbatim_whisper::{Language, Segment, Task};

use super::{Topics, sentences};
use crate::app::load_topic_finder;
use crate::config::StructureCommand;
use crate::result::{LanguageDetection, NumberedSegment, Sentence, Topic};

/// What a result says of the text that its structure is made from.
#[derive(Debug, Deserialize)]
struct Stored {
    language_detection: LanguageDetection,
    #[serde(default)]
    task: Task,
    /// Missing from results of older versions.
    #[serde(default)]
    sentences: Vec<Sentence>,
    #[serde(default)]
    whisper_segments: Vec<NumberedSegment>,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Structure {
    sentences: Vec<Sentence>,
    topics: Vec<Topic>,
    models_used: Used,
}

#[derive(Debug, Serialize)]
struct Used {
    topics: Option<String>,
}

/// Prints a line of JSON for every file.
pub fn run(settings: &StructureCommand, out: &mut impl Write) -> anyhow::Result<()> {
    let finder = load_topic_finder(&settings.structure, &settings.models_dir)?;
    for file in &settings.files {
        let (sentences, language) = read(file, settings.language)?;
        let Topics { topics, method } = finder.topics(&sentences, language);
        let structure = Structure { sentences, topics, models_used: Used { topics: method } };
        serde_json::to_writer(&mut *out, &structure)?;
        writeln!(out)?;
    }
    Ok(())
}

/// The sentences of a result, as JSON, or of plain text, and the language that they are written in.
fn read(file: &Path, told: Option<Language>) -> anyhow::Result<(Vec<Sentence>, Option<Language>)> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    if !text.trim_start().starts_with('{') {
        return Ok((of_text(&text, told), told));
    }
    let stored: Stored =
        serde_json::from_str(&text).with_context(|| format!("{} is no result of a job", file.display()))?;
    let spoken = stored.language_detection.language.as_deref().and_then(Language::parse);
    let language = told.or(spoken.map(|language| stored.task.written(language)));
    if !stored.sentences.is_empty() {
        return Ok((stored.sentences, language));
    }
    let segments: Vec<Segment> =
        stored.whisper_segments.into_iter().map(|numbered| numbered.segment).collect();
    Ok((sentences(&segments, language), language))
}

/// Without times, which text alone does not have.
fn of_text(text: &str, language: Option<Language>) -> Vec<Sentence> {
    let segment = Segment {
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
    };
    sentences(&[segment], language)
}

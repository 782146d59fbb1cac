//! The form of a transcription: its fields, with and without `[]`, in any order.

use verbatim_speech::Task;

use super::error::OpenAiError;
use crate::api::intake::{Fields, Intake, IntakeError, Submission};
use crate::jobs::JobOptions;
use crate::units::parse_switch;

/// The fields that mean something here. Others, such as `chunking_strategy`, are skipped.
const KNOWN: [&str; 8] = [
    "model",
    "language",
    "prompt",
    "temperature",
    "response_format",
    "timestamp_granularities",
    "include",
    "stream",
];

/// The fields so far.
#[derive(Debug, Clone)]
pub(super) struct TranscriptionForm {
    task: Task,
    options: JobOptions,
    response_format: String,
    stream: bool,
    /// What `timestamp_granularities` names.
    segments: bool,
    words: bool,
    logprobs: bool,
}

/// How the client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) format: ResponseFormat,
    pub(super) task: Task,
    pub(super) stream: bool,
    /// Whether `verbose_json` lists segments, and words.
    pub(super) segments: bool,
    pub(super) words: bool,
    pub(super) logprobs: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseFormat {
    Json,
    Text,
    Srt,
    Vtt,
    VerboseJson,
}

impl TranscriptionForm {
    pub(super) fn new(task: Task) -> Self {
        Self {
            task,
            // What every job does needs no option, so that these jobs are told apart by what matters alone.
            options: JobOptions { task: (task != Task::default()).then_some(task), ..JobOptions::default() },
            response_format: String::new(),
            stream: false,
            segments: false,
            words: false,
            logprobs: false,
        }
    }

    /// How the answer is to look. Fails if it cannot look so.
    pub(super) fn wanted(&self) -> Result<Wanted, OpenAiError> {
        let format = match self.response_format.as_str() {
            "" | "json" => ResponseFormat::Json,
            "text" => ResponseFormat::Text,
            "srt" => ResponseFormat::Srt,
            "vtt" => ResponseFormat::Vtt,
            "verbose_json" => ResponseFormat::VerboseJson,
            other => {
                return Err(OpenAiError::Unsupported {
                    param: "response_format",
                    message: format!(
                        "The response_format “{other}” cannot be had here; there are json, text, srt, verbose_json \
                         and vtt."
                    ),
                });
            }
        };
        Ok(Wanted {
            format,
            task: self.task,
            stream: self.stream,
            segments: self.segments || !self.words,
            words: self.words,
            logprobs: self.logprobs,
        })
    }
}

/// The name of a field without the brackets of a list.
fn name_of(field: &str) -> &str {
    field.split('[').next().unwrap_or(field)
}

impl Fields for TranscriptionForm {
    const FILE: &'static str = "file";

    fn is_known(&self, name: &str) -> bool {
        KNOWN.contains(&name_of(name))
    }

    fn set(&mut self, _: &Intake, name: &str, text: &str) -> Result<(), IntakeError> {
        let text = text.trim();
        match name_of(name) {
            "prompt" => self.options.set_prompt("prompt", text).map_err(IntakeError::Invalid)?,
            // Their 0 means that higher temperatures are tried where the text is poor, which is what ours means unset.
            "temperature" if text.parse() == Ok(0.0) => {}
            "response_format" => self.response_format = text.to_owned(),
            "stream" if !text.is_empty() => {
                self.stream = parse_switch(text)
                    .map_err(|reason| IntakeError::Invalid(format!("stream: {reason}.")))?;
            }
            "timestamp_granularities" => {
                self.words |= text.contains("word");
                self.segments |= text.contains("segment");
            }
            "include" => self.logprobs |= text.contains("logprobs"),
            "stream" => {}
            other => self.set_option(other, text)?,
        }
        if self.words || self.logprobs {
            self.options.word_timestamps = Some(true);
        }
        Ok(())
    }

    fn options(&self) -> JobOptions {
        self.options.clone()
    }
}

impl TranscriptionForm {
    fn set_option(&mut self, name: &str, text: &str) -> Result<(), IntakeError> {
        self.options.set(name, text).map_err(IntakeError::Invalid)
    }
}

impl From<TranscriptionForm> for Submission {
    fn from(form: TranscriptionForm) -> Self {
        Self { options: form.options, webhook_url: None }
    }
}

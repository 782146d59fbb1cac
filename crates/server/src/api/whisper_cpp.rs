//! The API of whisper.cpp's server: `POST /inference`. A client that disconnects ends its job.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use verbatim_speech::{Language, Task};

use super::ApiState;
use super::intake::{Demands, Fields, Intake, IntakeError, Submission};
use super::waiting::{OnDisconnect, WaitError, wait_for_transcription};
use crate::jobs::JobOptions;
use crate::jobs::formats::subtitles::{segment_srt, segment_vtt};
use crate::jobs::result::TranscriptionResult;
use crate::units::parse_switch;

/// By how much whisper.cpp raises the temperature where a text is poor, if nobody says otherwise.
const DEFAULT_INCREMENT: f32 = 0.2;

pub(super) fn router() -> Router<ApiState> {
    Router::new().route("/inference", post(inference))
}

async fn inference(State(state): State<ApiState>, request: Request) -> Result<Response, InferenceError> {
    let received = state.intake.receive(request, |_| Ok(InferenceForm::default())).await?;
    let format = received.fields.format;
    let created = state.intake.create(received, Demands::default()).await?;
    let duration = created.job.duration;
    let result = wait_for_transcription(&state, created, OnDisconnect::Cancel).await?;
    Ok(render(&result, format, duration))
}

/// The fields so far.
#[derive(Debug, Clone, Default)]
struct InferenceForm {
    options: JobOptions,
    format: Format,
    temperature: Option<f32>,
    increment: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Format {
    #[default]
    Json,
    Text,
    Srt,
    Vtt,
    VerboseJson,
}

impl Format {
    fn parse(text: &str) -> Result<Self, IntakeError> {
        match text {
            "" | "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            "srt" => Ok(Self::Srt),
            "vtt" => Ok(Self::Vtt),
            "verbose_json" => Ok(Self::VerboseJson),
            other => Err(IntakeError::Invalid(format!(
                "The response_format “{other}” cannot be had here; there are json, text, srt, vtt and verbose_json."
            ))),
        }
    }
}

impl InferenceForm {
    /// The temperatures that whisper.cpp would try: from the first, by the increment, up to 1.
    fn set_temperatures(&mut self) -> Result<(), IntakeError> {
        let (None, None) = (self.temperature, self.increment) else {
            let first = self.temperature.unwrap_or(0.0).clamp(0.0, 1.0);
            let increment = self.increment.unwrap_or(DEFAULT_INCREMENT);
            let steps = if increment >= 0.1 { ((1.0 - first) / increment + 1e-4).floor() as u8 } else { 0 };
            let temperatures = (0..=steps.min(9)).map(|step| (first + f32::from(step) * increment).min(1.0));
            let list: Vec<String> = temperatures.map(|temperature| format!("{temperature:.3}")).collect();
            return self.options.set("temperature", &list.join(",")).map_err(IntakeError::Invalid);
        };
        Ok(())
    }
}

fn number(name: &str, text: &str) -> Result<Option<f32>, IntakeError> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse().ok().filter(|number: &f32| number.is_finite() && *number >= 0.0);
    number
        .map(Some)
        .ok_or_else(|| IntakeError::Invalid(format!("{name}: “{text}” is not a number from 0 on.")))
}

impl Fields for InferenceForm {
    const FILE: &'static str = "file";

    fn is_known(&self, name: &str) -> bool {
        let known = ["language", "prompt", "translate", "response_format", "temperature", "temperature_inc"];
        known.contains(&name) || name == "model"
    }

    fn set(&mut self, intake: &Intake, name: &str, text: &str) -> Result<(), IntakeError> {
        let text = text.trim();
        let invalid = IntakeError::Invalid;
        let with_name = |reason: String| IntakeError::Invalid(format!("{name}: {reason}."));
        match name {
            "language" if text == "auto" => {}
            "prompt" => self.options.set_prompt(name, text).map_err(invalid)?,
            "translate" => {
                let translate = !text.is_empty() && parse_switch(text).map_err(with_name)?;
                self.options.task = translate.then_some(Task::Translate);
            }
            "response_format" => self.format = Format::parse(text)?,
            "temperature" => self.temperature = number(name, text)?,
            "temperature_inc" => self.increment = number(name, text)?,
            // Their server has one model; a name that is not here means the default.
            "model" if !intake.recognizers.knows(text) => {}
            other => self.options.set(other, text).map_err(invalid)?,
        }
        self.set_temperatures()
    }

    fn options(&self) -> JobOptions {
        self.options.clone()
    }
}

impl From<InferenceForm> for Submission {
    fn from(form: InferenceForm) -> Self {
        Self { options: form.options, webhook_url: None }
    }
}

/// `{"error": sentence}`.
#[derive(Debug)]
struct InferenceError(WaitError);

impl<E: Into<WaitError>> From<E> for InferenceError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for InferenceError {
    fn into_response(self) -> Response {
        self.0.log();
        (self.0.status(), Json(json!({ "error": self.0.to_string() }))).into_response()
    }
}

fn render(result: &TranscriptionResult, format: Format, duration: Option<f64>) -> Response {
    let text = |body: String, media_type: &'static str| {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], body).into_response()
    };
    match format {
        Format::Json => Json(json!({ "text": result.transcript })).into_response(),
        Format::Text => text(format!("{}\n", result.transcript), "text/plain; charset=utf-8"),
        Format::Srt => text(segment_srt(result), "application/x-subrip; charset=utf-8"),
        Format::Vtt => text(segment_vtt(result), "text/vtt; charset=utf-8"),
        Format::VerboseJson => Json(verbose(result, duration)).into_response(),
    }
}

fn verbose(result: &TranscriptionResult, duration: Option<f64>) -> Value {
    let detection = &result.language_detection;
    let language = detection.language.as_deref().and_then(Language::parse);
    let last = result.whisper_segments.last().map_or(0.0, |numbered| numbered.segment.end);
    let probabilities: serde_json::Map<String, Value> = language
        .map(|language| (language.code().to_owned(), json!(detection.confidence)))
        .into_iter()
        .collect();
    let segments = result.whisper_segments.iter().map(|numbered| {
        let segment = &numbered.segment;
        json!({
            "id": numbered.id,
            "text": segment.text,
            "start": segment.start,
            "end": segment.end,
            "tokens": segment.tokens,
            "words": segment.words,
            "temperature": segment.temperature,
            "avg_logprob": segment.avg_logprob,
            "no_speech_prob": segment.no_speech_prob,
        })
    });
    json!({
        "task": result.task,
        "language": language.map_or("", Language::name),
        "duration": duration.unwrap_or(last),
        "text": result.transcript,
        "segments": segments.collect::<Vec<_>>(),
        "detected_language": language.map_or("", Language::name),
        "detected_language_probability": detection.confidence,
        "language_probabilities": probabilities,
    })
}

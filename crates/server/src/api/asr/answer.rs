//! Transcripts and errors as whisper-asr-webservice gives them.

use std::io;

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::form::Output;
use crate::api::disposition::content_disposition;
use crate::api::intake::IntakeError;
use crate::api::waiting::WaitError;
use crate::jobs::formats::{self, Cues, Format, RenderOptions};
use crate::jobs::result::TranscriptionResult;

/// An error of a request.
#[derive(Debug)]
pub(super) struct AsrError(WaitError);

impl<E: Into<WaitError>> From<E> for AsrError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl AsrError {
    pub(super) fn failed(sentence: String) -> Self {
        Self(WaitError::Failed(sentence))
    }

    pub(super) fn internal(reason: impl ToString) -> Self {
        Self(IntakeError::Internal(reason.to_string()).into())
    }

    pub(super) fn io(error: io::Error) -> Self {
        Self(IntakeError::from(error).into())
    }

    /// `{"detail": sentence}`. Empty where subtitles were asked for: Bazarr stores whatever comes as the subtitles.
    pub(super) fn into_response_to(self, output: Output) -> Response {
        self.0.log();
        let status = self.0.status();
        match output {
            Output::Srt | Output::Vtt => status.into_response(),
            _ => (status, Json(json!({ "detail": self.0.to_string() }))).into_response(),
        }
    }
}

pub(super) fn render(
    result: &TranscriptionResult,
    output: Output,
    filename: &str,
) -> Result<Response, AsrError> {
    let file = |format| {
        let options = RenderOptions { cues: Cues::Segments, structurer: None };
        formats::render(result, format, &options).map_err(AsrError::internal)
    };
    let body = match output {
        Output::Txt => file(Format::Txt)?,
        Output::Srt => file(Format::Srt)?,
        Output::Vtt => file(Format::Vtt)?,
        Output::Tsv => file(Format::Tsv)?,
        Output::Json => json!({
            "text": result.transcript,
            "language": result.language_detection.language,
            "segments": result.whisper_segments,
        })
        .to_string(),
    };
    let name = format!("{filename}.{}", output.extension());
    let disposition = content_disposition("attachment", &name);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    let headers = [(header::CONTENT_TYPE, plain), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, body).into_response())
}

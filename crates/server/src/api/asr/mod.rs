//! The API of whisper-asr-webservice, for Bazarr and others: `/asr`, `/detect-language`, and `/status` without an id.
//!
//! Parameters are in the query, and unknown ones are ignored. A client that disconnects ends its job.

mod answer;
mod form;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use self::answer::{AsrError, render};
use self::form::{AsrForm, Output};
use super::ApiState;
use super::intake::{Demands, IntakeError};
use super::waiting::{OnDisconnect, wait_for_transcription};
use crate::work::PipelineError;

pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/asr", post(asr))
        .route("/detect-language", post(detect_language))
        .route("/status", get(version))
}

async fn asr(State(state): State<ApiState>, request: Request) -> Response {
    // An error has the form of the output that was asked for, as far as that can be told.
    let output = form::output_of(request.uri());
    match transcribe(state, request, output).await {
        Ok(response) => response,
        Err(error) => error.into_response_to(output),
    }
}

async fn transcribe(state: ApiState, request: Request, output: Output) -> Result<Response, AsrError> {
    let intake = state.intake.clone();
    let received = state.intake.receive(request, |head| AsrForm::from_query(&intake, head)).await?;
    let filename = received.filename.clone();
    let created = state.intake.create(received, Demands::default()).await?;
    let result = wait_for_transcription(&state, created, OnDisconnect::Cancel).await?;
    render(&result, output, &filename)
}

async fn detect_language(State(state): State<ApiState>, request: Request) -> Response {
    match detect(state, request).await {
        Ok(body) => Json(body).into_response(),
        Err(error) => error.into_response_to(Output::Json),
    }
}

/// The upload is removed in the end: there is no job to keep it.
async fn detect(state: ApiState, request: Request) -> Result<Value, AsrError> {
    let intake = state.intake.clone();
    let received = intake.receive(request, |head| AsrForm::from_query(&intake, head)).await?;
    let (new, upload) = intake.probe(received).await?;
    let detected = state.detector.detect(upload.open().map_err(AsrError::io)?, new.tracks).await;
    let detected = detected.map_err(|error| match error {
        PipelineError::Job(sentence) => AsrError::failed(sentence),
        PipelineError::Stopped => {
            IntakeError::Unavailable("The server is stopping; send the file again once it is back.".into())
                .into()
        }
        error => AsrError::internal(error),
    })?;
    Ok(match detected {
        Some((language, confidence)) => json!({
            "detected_language": language.name(), "language_code": language.code(), "confidence": confidence,
        }),
        None => json!({ "detected_language": "und", "language_code": "und", "confidence": 0.0 }),
    })
}

async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

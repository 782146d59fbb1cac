//! OpenAI's audio API, for clients that speak to it: `/v1/audio/transcriptions`, `/v1/audio/translations` and
//! `/v1/models`. Forms, answers and errors are theirs; the job behind a request is like any other.
//!
//! A request that is sent again within the hour, with the same file and the same options, joins the job of the first: the
//! SDKs give up after ten minutes and send everything again. So a job goes on when its client disconnects.

mod error;
mod form;
mod models;
mod render;
mod stream;

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use verbatim_speech::Task;

use self::error::OpenAiError;
use self::form::TranscriptionForm;
use super::ApiState;
use super::intake::Demands;
use super::waiting::{OnDisconnect, wait_for_transcription};

/// How old a job may be that a request joins.
const JOIN: Duration = Duration::from_secs(3600);

pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/v1/audio/transcriptions", post(transcriptions))
        .route("/v1/audio/translations", post(translations))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::model))
}

async fn transcriptions(State(state): State<ApiState>, request: Request) -> Result<Response, OpenAiError> {
    answer(state, request, Task::Transcribe).await
}

async fn translations(State(state): State<ApiState>, request: Request) -> Result<Response, OpenAiError> {
    answer(state, request, Task::Translate).await
}

async fn answer(state: ApiState, request: Request, task: Task) -> Result<Response, OpenAiError> {
    let received = state.intake.receive(request, |_| Ok(TranscriptionForm::new(task))).await?;
    let wanted = received.fields.wanted()?;
    let demands = Demands { join: Some(JOIN), ..Demands::default() };
    let created = state.intake.create(received, demands).await?;
    if wanted.stream {
        return Ok(stream::stream(&state, created, wanted));
    }
    let duration = created.job.duration;
    let result = wait_for_transcription(&state, created, OnDisconnect::GoOn).await?;
    Ok(render::render(&result, duration, wanted).into_response())
}

//! Waits until a job has ended, for requests that are answered with its result.

use std::time::Duration;

use axum::http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::ApiState;
use super::intake::{Created, IntakeError};
use crate::jobs::result::TranscriptionResult;
use crate::jobs::{Job, JobId, JobStatus};

/// The time between two queries of the job. A worker of another process sends no notification here.
const POLL: Duration = Duration::from_secs(1);

/// What becomes of a job whose client disconnects while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnDisconnect {
    Cancel,
    /// The client may send its request again, and finds the job.
    GoOn,
}

/// Why a request is not answered with a result. The text is a sentence.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum WaitError {
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// The job has failed.
    #[error("{0}")]
    Failed(String),
    /// The job was cancelled or deleted.
    #[error("{0}")]
    Cancelled(String),
}

impl WaitError {
    /// The status code of the answer. Dialects may have another one for a kind of error.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Intake(error) => error.status(),
            Self::Failed(_) | Self::Cancelled(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Logs an error of the server.
    pub(super) fn log(&self) {
        if let Self::Intake(error) = self {
            error.log();
        }
    }
}

/// Waits for the end of a job: its stored result, as JSON.
pub(super) async fn wait_for_result(
    state: &ApiState,
    created: Created,
    on_disconnect: OnDisconnect,
) -> Result<String, WaitError> {
    // When the client disconnects, this future is dropped, and with it the guard. The task goes on and cancels the job.
    let disconnected = CancellationToken::new();
    let _guard = disconnected.clone().drop_guard();
    let state = state.clone();
    let waiting = tokio::spawn(async move {
        let Created { job, key } = created;
        let result = tokio::select! {
            ended = wait(&state, job.id) => ended,
            () = disconnected.cancelled() => Err(abandon(&state, &job, on_disconnect).await),
            () = state.intake.stopping.cancelled() => Err(stopping(job.id).into()),
        };
        drop(key);
        result
    });
    waiting.await.map_err(|error| IntakeError::Internal(error.to_string()))?
}

/// As [`wait_for_result`], for dialects that render the result in another form.
pub(super) async fn wait_for_transcription(
    state: &ApiState,
    created: Created,
    on_disconnect: OnDisconnect,
) -> Result<TranscriptionResult, WaitError> {
    parse(&wait_for_result(state, created, on_disconnect).await?).map_err(WaitError::from)
}

/// The result of a completed job, as JSON.
pub(super) async fn result_of_completed(state: &ApiState, id: JobId) -> Result<String, IntakeError> {
    let missing = || IntakeError::Internal(format!("job {id} is completed, but has no result"));
    state.store().result(id).await?.ok_or_else(missing)
}

/// Reads a stored result.
pub(super) fn parse(result: &str) -> Result<TranscriptionResult, IntakeError> {
    let broken = |error| IntakeError::Internal(format!("a stored result cannot be read: {error}"));
    serde_json::from_str(result).map_err(broken)
}

async fn wait(state: &ApiState, id: JobId) -> Result<String, WaitError> {
    let mut ended = state.intake.notifiers.ended.subscribe();
    loop {
        match state.store().get(id).await.map_err(IntakeError::from)? {
            Some(job) if job.status == JobStatus::Completed => {
                return Ok(result_of_completed(state, id).await?);
            }
            Some(job) if job.status == JobStatus::Cancelled => {
                return Err(WaitError::Cancelled(job.error_sentence()));
            }
            Some(job) if job.status.has_ended() => return Err(WaitError::Failed(job.error_sentence())),
            Some(_) => {}
            None => return Err(WaitError::Cancelled("The job was deleted before it had ended.".into())),
        }
        tokio::select! {
            () = ended.wait() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// The error is for nobody: the client is gone.
async fn abandon(state: &ApiState, job: &Job, on_disconnect: OnDisconnect) -> WaitError {
    let sentence = "The job was cancelled: the client hung up before it had ended.";
    if on_disconnect == OnDisconnect::Cancel {
        match state.intake.cancel(job.id, sentence).await {
            Ok(true) => tracing::info!(job = %job.id, "job cancelled: its client disconnected"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(job = %job.id, "the job of a client that disconnected could not be cancelled");
                error.log();
                return error.into();
            }
        }
    }
    WaitError::Cancelled(sentence.into())
}

fn stopping(job: JobId) -> IntakeError {
    IntakeError::Unavailable(format!(
        "The server is stopping. The job is kept: ask for /result/{job} once the server is back."
    ))
}

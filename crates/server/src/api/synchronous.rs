//! `POST /process-audio` and `POST /process-video`: the same job as of `POST /process`, waited for.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::ApiState;
use super::error::ApiError;
use super::process::{examine, store};
use super::upload::receive;
use crate::job::{FileType, Job, JobId, JobStatus};

/// How often the store is looked at when no bell rings: the job may run on another machine.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn process_audio(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Json<Box<RawValue>>, ApiError> {
    process(state, request, FileType::Audio).await
}

pub(super) async fn process_video(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Json<Box<RawValue>>, ApiError> {
    process(state, request, FileType::Video).await
}

async fn process(
    state: ApiState,
    request: Request,
    wanted: FileType,
) -> Result<Json<Box<RawValue>>, ApiError> {
    let (new, upload) = examine(&state, receive(&state, request).await?).await?;
    if new.file_type != wanted {
        return Err(wrong_kind(new.file_type));
    }
    // A client that hangs up drops this handler and with it the guard. The task outlives that, so that
    // the job is cancelled however far it has come.
    let hung_up = CancellationToken::new();
    let _guard = hung_up.clone().drop_guard();
    let waiting = tokio::spawn(async move {
        let job = store(&state, new, upload).await?;
        tokio::select! {
            ended = wait(&state, job.id) => ended,
            () = hung_up.cancelled() => cancel(&state, job.id).await,
            () = state.stopping.cancelled() => Err(stopping(job.id)),
        }
    });
    let result = waiting.await.map_err(|error| ApiError::Internal(error.to_string()))?;
    result.map(Json)
}

fn wrong_kind(is: FileType) -> ApiError {
    ApiError::Refused(match is {
        FileType::Audio => "This is an audio file: send it to /process-audio.".into(),
        FileType::Video => "This is a video: send it to /process-video.".into(),
    })
}

fn stopping(job: JobId) -> ApiError {
    ApiError::Unavailable(format!(
        "The server is stopping. The job is kept: ask for /result/{job} once the server is back."
    ))
}

/// Waits until the job has ended; gives its result.
async fn wait(state: &ApiState, id: JobId) -> Result<Box<RawValue>, ApiError> {
    let mut ended = state.bells.ended.listen();
    loop {
        match state.store.get(id).await? {
            Some(job) if job.status == JobStatus::Completed => return state.result(id).await,
            Some(job) if job.status.has_ended() => return Err(failed(job)),
            Some(_) => {}
            None => return Err(ApiError::Internal(format!("job {id} vanished while it was waited for"))),
        }
        tokio::select! {
            () = ended.wait() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn failed(job: Job) -> ApiError {
    ApiError::JobFailed(job.error_sentence())
}

async fn cancel(state: &ApiState, id: JobId) -> Result<Box<RawValue>, ApiError> {
    let sentence = "The job was cancelled: the client hung up before it had ended.";
    if state.store.cancel(id, sentence, Timestamp::now()).await? {
        tracing::info!(job = %id, "job cancelled: its client hung up");
        state.uploads.remove(id).await?;
        state.bells.ended.ring();
    }
    Err(ApiError::Refused(sentence.into()))
}

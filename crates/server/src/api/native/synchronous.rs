//! `POST /process-audio` and `POST /process-video`: as `POST /process`, but answer with the result once the job has
//! ended.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use super::parameters::Parameters;
use crate::api::ApiState;
use crate::api::intake::IntakeError;
use crate::jobs::{FileType, Job, JobId, JobStatus};

/// The time between two queries of the job. A worker of another process sends no notification here.
const POLL: Duration = Duration::from_secs(1);

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
    expected: FileType,
) -> Result<Json<Box<RawValue>>, ApiError> {
    let intake = &state.intake;
    let received = intake.receive(request, |head| Parameters::from_query(intake, head)).await?;
    let (new, upload) = intake.probe(received).await?;
    if new.file_type != expected {
        return Err(wrong_kind(new.file_type));
    }
    // When the client disconnects, this handler is dropped, and with it the guard. The task goes on and cancels the
    // job, even if the job was only being stored.
    let disconnected = CancellationToken::new();
    let _guard = disconnected.clone().drop_guard();
    let waiting = tokio::spawn(async move {
        let job = state.intake.submit(new, upload).await?;
        tokio::select! {
            ended = wait(&state, job.id) => ended,
            () = disconnected.cancelled() => cancel(&state, job.id).await,
            () = state.intake.stopping.cancelled() => Err(stopping(job.id)),
        }
    });
    let result = waiting.await.map_err(ApiError::internal)?;
    result.map(Json)
}

fn wrong_kind(actual: FileType) -> ApiError {
    let sentence = match actual {
        FileType::Audio => "This is an audio file: send it to /process-audio.".into(),
        FileType::Video => "This is a video: send it to /process-video.".into(),
    };
    IntakeError::Refused(sentence).into()
}

fn stopping(job: JobId) -> ApiError {
    let sentence =
        format!("The server is stopping. The job is kept: ask for /result/{job} once the server is back.");
    IntakeError::Unavailable(sentence).into()
}

/// Waits until the job has ended. Gives its result, or its error if it failed.
async fn wait(state: &ApiState, id: JobId) -> Result<Box<RawValue>, ApiError> {
    let mut ended = state.intake.notifiers.ended.subscribe();
    loop {
        match state.store().get(id).await? {
            Some(job) if job.status == JobStatus::Completed => return state.result(id).await,
            Some(job) if job.status.has_ended() => return Err(failed(job)),
            Some(_) => {}
            None => return Err(ApiError::internal(format!("job {id} vanished while it was waited for"))),
        }
        tokio::select! {
            () = ended.wait() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

fn failed(job: Job) -> ApiError {
    ApiError::JobFailed(job.error_sentence())
}

/// Cancels the job and removes its upload, unless the job has ended. Always an error, which the client does not get.
async fn cancel(state: &ApiState, id: JobId) -> Result<Box<RawValue>, ApiError> {
    let sentence = "The job was cancelled: the client hung up before it had ended.";
    if state.store().cancel(id, sentence, Timestamp::now()).await? {
        tracing::info!(job = %id, "job cancelled: its client disconnected");
        state.intake.blobs.remove(id).await.map_err(IntakeError::from)?;
        state.intake.notifiers.ended.notify();
    }
    Err(IntakeError::Refused(sentence.into()).into())
}

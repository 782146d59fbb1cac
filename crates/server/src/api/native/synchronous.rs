//! `POST /process-audio` and `POST /process-video`: the same job as of `POST /process`, waited for.

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

/// How often the store is asked when nobody notifies: the job may run on another machine.
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
    wanted: FileType,
) -> Result<Json<Box<RawValue>>, ApiError> {
    let intake = &state.intake;
    let received = intake.receive(request, |head| Parameters::of_query(intake, head)).await?;
    let (new, upload) = intake.examine(received).await?;
    if new.file_type != wanted {
        return Err(wrong_kind(new.file_type));
    }
    // A client that disconnects drops this handler and with it the guard. The task outlives that, so that
    // the job is cancelled however far it has come.
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

fn wrong_kind(is: FileType) -> ApiError {
    let sentence = match is {
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

/// Waits until the job has ended; gives its result.
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

async fn cancel(state: &ApiState, id: JobId) -> Result<Box<RawValue>, ApiError> {
    let sentence = "The job was cancelled: the client hung up before it had ended.";
    if state.store().cancel(id, sentence, Timestamp::now()).await? {
        tracing::info!(job = %id, "job cancelled: its client hung up");
        state.intake.blobs.remove(id).await.map_err(IntakeError::from)?;
        state.intake.notifiers.ended.notify();
    }
    Err(IntakeError::Refused(sentence.into()).into())
}

//! `POST /process`: takes a file and answers with its job's id at once.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;

use super::ApiState;
use super::error::ApiError;
use super::upload::{Received, receive, stopping};
use crate::files::Upload;
use crate::job::{FileType, Job, JobId, JobStatus, NewJob, rfc3339};

#[derive(Debug, Serialize)]
struct Accepted {
    job_id: JobId,
    status: JobStatus,
    message: &'static str,
    filename: String,
    file_size: u64,
    file_type: FileType,
    created_at: String,
}

pub(super) async fn process(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let (new, upload) = examine(&state, receive(&state, request).await?).await?;
    // A client that hangs up drops this handler, but may not part the job from its upload.
    let stored = tokio::spawn(async move { store(&state, new, upload).await }).await;
    let job = stored.map_err(|error| ApiError::Internal(error.to_string()))??;
    let location = HeaderValue::try_from(format!("/status/{}", job.id))
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    let accepted = Accepted {
        job_id: job.id,
        status: JobStatus::Pending,
        message: "File uploaded successfully. Processing started.",
        filename: job.filename,
        file_size: job.file_size,
        file_type: job.file_type,
        created_at: rfc3339(job.created_at),
    };
    Ok(([(header::LOCATION, location)], Json(accepted)).into_response())
}

/// Looks what the upload is; refuses what is not media. A server that stops and a client that hangs up end the look.
pub(super) async fn examine(state: &ApiState, received: Received) -> Result<(NewJob, Upload), ApiError> {
    let Received { job, upload, filename, parameters } = received;
    let probe = state.prober.probe(upload.path(), state.limits.max_media_duration);
    let info = state.stopping.run_until_cancelled(probe).await.ok_or_else(stopping)??;
    let new = NewJob {
        id: job,
        filename,
        file_size: upload.size(),
        file_type: info.file_type,
        duration: info.duration,
        tracks: Some(info.tracks),
        wishes: parameters.wishes,
        webhook_url: parameters.webhook_url,
    };
    Ok((new, upload))
}

/// Makes a job of it. To be run where nothing cancels it half way.
pub(super) async fn store(state: &ApiState, new: NewJob, upload: Upload) -> Result<Job, ApiError> {
    let job = state.store.insert(new, Timestamp::now()).await?;
    upload.keep();
    state.bells.queued.ring();
    Ok(job)
}

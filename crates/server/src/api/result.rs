//! `GET /result/{job_id}`: what came of a job. The stored result is sent as it is, not read again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;

use super::error::ApiError;
use super::{ApiState, PathJob};
use crate::job::{Job, JobId, JobStatus, rfc3339};

/// 200
#[derive(Debug, Serialize)]
struct Completed {
    job_id: JobId,
    status: JobStatus,
    completed_at: Option<String>,
    result: Box<RawValue>,
}

/// 202
#[derive(Debug, Serialize)]
struct Unfinished {
    job_id: JobId,
    status: JobStatus,
    progress_percentage: u8,
    current_step: String,
    message: &'static str,
}

/// 500
#[derive(Debug, Serialize)]
struct Failed {
    job_id: JobId,
    status: JobStatus,
    completed_at: Option<String>,
    error_message: String,
    detail: String,
}

pub(super) async fn result(
    State(state): State<ApiState>,
    PathJob(job): PathJob,
) -> Result<Response, ApiError> {
    Ok(match job.status {
        JobStatus::Pending => unfinished(job, "Job is waiting to be processed"),
        JobStatus::Processing => unfinished(job, "Job is currently being processed"),
        JobStatus::Completed => {
            let result = state.stored_result(job.id).await?;
            let completed_at = job.completed_at.map(rfc3339);
            Json(Completed { job_id: job.id, status: job.status, completed_at, result }).into_response()
        }
        JobStatus::Failed => failed(job),
    })
}

fn unfinished(job: Job, message: &'static str) -> Response {
    let body = Unfinished {
        job_id: job.id,
        status: job.status,
        progress_percentage: job.progress_percentage,
        current_step: job.current_step,
        message,
    };
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

fn failed(job: Job) -> Response {
    let error_message = job.error_sentence();
    let body = Failed {
        job_id: job.id,
        status: job.status,
        completed_at: job.completed_at.map(rfc3339),
        detail: job.error_detail.unwrap_or_else(|| error_message.clone()),
        error_message,
    };
    (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
}

impl ApiState {
    /// The `result` object of a completed job.
    pub(super) async fn stored_result(&self, job: JobId) -> Result<Box<RawValue>, ApiError> {
        let missing = || ApiError::Internal(format!("job {job} is completed, but has no result"));
        let text = self.store.result(job).await?.ok_or_else(missing)?;
        RawValue::from_string(text)
            .map_err(|error| ApiError::Internal(format!("the result of job {job} is not JSON: {error}")))
    }
}

//! `GET /status/{job_id}` and `GET /jobs/{job_id}`: the status and progress of a job.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::PathJob;
use super::error::ApiError;
use crate::api::ApiState;
use crate::api::outlook::Forecast;
use crate::jobs::{FileType, Job, JobId, JobOptions, JobStatus, rfc3339};

#[derive(Debug, Serialize)]
pub(super) struct Status {
    job_id: JobId,
    filename: String,
    file_size: u64,
    file_type: FileType,
    /// Seconds, as the container gives it.
    duration: Option<f64>,
    #[serde(flatten)]
    options: JobOptions,
    webhook_url: Option<String>,
    status: JobStatus,
    created_at: String,
    started_at: Option<String>,
    completed_at: Option<String>,
    progress_percentage: u8,
    current_step: String,
    queue_position: Option<u64>,
    estimated_seconds: Option<u64>,
    error_message: Option<String>,
    has_result: bool,
}

impl Status {
    pub(super) fn new(job: Job, forecast: Forecast) -> Self {
        Self {
            job_id: job.id,
            filename: job.filename,
            file_size: job.file_size,
            file_type: job.file_type,
            duration: job.duration,
            options: job.options,
            webhook_url: job.webhook_url,
            status: job.status,
            created_at: rfc3339(job.created_at),
            started_at: job.started_at.map(rfc3339),
            completed_at: job.completed_at.map(rfc3339),
            progress_percentage: job.progress_percentage,
            current_step: job.current_step,
            queue_position: forecast.queue_position,
            estimated_seconds: forecast.estimated_seconds,
            error_message: job.error_message,
            has_result: job.status == JobStatus::Completed,
        }
    }

    /// With the contract's four statuses alone.
    fn of_contract(self) -> Self {
        Self { status: self.status.of_contract(), ..self }
    }
}

impl ApiState {
    pub(super) async fn status_of(&self, job: Job) -> Result<Status, ApiError> {
        let forecast = self.outlook.of(self.store(), &job).await?;
        Ok(Status::new(job, forecast))
    }
}

/// In the contract's form.
pub(super) async fn status(
    State(state): State<ApiState>,
    PathJob(job): PathJob,
) -> Result<Json<Status>, ApiError> {
    Ok(Json(state.status_of(job).await?.of_contract()))
}

pub(super) async fn job(
    State(state): State<ApiState>,
    PathJob(job): PathJob,
) -> Result<Json<Status>, ApiError> {
    Ok(Json(state.status_of(job).await?))
}

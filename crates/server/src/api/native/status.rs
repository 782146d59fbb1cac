//! `GET /status/{job_id}`: the status and progress of a job.

use axum::Json;
use serde::Serialize;

use super::PathJob;
use crate::jobs::JobOptions;
use crate::jobs::{FileType, Job, JobId, JobStatus, rfc3339};

#[derive(Debug, Serialize)]
pub(super) struct Status {
    job_id: JobId,
    filename: String,
    file_size: u64,
    file_type: FileType,
    #[serde(flatten)]
    options: JobOptions,
    webhook_url: Option<String>,
    status: JobStatus,
    created_at: String,
    started_at: Option<String>,
    completed_at: Option<String>,
    progress_percentage: u8,
    current_step: String,
    error_message: Option<String>,
    has_result: bool,
}

impl From<Job> for Status {
    fn from(job: Job) -> Self {
        Self {
            job_id: job.id,
            filename: job.filename,
            file_size: job.file_size,
            file_type: job.file_type,
            options: job.options,
            webhook_url: job.webhook_url,
            status: job.status.of_contract(),
            created_at: rfc3339(job.created_at),
            started_at: job.started_at.map(rfc3339),
            completed_at: job.completed_at.map(rfc3339),
            progress_percentage: job.progress_percentage,
            current_step: job.current_step,
            error_message: job.error_message,
            has_result: job.status == JobStatus::Completed,
        }
    }
}

pub(super) async fn status(PathJob(job): PathJob) -> Json<Status> {
    Json(job.into())
}

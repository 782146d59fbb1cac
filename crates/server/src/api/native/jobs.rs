//! `GET /jobs/processing`: the jobs that are being processed.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::error::ApiError;
use crate::api::ApiState;
use crate::jobs::JobId;

#[derive(Debug, Serialize)]
pub(super) struct Processing {
    active_jobs: usize,
    max_workers: u32,
    processing_job_ids: Vec<JobId>,
}

pub(super) async fn processing(State(state): State<ApiState>) -> Result<Json<Processing>, ApiError> {
    let ids = state.store().processing().await?;
    Ok(Json(Processing { active_jobs: ids.len(), max_workers: state.max_workers, processing_job_ids: ids }))
}

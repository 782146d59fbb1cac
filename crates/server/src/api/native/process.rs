//! `POST /process`: receives a file and answers with the id of its job at once.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::ApiError;
use super::parameters::Parameters;
use crate::api::ApiState;
use crate::api::intake::{Created, Demands};
use crate::jobs::{FileType, JobId, JobStatus, rfc3339};

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
    let received = state.intake.receive(request, Parameters::from_query).await?;
    let Created { job, key: _key } = state.intake.create(received, Demands::default()).await?;
    let location = HeaderValue::try_from(format!("/status/{}", job.id)).map_err(ApiError::internal)?;
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

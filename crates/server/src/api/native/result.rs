//! `GET /result/{job_id}`: the result of a job. The stored JSON is sent unchanged; other formats are rendered from it.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;

use super::PathJob;
use super::error::{ApiError, unreadable_query};
use crate::api::ApiState;
use crate::api::disposition::content_disposition;
use crate::api::intake::IntakeError;
use crate::api::waiting::{parse, result_of_completed};
use crate::jobs::formats::subtitles::Layout;
use crate::jobs::formats::{self, Cues, Format, RenderOptions};
use crate::jobs::{Job, JobId, JobStatus, rfc3339};

/// The body of 200.
#[derive(Debug, Serialize)]
struct Completed {
    job_id: JobId,
    status: JobStatus,
    completed_at: Option<String>,
    result: Box<RawValue>,
}

/// The body of 202.
#[derive(Debug, Serialize)]
struct Unfinished {
    job_id: JobId,
    status: JobStatus,
    progress_percentage: u8,
    current_step: String,
    message: &'static str,
}

/// The body of 500.
#[derive(Debug, Serialize)]
struct Failed {
    job_id: JobId,
    status: JobStatus,
    completed_at: Option<String>,
    error_message: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<PartialResult>,
}

/// What a failed or cancelled job had transcribed.
#[derive(Debug, Serialize)]
struct PartialResult {
    /// In the form of a result.
    partial: Box<RawValue>,
}

pub(super) async fn result(
    State(state): State<ApiState>,
    PathJob(job): PathJob,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(unreadable_query)?;
    let (format, layout) = wanted(&query, &headers)?;
    Ok(match job.status {
        JobStatus::Pending => unfinished(job, "Job is waiting to be processed"),
        JobStatus::Processing => unfinished(job, "Job is currently being processed"),
        JobStatus::Completed if format != Format::Json => file(&state, &job, format, layout).await?,
        JobStatus::Completed => {
            let result = raw(job.id, result_of_completed(&state, job.id).await?)?;
            let completed_at = job.completed_at.map(rfc3339);
            let vary = [(header::VARY, HeaderValue::from_static("accept"))];
            let body = Completed { job_id: job.id, status: job.status, completed_at, result };
            (vary, Json(body)).into_response()
        }
        JobStatus::Failed | JobStatus::Cancelled => {
            let partial = state.store().result(job.id).await?;
            let partial = partial.map(|text| raw(job.id, text)).transpose()?;
            failed(job, partial)
        }
    })
}

/// The format that the query names, or else the `Accept` header, and the layout of subtitles.
fn wanted(query: &[(String, String)], headers: &HeaderMap) -> Result<(Format, Layout), ApiError> {
    let invalid = |sentence: String| ApiError::from(IntakeError::Invalid(sentence));
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let mut format = accept.and_then(Format::of_accept).unwrap_or(Format::Json);
    let mut layout = Layout::default();
    for (name, text) in query {
        match name.as_str() {
            "format" if !text.trim().is_empty() => {
                format = Format::parse(text).map_err(|reason| invalid(format!("format: {reason}.")))?;
            }
            name if Layout::NAMES.contains(&name) => layout.set(name, text).map_err(invalid)?,
            _ => {}
        }
    }
    Ok((format, layout))
}

/// The result as a file.
async fn file(state: &ApiState, job: &Job, format: Format, layout: Layout) -> Result<Response, ApiError> {
    let result = parse(&result_of_completed(state, job.id).await?)?;
    let structurer = state.structurer.clone();
    let render = move || {
        let options = RenderOptions { cues: Cues::Broadcast(layout), structurer: Some(&structurer) };
        formats::render(&result, format, &options)
    };
    let body = tokio::task::spawn_blocking(render).await.map_err(ApiError::internal)?;
    let body = body.map_err(ApiError::internal)?;
    let name = format!("{}.{}", job.filename, format.extension());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (header::CONTENT_DISPOSITION, content_disposition("inline", &name)),
        (header::VARY, HeaderValue::from_static("accept")),
    ];
    Ok((headers, body).into_response())
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

fn failed(job: Job, partial: Option<Box<RawValue>>) -> Response {
    let error_message = job.error_sentence();
    let body = Failed {
        job_id: job.id,
        status: job.status.of_contract(),
        completed_at: job.completed_at.map(rfc3339),
        detail: job.error_detail.unwrap_or_else(|| error_message.clone()),
        error_message,
        result: partial.map(|partial| PartialResult { partial }),
    };
    (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
}

/// The stored `result` object of a job, to be sent as it is.
fn raw(job: JobId, text: String) -> Result<Box<RawValue>, ApiError> {
    RawValue::from_string(text)
        .map_err(|error| ApiError::internal(format!("the result of job {job} is not JSON: {error}")))
}

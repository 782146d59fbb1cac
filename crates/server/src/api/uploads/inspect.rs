//! `HEAD /uploads/{id}`: how much of an upload has arrived.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::UploadError;
use super::find::{Found, find};
use super::finish::finish;
use super::headers::insert_expiry;
use super::protocol::{UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET};
use crate::api::intake::Intake;
use crate::blobs::PartialState;
use crate::jobs::{Job, JobId};

/// A client that asks is going to resume its upload, so a request that still receives bytes of it is ended first: its
/// connection was cut. Whoever only wants to watch asks the client.
pub(super) async fn inspect(intake: &Intake, id: JobId) -> Result<Response, UploadError> {
    let mut headers = match find(intake, id).await.map_err(worth_another_try)? {
        Found::Job(job) => of_job(&job),
        // All bytes have arrived, but they are worth nothing until there is a job.
        Found::Partial(partial) if partial.state().is_complete() => {
            let finished = finish(intake, partial).await;
            of_job(&finished.map_err(worth_another_try)?)
        }
        Found::Partial(partial) => of_partial(partial.state())?,
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((StatusCode::OK, headers).into_response())
}

/// After most errors a client begins a new upload, and sends again what has all arrived. After this one it asks again.
fn worth_another_try(error: UploadError) -> UploadError {
    if !error.status().is_server_error() {
        return error;
    }
    tracing::error!("an upload could not be inspected or finished: {error:?}");
    UploadError::Locked
}

fn of_job(job: &Job) -> HeaderMap {
    let size = HeaderValue::from(job.file_size);
    HeaderMap::from_iter([(UPLOAD_OFFSET, size.clone()), (UPLOAD_LENGTH, size)])
}

fn of_partial(state: &PartialState) -> Result<HeaderMap, UploadError> {
    let mut headers = HeaderMap::from_iter([(UPLOAD_OFFSET, HeaderValue::from(state.offset))]);
    match state.length {
        Some(length) => headers.insert(UPLOAD_LENGTH, length.into()),
        None => headers.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1")),
    };
    if !state.metadata.is_empty() {
        let metadata = HeaderValue::try_from(&state.metadata).map_err(UploadError::internal)?;
        headers.insert(UPLOAD_METADATA, metadata);
    }
    insert_expiry(&mut headers, state.expires)?;
    Ok(headers)
}

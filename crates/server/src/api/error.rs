//! What can go wrong in a request, and the one table from that to HTTP: `application/problem+json`
//! (RFC 9457) whose `detail` is the sentence to show.

use std::error::Error;
use std::io;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use verbatim_media::MediaError;

use crate::store::StoreError;

/// Each variant is one status code; its text is the problem's `detail`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum ApiError {
    /// 400: the upload itself is refused, or the request cannot be read.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    MethodNotAllowed(String),
    /// 408: the client went silent in the middle of its request.
    #[error("Nothing arrived for {0} seconds, so the upload was given up; send it again.")]
    Stalled(u64),
    /// 422: a parameter is missing or wrong.
    #[error("{0}")]
    Invalid(String),
    /// 500: the job of a synchronous request failed; the sentence is the job's.
    #[error("{0}")]
    JobFailed(String),
    /// 500: this machine is at fault. The reason is for the log, not for the client.
    #[error("Something went wrong on the server; its log says what.")]
    Internal(String),
    #[error("{0}")]
    Unavailable(String),
    #[error("There is not enough room on the server's disk for this file; try again later.")]
    DiskFull,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Stalled(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::JobFailed(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// The body of every error.
#[derive(Debug, Serialize)]
struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Internal(reason) = &self {
            tracing::error!("a request failed: {reason}");
        }
        let status = self.status();
        let problem = Problem {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: self.to_string(),
        };
        let problem_json = HeaderValue::from_static("application/problem+json");
        (status, [(header::CONTENT_TYPE, problem_json)], Json(problem)).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(reason) => {
                tracing::warn!("a job could not be stored: {reason}");
                Self::DiskFull
            }
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Unsupported(sentence) => Self::Refused(sentence),
            MediaError::Tool(reason) => Self::Internal(reason),
        }
    }
}

/// Of writing an upload.
impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                tracing::warn!("an upload was refused: {error}");
                Self::DiskFull
            }
            _ => Self::Internal(format!("an upload could not be written: {error}")),
        }
    }
}

/// Of reading a form.
impl From<multer::Error> for ApiError {
    fn from(error: multer::Error) -> Self {
        match error {
            multer::Error::StreamReadFailed(source) => match source.downcast::<ApiError>() {
                Ok(ours) => *ours,
                Err(other) => Self::Refused(format!("The request broke off: {}.", innermost(other.as_ref()))),
            },
            multer::Error::IncompleteFieldData { .. }
            | multer::Error::IncompleteHeaders
            | multer::Error::IncompleteStream => {
                Self::Refused("The form breaks off before its end; send it again.".into())
            }
            other => Self::Refused(format!("The form cannot be read: {other}.")),
        }
    }
}

/// The error that began it all says most.
fn innermost<'e>(mut error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

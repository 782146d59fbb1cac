//! What can go wrong in a request, and the one table from these errors to HTTP: `application/problem+json` (RFC 9457),
//! whose `detail` is a sentence for people.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::intake::IntakeError;
use crate::api::waiting::WaitError;
use crate::store::StoreError;

/// An error of a request. Its text becomes the problem's `detail`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(in crate::api) enum ApiError {
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    MethodNotAllowed(String),
    /// The job is in a state that does not allow this. A sentence.
    #[error("{0}")]
    Conflict(String),
    /// The job of a synchronous request failed; the text is the job's error message.
    #[error("{0}")]
    JobFailed(String),
}

impl ApiError {
    /// An error of the server. The reason is logged and not shown to the client.
    pub(in crate::api) fn internal(reason: impl ToString) -> Self {
        IntakeError::Internal(reason.to_string()).into()
    }

    pub(in crate::api) fn status(&self) -> StatusCode {
        match self {
            Self::Intake(error) => error.status(),
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::JobFailed(_) => StatusCode::INTERNAL_SERVER_ERROR,
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
        if let Self::Intake(error) = &self {
            error.log();
        }
        let status = self.status();
        problem(status, status.canonical_reason().unwrap_or("Error"), self.to_string())
    }
}

impl From<WaitError> for ApiError {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Intake(error) => error.into(),
            WaitError::Failed(sentence) | WaitError::Cancelled(sentence) => Self::JobFailed(sentence),
        }
    }
}

pub(super) fn unreadable_query(error: QueryRejection) -> ApiError {
    IntakeError::Invalid(format!("The query cannot be read: {}.", error.body_text())).into()
}

/// An error as RFC 9457 has it; `title` is the name of the status, `detail` a sentence for people.
pub(in crate::api) fn problem(status: StatusCode, title: &'static str, detail: String) -> Response {
    let problem = Problem { title, status: status.as_u16(), detail };
    let problem_json = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, problem_json)], Json(problem)).into_response()
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        IntakeError::from(error).into()
    }
}

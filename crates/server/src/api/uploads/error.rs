//! What can go wrong in a request of the tus protocol, with the statuses that it asks for, in the form of Verbatim's
//! own API.

use std::io;

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::protocol::{TUS_VERSION, VERSION};
use crate::api::intake::{IntakeError, STALL_TIMEOUT};
use crate::api::native::{ApiError, problem};
use crate::jobs::JobId;
use crate::store::StoreError;

/// An error of a request. Its text becomes the problem's `detail`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum UploadError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("The header Tus-Resumable is missing or names another version; this server speaks {VERSION}.")]
    Version,
    #[error("{path} does not take {method}; it takes {allowed}.")]
    MethodNotAllowed { path: String, method: Method, allowed: &'static str },
    #[error("There is no such upload; it may have expired or was removed. Begin a new one.")]
    Unknown,
    #[error("The upload has expired; begin a new one.")]
    Expired,
    #[error("The body must be of the type application/offset+octet-stream.")]
    MediaType,
    #[error("The upload goes on at byte {expected}, not at byte {given}.")]
    WrongOffset { expected: u64, given: u64 },
    #[error("{0}")]
    TooLarge(String),
    #[error("The upload is complete and has become the job {0}; it cannot be removed any more.")]
    IsJob(JobId),
    /// Another request has the upload open.
    #[error("Another request is working on this upload; try again in a few seconds.")]
    Locked,
    /// The newer request most likely comes from the same client, who no longer waits for the answer to this one.
    #[error("A newer request has taken over this upload.")]
    Superseded,
    #[error(
        "The bytes that arrived do not have the checksum that was sent; they were discarded. Send them again."
    )]
    ChecksumMismatch,
    #[error("Nothing arrived for {} seconds, so the request was ended; resume the upload.", STALL_TIMEOUT.as_secs())]
    Stalled,
    /// The connection was cut.
    #[error("The request broke off: {0}.")]
    BrokeOff(String),
}

impl UploadError {
    /// A request that does not follow the protocol. The text is a sentence.
    pub(super) fn malformed(sentence: impl Into<String>) -> Self {
        IntakeError::Refused(sentence.into()).into()
    }

    /// An error of the server. The reason is logged and not shown to the client.
    pub(super) fn internal(reason: impl ToString) -> Self {
        ApiError::internal(reason).into()
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Api(error) => error.status(),
            Self::Version => StatusCode::PRECONDITION_FAILED,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Expired => StatusCode::GONE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::WrongOffset { .. } | Self::IsJob(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Locked => StatusCode::LOCKED,
            // Not 409, after which clients try again: of two that live, the newer one goes on.
            Self::Superseded | Self::BrokeOff(_) => StatusCode::BAD_REQUEST,
            Self::ChecksumMismatch => StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

impl IntoResponse for UploadError {
    fn into_response(self) -> Response {
        let (status, detail) = (self.status(), self.to_string());
        // 460 is a status of the protocol, not of HTTP.
        let title = status.canonical_reason().unwrap_or("Checksum Mismatch");
        match self {
            Self::Api(error) => error.into_response(),
            Self::Version => {
                let version = [(TUS_VERSION, HeaderValue::from_static(VERSION))];
                (version, problem(status, title, detail)).into_response()
            }
            Self::MethodNotAllowed { allowed, .. } => {
                let allow = [(header::ALLOW, HeaderValue::from_static(allowed))];
                (allow, problem(status, title, detail)).into_response()
            }
            _ => problem(status, title, detail),
        }
    }
}

impl From<IntakeError> for UploadError {
    fn from(error: IntakeError) -> Self {
        Self::Api(error.into())
    }
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> Self {
        Self::Api(error.into())
    }
}

/// An error while an upload was opened or written.
impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Unknown,
            io::ErrorKind::WouldBlock => Self::Locked,
            _ => IntakeError::from(error).into(),
        }
    }
}

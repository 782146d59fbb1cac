//! What can go wrong between a request and its job. Each dialect renders these errors in its own form.

use std::error::Error;
use std::io;

use axum::http::StatusCode;
use verbatim_media::MediaError;

use crate::recognizer::PoolError;
use crate::store::StoreError;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(in crate::api) enum IntakeError {
    /// The upload is not accepted, or the request cannot be read.
    #[error("{0}")]
    Refused(String),
    /// The client sent nothing for this number of seconds in the middle of its request.
    #[error("Nothing arrived for {0} seconds, so the upload was given up; send it again.")]
    Stalled(u64),
    /// A parameter is missing or wrong.
    #[error("{0}")]
    Invalid(String),
    /// There is no model of this name. The text is a sentence.
    #[error("{0}")]
    UnknownModel(String),
    /// Another request is in the way. The text is a sentence.
    #[error("{0}")]
    Conflict(String),
    /// The server is stopping.
    #[error("{0}")]
    Unavailable(String),
    #[error("There is not enough room on the server's disk for this file; try again later.")]
    DiskFull,
    /// An error of the server. The reason is logged and not shown to the client.
    #[error("Something went wrong on the server; its log says what.")]
    Internal(String),
}

impl IntakeError {
    /// The status code of the answer. Dialects may have another one for a kind of error.
    pub(in crate::api) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::Stalled(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Invalid(_) | Self::UnknownModel(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Logs an error of the server; the client only learns that there was one.
    pub(in crate::api) fn log(&self) {
        if let Self::Internal(reason) = self {
            tracing::error!("a request failed: {reason}");
        }
    }
}

impl From<StoreError> for IntakeError {
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

impl From<PoolError> for IntakeError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Unknown { .. } => Self::UnknownModel(error.to_string()),
            PoolError::Load { .. } => Self::Internal(error.to_string()),
            PoolError::Stopping => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<MediaError> for IntakeError {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Unsupported(sentence) => Self::Refused(sentence),
            MediaError::Tool(reason) => Self::Internal(reason),
        }
    }
}

/// An error while an upload was written.
impl From<io::Error> for IntakeError {
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

/// An error while a form was read.
impl From<multer::Error> for IntakeError {
    fn from(error: multer::Error) -> Self {
        match error {
            multer::Error::StreamReadFailed(source) => match source.downcast::<IntakeError>() {
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

/// The first cause of an error, whose text is the most precise.
pub(super) fn innermost<'e>(mut error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

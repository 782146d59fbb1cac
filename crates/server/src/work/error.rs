//! Why a job does not come to its end.

use verbatim_media::MediaError;

use crate::recognizer::{PoolError, RecognizerError};
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The job cannot be done. A sentence for its client.
    #[error("{0}")]
    Job(String),
    /// Told to stop; what is done is stored.
    #[error("the job was stopped before its end")]
    Stopped,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<MediaError> for PipelineError {
    fn from(error: MediaError) -> Self {
        Self::Job(error.to_string())
    }
}

impl From<RecognizerError> for PipelineError {
    fn from(error: RecognizerError) -> Self {
        match error {
            RecognizerError::Stopping | RecognizerError::Gone => Self::Stopped,
            RecognizerError::Refused(_) | RecognizerError::Panicked(_) => Self::Job(error.to_string()),
        }
    }
}

impl From<PoolError> for PipelineError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Stopping => Self::Stopped,
            PoolError::Unknown { .. } | PoolError::Load { .. } => Self::Job(error.to_string()),
        }
    }
}

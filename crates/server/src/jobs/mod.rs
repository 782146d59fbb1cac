//! A job: plain data, and which way its status may go.

pub mod formats;
pub mod options;
pub mod result;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
pub use verbatim_media::FileType;
use verbatim_media::Tracks;

pub use self::options::JobOptions;

/// Names a job in the API, the store and on disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// A new random id (UUID version 4).
    #[expect(clippy::new_without_default, reason = "a default id that differs each time would surprise")]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// Takes the hyphenated form that [`fmt::Display`] gives, in any case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::try_parse(text).ok())?.map(Self)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// Waits for a worker.
    Pending,
    /// A worker holds its lease.
    Processing,
    /// Ended with a result.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended because its client did not want it any more.
    Cancelled,
}

impl JobStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Processing, Self::Completed, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == text)
    }

    /// Jobs that have ended never change again.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// As the asynchronous API's four values tell it: a cancelled job has failed, and its sentence says why.
    #[must_use]
    pub fn of_contract(self) -> Self {
        if self == Self::Cancelled { Self::Failed } else { self }
    }
}

/// What an upload becomes once it is safe on disk and known to be media.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: JobId,
    pub filename: String,
    /// Bytes.
    pub file_size: u64,
    pub file_type: FileType,
    /// As the container tells it, in seconds; not every container does.
    pub duration: Option<f64>,
    /// `None` where they are to be looked for.
    pub tracks: Option<Tracks>,
    pub options: JobOptions,
    pub webhook_url: Option<String>,
}

/// A job as the store has it.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: JobId,
    pub filename: String,
    pub file_size: u64,
    pub file_type: FileType,
    pub duration: Option<f64>,
    pub tracks: Option<Tracks>,
    pub options: JobOptions,
    pub webhook_url: Option<String>,
    pub status: JobStatus,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    /// 0 to 100; 100 only when completed, and it never falls.
    pub progress_percentage: u8,
    /// What is being done, in words.
    pub current_step: String,
    /// One sentence, when failed or cancelled.
    pub error_message: Option<String>,
    /// More about the error, when failed and when there is more.
    pub error_detail: Option<String>,
}

impl Job {
    /// Why it failed, for people.
    pub fn error_sentence(&self) -> String {
        self.error_message.clone().unwrap_or_else(|| "The job failed.".into())
    }
}

/// RFC 3339 in UTC with milliseconds and `Z`, the form of every time in the API.
pub fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

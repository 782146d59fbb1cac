//! Jobs as plain data: ids, statuses, options, results.

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

/// The id of a job, in the API, in the store and on disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// A new random id (UUID version 4).
    #[expect(clippy::new_without_default, reason = "a default id that differs each time would surprise")]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// Parses the hyphenated form that [`fmt::Display`] writes, in upper or lower case; `None` for any other text.
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

/// The status of a job. It goes from pending to processing and to one of the others, or back to pending if its worker
/// stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// Waiting for a worker.
    Pending,
    /// A worker holds its lease and works on it.
    Processing,
    /// Ended with a result.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended because its client no longer needs it.
    Cancelled,
}

impl JobStatus {
    /// The name in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Parses what [`Self::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Processing, Self::Completed, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == text)
    }

    /// Whether the job is completed, failed or cancelled. A job that has ended never changes again.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The status as the API shows it. The API has no value for a cancelled job: it is shown as failed, with the reason
    /// in its error message.
    #[must_use]
    pub fn of_contract(self) -> Self {
        if self == Self::Cancelled { Self::Failed } else { self }
    }
}

/// A job to be stored, made from an upload that is safe on disk and was probed.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: JobId,
    pub filename: String,
    /// Bytes.
    pub file_size: u64,
    pub file_type: FileType,
    /// Seconds, as the container gives it; `None` if it does not.
    pub duration: Option<f64>,
    /// The audio tracks; `None` if the file has to be probed for them again.
    pub tracks: Option<Tracks>,
    pub options: JobOptions,
    pub webhook_url: Option<String>,
    /// SHA-256 of the file, in hexadecimal.
    pub content_hash: Option<String>,
}

/// A job as the store holds it. The fields of [`NewJob`] have the same meaning here.
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
    /// 0 to 100; 100 only when completed. It never decreases.
    pub progress_percentage: u8,
    /// The current step, in words for people.
    pub current_step: String,
    /// One sentence, when failed or cancelled.
    pub error_message: Option<String>,
    /// Details of the error, if the job failed and there are any.
    pub error_detail: Option<String>,
}

impl Job {
    /// Why the job failed, as a sentence for people.
    pub fn error_sentence(&self) -> String {
        self.error_message.clone().unwrap_or_else(|| "The job failed.".into())
    }
}

/// A time as the API writes it: RFC 3339 in UTC, with milliseconds and `Z`.
pub fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

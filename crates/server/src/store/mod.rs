//! Stores jobs, their windows, events, results and webhook calls: the trait, and its implementation with SQLite.
//!
//! Times are parameters and never read from a clock, so that tests need not wait. A worker's writes carry its [`Lease`]
//! and are refused once the lease is no longer valid.
//!
//! # Which job is at fault when a process ends
//!
//! A job is *suspect* if a process ended while it worked on the job. Suspects are claimed one at a time, by a process
//! that works on no other job, until each has stored a window. If a process ends while it works on a single job that
//! has stored no window since it was claimed, that is a *strike* against the job. The next stored window resets its
//! strikes. At [`MAX_STRIKES`] the job fails.

#[cfg(test)]
mod contract;
mod process_id;
mod sqlite;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use verbatim_speech::{Language, WindowTranscript};

use crate::jobs::{Job, JobId, JobOptions, JobStatus, NewJob};

pub use process_id::ProcessId;

/// Opens the store of this service: the database in the file at `path`, which is created if it does not exist.
pub async fn open(path: &Path) -> StoreResult<Arc<dyn JobStore>> {
    Ok(Arc::new(sqlite::SqliteStore::open(path).await?))
}

/// The step of a pending job, in words for people.
pub const QUEUED: &str = "Queued";
/// The first step of a claimed job.
pub const STARTED: &str = "Reading media";
/// The step of a completed job.
pub const COMPLETED: &str = "Completed";
/// The step of a failed job.
pub const FAILED: &str = "Failed";
/// The step of a cancelled job.
pub const CANCELLED: &str = "Cancelled";

/// The number of strikes at which a job fails.
pub const MAX_STRIKES: u32 = 3;

/// How long a suspect waits for a process that works on no other job. After that it is claimed beside others. That
/// happens only if several processes share a database: a process that starts works on no other job.
pub const SUSPECT_WAIT: Duration = Duration::from_secs(60);

/// How long a process does not claim a job of its own whose lease has expired. The process runs, so the job's worker
/// runs, too, and releases the job once the database can be written again.
pub const OWN_LEASE_GRACE: Duration = Duration::from_secs(120);

/// How long a request that is sent again under its key makes no second job.
pub const KEYS_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Why the store failed. The text is the end of a sentence.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The lease is no longer valid: another worker has claimed the job, or the job was cancelled or has ended. Stop
    /// working on it.
    #[error("job {0} is no longer held by this worker")]
    LeaseLost(JobId),
    /// The database cannot be opened.
    #[error("{0}")]
    Open(String),
    /// The disk is full. A later try may succeed.
    #[error("the disk of the database is full: {0}")]
    Full(String),
    /// Another process is writing, or the disk does not respond. A later try may succeed.
    #[error("the database cannot be used just now: {0}")]
    Unavailable(String),
    /// Another error. A later try will not succeed.
    #[error("the database failed: {0}")]
    Database(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Unavailable(_))
    }
}

/// What the store returns.
pub type StoreResult<T> = Result<T, StoreError>;

/// The right to work on a job until it expires; made by [`JobStore::claim`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub job: JobId,
    /// Different for every claim, so that two claims by one worker are told apart.
    pub token: String,
}

/// A claimed job, with what earlier claims of it have left.
#[derive(Debug, Clone)]
pub struct Claim {
    pub job: Job,
    pub lease: Lease,
    /// The job's strikes: see the module. At [`MAX_STRIKES`] its worker must end it as failed, with the windows that it
    /// has.
    pub strikes: u32,
    /// What its stored windows were made with: see [`JobStore::checkpoint`].
    pub fingerprint: Option<String>,
}

/// What earlier starts of a job have left to go on from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The numbers of the windows that are stored.
    pub windows: HashSet<usize>,
    /// Decided from the first windows, where none was asked for.
    pub language: Option<Language>,
    /// How many stored windows were made with something else than this start would make them with. They are gone.
    pub discarded: usize,
}

/// One window as it was transcribed: progress, partial transcript and checkpoint in one.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWindow {
    pub index: usize,
    /// Seconds in the original.
    pub start: f64,
    pub end: f64,
    pub transcript: WindowTranscript,
    pub analyses: Analyses,
}

impl StoredWindow {
    /// The channel of the recording that it was heard on, from 0; `None` if channels are not told apart.
    pub fn channel(&self) -> Option<u64> {
        self.analyses.get(CHANNEL).and_then(serde_json::Value::as_u64)
    }
}

/// The kind of analysis that the channel of a window is stored as.
pub const CHANNEL: &str = "channel";

/// What was found out about a window besides its words, by kind.
pub type Analyses = BTreeMap<String, serde_json::Value>;

/// Which form a stored transcript of a window has: raised when an older version could not read it, or would read
/// something else.
pub const PAYLOAD_VERSION: u32 = 1;

/// The progress of a job, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// 0 to 100.
    pub percentage: u8,
    /// The current step, in words.
    pub step: String,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The number within its job: 1, 2, 3 and so on.
    pub number: u64,
    pub at: Timestamp,
    pub kind: EventKind,
    /// Depends on the kind: `{"status"}`, with `"discarded": true` where the segments so far are void, because the job
    /// starts anew; `{"percentage", "step"}`; a segment as in the result, with `window`, the number of its window, instead
    /// of `id`.
    pub data: serde_json::Value,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The status of the job changed.
    Status,
    /// The progress or the step of the job changed.
    Progress,
    /// A window was stored, and this is one of its segments.
    Segment,
}

impl EventKind {
    /// The name in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Progress => "progress",
            Self::Segment => "segment",
        }
    }

    /// Parses what [`Self::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Status, Self::Progress, Self::Segment].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Which jobs to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFilter {
    /// Only jobs of these; of any, if there is none.
    pub statuses: Vec<JobStatus>,
    /// Only jobs created at or after this.
    pub since: Option<Timestamp>,
    /// Only jobs whose file name contains this, in upper or lower case.
    pub name: String,
    /// Only jobs that come after this one in the list: by its time of creation and id.
    pub before: Option<(Timestamp, JobId)>,
    pub limit: u32,
}

/// What is ahead of a pending job.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ahead {
    /// Jobs that wait and come first.
    pub jobs: u64,
    /// Seconds of audio that are to be transcribed before it: of those, and of the jobs that are being processed.
    pub seconds: f64,
}

/// When a completed job ran, and how many seconds of audio it had.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    pub started_at: Timestamp,
    pub completed_at: Timestamp,
    pub seconds: f64,
}

/// The key that a client gives a request, so that it can send it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub key: String,
    /// Tells requests under the same key apart.
    pub request_hash: String,
}

/// The job of an earlier request under the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedJob {
    pub request_hash: String,
    pub job: JobId,
}

/// What [`JobStore::insert_once`] has found or done.
#[derive(Debug)]
pub enum Inserted {
    New(Box<Job>),
    /// Nothing was inserted: there was a job of this key.
    Earlier(KeyedJob),
}

/// How a job ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The `result` object of the API, as JSON text.
    Completed { result: String },
    Failed {
        message: String,
        detail: Option<String>,
        /// What was transcribed before the failure, in the form of a result; `None` if nothing was.
        partial: Option<String>,
    },
}

/// A webhook call that is due.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: i64,
    pub job: JobId,
    pub url: String,
    /// The JSON to send.
    pub body: String,
    /// Attempts made before this one.
    pub attempts: u32,
}

/// The numbers of jobs that have not ended, by status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub pending: u64,
    pub processing: u64,
}

/// What distinguishes a database from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// A random id, made when the database is created.
    pub id: String,
    /// Whether it has no job.
    pub is_empty: bool,
}

/// Stores jobs. Several processes may use the same store.
#[async_trait]
pub trait JobStore: fmt::Debug + Send + Sync + 'static {
    /// The identity of the database.
    async fn identity(&self) -> StoreResult<Identity>;

    /// Adds a pending job. Once this returns, the job survives a crash.
    async fn insert(&self, job: NewJob, now: Timestamp) -> StoreResult<Job>;

    /// As [`Self::insert`], with a key, in one transaction; nothing if a job was created under this key at or after `since`.
    async fn insert_once(
        &self,
        job: NewJob,
        key: &IdempotencyKey,
        since: Timestamp,
        now: Timestamp,
    ) -> StoreResult<Inserted>;

    /// The job that was created under a key at or after `since`.
    async fn keyed(&self, key: &str, since: Timestamp) -> StoreResult<Option<KeyedJob>>;

    /// Forgets the keys that were given before a moment.
    async fn forget_keys(&self, before: Timestamp) -> StoreResult<()>;

    /// The newest job with this upload and these options that was created at or after `since`, and has neither failed nor
    /// was cancelled.
    async fn same_content(
        &self,
        content_hash: &str,
        options: &JobOptions,
        since: Timestamp,
    ) -> StoreResult<Option<JobId>>;

    /// The job with this id; `None` if there is none.
    async fn get(&self, id: JobId) -> StoreResult<Option<Job>>;

    /// The JSON text of the result of a completed job, or of the partial result of a failed one. `None` if there is
    /// neither.
    async fn result(&self, id: JobId) -> StoreResult<Option<String>>;

    /// At most `limit` events of a job, in order, starting after the event number `after`; 0 starts with the first.
    async fn events(&self, id: JobId, after: u64, limit: u32) -> StoreResult<Vec<Event>>;

    /// Jobs that match a filter, the newest first.
    async fn list(&self, filter: &JobFilter) -> StoreResult<Vec<Job>>;

    /// What is ahead of a pending job.
    async fn ahead(&self, job: &Job) -> StoreResult<Ahead>;

    /// The jobs that completed last and whose duration is known, the newest first.
    async fn recent_runs(&self, limit: u32) -> StoreResult<Vec<Run>>;

    /// At most `limit` jobs that ended before a moment, the oldest first.
    async fn ended_before(&self, before: Timestamp, limit: u32) -> StoreResult<Vec<JobId>>;

    /// The jobs that ended at or after a moment.
    async fn ended_since(&self, since: Timestamp) -> StoreResult<Vec<JobId>>;

    /// Jobs that are being processed, the longest running first.
    async fn processing(&self) -> StoreResult<Vec<JobId>>;

    /// The numbers of pending and processing jobs.
    async fn counts(&self) -> StoreResult<Counts>;

    /// Jobs that have not ended, whose uploads are still needed.
    async fn unfinished(&self) -> StoreResult<Vec<JobId>>;

    /// Claims the oldest job that is pending or whose lease has expired; suspects come first and alone: see the module.
    /// `None` if there is no job to claim. On the way, ends as failed the jobs that cannot be read, and those with more
    /// than [`MAX_STRIKES`], whose processes ended before they could do so.
    async fn claim(&self, process: ProcessId, now: Timestamp, lease: Duration) -> StoreResult<Option<Claim>>;

    /// Makes the jobs of a process that has ended pending again, as if their leases had expired. Gives their number.
    async fn process_ended(&self, process: ProcessId, now: Timestamp) -> StoreResult<u64>;

    /// Renews the lease, and those of the job's windows.
    async fn heartbeat(&self, lease: &Lease, now: Timestamp, extend: Duration) -> StoreResult<()>;

    /// Whether the lease is still valid. Only reads.
    async fn is_held(&self, lease: &Lease) -> StoreResult<bool>;

    /// What the job can go on from, if that was made with what `fingerprint` stands for; else the job starts anew.
    async fn checkpoint(&self, lease: &Lease, fingerprint: &str, now: Timestamp) -> StoreResult<Checkpoint>;

    /// Stores the detected language, for this and later claims of the job.
    async fn decide_language(&self, lease: &Lease, language: Language) -> StoreResult<()>;

    /// Sets progress and step. The percentage never decreases, and 100 is stored as 99.
    async fn set_progress(&self, lease: &Lease, progress: &Progress, now: Timestamp) -> StoreResult<()>;

    /// Notes that a window, from `start` to `end` seconds in the original, is being transcribed.
    async fn begin_window(&self, lease: &Lease, index: usize, start: f64, end: f64) -> StoreResult<()>;

    /// Stores a finished window together with the progress it makes. Storing one twice changes nothing.
    async fn store_window(
        &self,
        lease: &Lease,
        window: &StoredWindow,
        progress: &Progress,
        now: Timestamp,
    ) -> StoreResult<()>;

    /// The windows stored so far, by index.
    async fn windows(&self, job: JobId) -> StoreResult<Vec<StoredWindow>>;

    /// The windows stored so far whose numbers are at least `from`, by index.
    async fn windows_from(&self, job: JobId, from: usize) -> StoreResult<Vec<StoredWindow>>;

    /// Makes the job pending again without a strike, as at a shutdown.
    async fn release(&self, lease: &Lease, now: Timestamp) -> StoreResult<()>;

    /// Ends the job: stores its result, its status and its webhook call in one transaction.
    async fn finish(&self, lease: &Lease, outcome: &Outcome, now: Timestamp) -> StoreResult<()>;

    /// Cancels a job, also if a worker holds its lease. False if the job has ended already or does not exist.
    async fn cancel(&self, id: JobId, message: &str, now: Timestamp) -> StoreResult<bool>;

    /// Makes a job that has failed or was cancelled pending again, to be done anew. Its partial result and its webhook calls
    /// are removed. False if it has not ended so, if its upload is given up, or if it does not exist.
    async fn retry(&self, id: JobId, now: Timestamp) -> StoreResult<bool>;

    /// Removes a job with all that belongs to it, also if a worker holds its lease. False if it does not exist.
    async fn delete(&self, id: JobId) -> StoreResult<bool>;

    /// Removes a job as [`Self::delete`] does, if it ended before a moment.
    async fn delete_ended(&self, id: JobId, before: Timestamp) -> StoreResult<bool>;

    /// Gives up the upload of a job that ended at or before a moment: the caller removes it, and the job is not retried. False
    /// if it has not ended by then.
    async fn give_up_upload(&self, id: JobId, ended_by: Timestamp) -> StoreResult<bool>;

    /// Gives the space of removed jobs back to the file system, as far as that is quick.
    async fn release_space(&self) -> StoreResult<()>;

    /// Takes at most `limit` webhook calls that are due, the oldest first. No other caller gets them until `lease` has
    /// passed.
    async fn due_deliveries(&self, now: Timestamp, lease: Duration, limit: u32)
    -> StoreResult<Vec<Delivery>>;

    /// Records that a webhook call was answered with 2xx.
    async fn delivered(&self, delivery: i64, now: Timestamp) -> StoreResult<()>;

    /// Records a failed attempt of a webhook call. It is due again at `retry_at`; if that is `None`, never.
    async fn delivery_failed(
        &self,
        delivery: i64,
        error: &str,
        retry_at: Option<Timestamp>,
    ) -> StoreResult<()>;

    /// When the next webhook call is due; `None` if there is none.
    async fn next_delivery_at(&self) -> StoreResult<Option<Timestamp>>;

    /// Fails if the database cannot be read, or if the last write failed. Does not wait for writers.
    async fn check(&self) -> StoreResult<()>;

    /// Closes all connections.
    async fn close(&self);
}

/// The data of an event of the kind [`EventKind::Status`].
#[derive(Serialize)]
struct StatusData {
    status: JobStatus,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    discarded: bool,
}

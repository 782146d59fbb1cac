//! Where jobs, their windows, events, results and webhooks are kept: the trait, and its SQLite form.
//!
//! Times are parameters, never read from a clock in here, so that tests need not wait. A worker's
//! writes carry its [`Lease`] and are refused once that lease is no longer its own.
//!
//! # Who is to blame when a process ends
//!
//! A job is *suspect* when a process ended while it was being worked on. Suspects are claimed one at a time, with
//! nothing else under way in that process, until each has stored a window. A process that ends while it works on one job
//! alone, which has stored no window since it was claimed, counts as a *strike* against that job; the next
//! window that is stored takes all strikes back. At [`MAX_STRIKES`] the job is given up.

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

use crate::jobs::{Job, JobId, JobStatus, NewJob};

pub use process_id::ProcessId;

/// Opens the store of this service: the database in a file at `path`, which is made if it is not there.
pub async fn open(path: &Path) -> StoreResult<Arc<dyn JobStore>> {
    Ok(Arc::new(sqlite::SqliteStore::open(path).await?))
}

/// What a job that waits is doing, in words.
pub const QUEUED: &str = "Queued";
/// What a job does first once it is claimed.
pub const STARTED: &str = "Reading media";
pub const COMPLETED: &str = "Completed";
pub const FAILED: &str = "Failed";
pub const CANCELLED: &str = "Cancelled";

/// How often in a row a job may take its process down before it is given up.
pub const MAX_STRIKES: u32 = 3;

/// How long a suspect waits for a process that has nothing else to do; after that it is claimed beside others.
/// Only where several processes share a database does it come to that: one that starts has nothing else to do.
pub const SUSPECT_WAIT: Duration = Duration::from_secs(60);

/// How long a process leaves a job of its own alone whose lease has expired: it lives, so the job's worker does, too, and
/// gives the job back once the database can be written again.
pub const OWN_LEASE_GRACE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The job went to another worker, was cancelled or has ended: stop working on it.
    #[error("job {0} is no longer held by this worker")]
    LeaseLost(JobId),
    #[error("{0}")]
    Open(String),
    /// There is no room; it may be made.
    #[error("the disk of the database is full: {0}")]
    Full(String),
    /// Another process writes, or the disk does not answer: it may go better in a moment.
    #[error("the database cannot be used just now: {0}")]
    Unavailable(String),
    /// Trying again will not help.
    #[error("the database failed: {0}")]
    Database(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Unavailable(_))
    }
}

pub type StoreResult<T> = Result<T, StoreError>;

/// The right to work on a job until it expires; made by [`JobStore::claim`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub job: JobId,
    /// Different for every claim, so that two claims by one worker are told apart.
    pub token: String,
}

/// A job that was claimed, with what earlier starts left behind.
#[derive(Debug, Clone)]
pub struct Claim {
    pub job: Job,
    pub lease: Lease,
    /// How often in a row it has taken its process down. At [`MAX_STRIKES`] it is not to be worked on any more, but
    /// failed with what it has.
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

/// What was found out about a window besides its words, by kind.
pub type Analyses = BTreeMap<String, serde_json::Value>;

/// Which form a stored transcript of a window has: raised when an older version could not read it, or would read
/// something else.
pub const PAYLOAD_VERSION: u32 = 1;

/// How far a job is, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub percentage: u8,
    pub step: String,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Within its job, from 1 and without a gap.
    pub number: u64,
    pub at: Timestamp,
    pub kind: EventKind,
    /// By its kind: `{"status"}`; `{"percentage", "step"}`; `{"number", "start", "end"}` with seconds in the original.
    pub data: serde_json::Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    Status,
    Progress,
    /// A window was stored.
    Window,
}

/// How a job ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The contract's `result` object, as JSON text.
    Completed { result: String },
    Failed {
        message: String,
        detail: Option<String>,
        /// What had been transcribed until then, in the form of a result; `None` where that is nothing.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub pending: u64,
    pub processing: u64,
}

/// What tells one database from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Made with the database.
    pub id: String,
    /// It has never had a job.
    pub is_empty: bool,
}

#[async_trait]
pub trait JobStore: fmt::Debug + Send + Sync + 'static {
    async fn identity(&self) -> StoreResult<Identity>;

    /// Adds a pending job. Once this returns, the job survives a crash.
    async fn insert(&self, job: NewJob, now: Timestamp) -> StoreResult<Job>;

    async fn get(&self, id: JobId) -> StoreResult<Option<Job>>;

    /// The JSON text of a completed job's result, or of what a failed one had until then.
    async fn result(&self, id: JobId) -> StoreResult<Option<String>>;

    /// What happened to a job behind the event `after`, in order; 0 begins with the first.
    async fn events(&self, id: JobId, after: u64, limit: u32) -> StoreResult<Vec<Event>>;

    /// Jobs that are being processed, the longest running first.
    async fn processing(&self) -> StoreResult<Vec<JobId>>;

    async fn counts(&self) -> StoreResult<Counts>;

    /// Jobs that have not ended: their uploads are still needed.
    async fn unfinished(&self) -> StoreResult<Vec<JobId>>;

    /// Takes the oldest job that is pending or whose lease has expired, suspects first and alone: see the module. A
    /// job whose row cannot be read is failed on the way, and one that has even taken down the process that was to fail it.
    async fn claim(&self, process: ProcessId, now: Timestamp, lease: Duration) -> StoreResult<Option<Claim>>;

    /// Puts the jobs that a process had when it ended back into the queue, as if their leases had expired. Gives
    /// their number.
    async fn process_ended(&self, process: ProcessId, now: Timestamp) -> StoreResult<u64>;

    /// Renews the lease, and those of the job's windows.
    async fn heartbeat(&self, lease: &Lease, now: Timestamp, extend: Duration) -> StoreResult<()>;

    /// Whether the lease is still the job's; writes nothing.
    async fn is_held(&self, lease: &Lease) -> StoreResult<bool>;

    /// What the job can go on from, if that was made with what `fingerprint` stands for; else the job starts anew.
    async fn checkpoint(&self, lease: &Lease, fingerprint: &str) -> StoreResult<Checkpoint>;

    /// Stores the language that was detected, once and for all.
    async fn decide_language(&self, lease: &Lease, language: Language) -> StoreResult<()>;

    /// Sets progress and step. Progress never falls, and stays under 100 here.
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

    /// Gives the job back unfinished, as at a shutdown: pending again, and nothing counts against it.
    async fn release(&self, lease: &Lease, now: Timestamp) -> StoreResult<()>;

    /// Ends the job: result, status and the webhook's outbox row in one transaction.
    async fn finish(&self, lease: &Lease, outcome: &Outcome, now: Timestamp) -> StoreResult<()>;

    /// Cancels a job that has not ended, whoever holds its lease. False if it had ended already.
    async fn cancel(&self, id: JobId, message: &str, now: Timestamp) -> StoreResult<bool>;

    /// Webhook calls that are due, oldest first; each is this caller's alone until `lease` has passed.
    async fn due_deliveries(&self, now: Timestamp, lease: Duration, limit: u32)
    -> StoreResult<Vec<Delivery>>;

    /// The call was answered with 2xx.
    async fn delivered(&self, delivery: i64, now: Timestamp) -> StoreResult<()>;

    /// The attempt failed: it is counted, and due again at `retry_at`, or never.
    async fn delivery_failed(
        &self,
        delivery: i64,
        error: &str,
        retry_at: Option<Timestamp>,
    ) -> StoreResult<()>;

    /// When the next webhook call will be due, if any waits.
    async fn next_delivery_at(&self) -> StoreResult<Option<Timestamp>>;

    /// Fails if the database cannot be read, or could not be written the last time. Waits for no writer.
    async fn check(&self) -> StoreResult<()>;

    /// Ends every connection; the last one puts the database in order.
    async fn close(&self);
}

/// What an event of the kind [`EventKind::Status`] holds.
#[derive(Serialize)]
struct StatusData {
    status: JobStatus,
}

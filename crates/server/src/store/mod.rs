//! Where jobs, their windows, results and webhooks are kept: the trait, and its SQLite form.
//!
//! Times are parameters, never read from a clock in here, so that tests need not wait. A worker's
//! writes carry its [`Lease`] and are refused once that lease is no longer its own.

#[cfg(test)]
mod contract;
mod sqlite;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use verbatim_whisper::WindowTranscript;

use crate::job::{Job, JobId, NewJob};

pub use sqlite::SqliteStore;

/// What a job that waits is doing, in words.
pub const QUEUED: &str = "Queued";
/// What a job does first once it is claimed.
pub const STARTED: &str = "Reading media";
pub const COMPLETED: &str = "Completed";
pub const FAILED: &str = "Failed";

/// How often a job may be started, crashes of the process included, before it is given up.
pub const MAX_ATTEMPTS: u32 = 3;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The job went to another worker, was cancelled or has ended: stop working on it.
    #[error("job {0} is no longer held by this worker")]
    LeaseLost(JobId),
    #[error("{0}")]
    Open(String),
    #[error("the database failed: {0}")]
    Database(String),
}

pub type StoreResult<T> = Result<T, StoreError>;

/// The right to work on a job until it expires; made by [`JobStore::claim`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub job: JobId,
    /// Different for every claim, so that two claims by one worker are told apart.
    pub token: String,
}

/// A job that was claimed, with what earlier attempts left behind.
#[derive(Debug, Clone)]
pub struct Claim {
    pub job: Job,
    pub lease: Lease,
    /// How often it was started, this time included; at most [`MAX_ATTEMPTS`].
    pub attempt: u32,
}

/// One window as it was transcribed: progress, partial transcript and checkpoint in one.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWindow {
    pub index: usize,
    /// Seconds in the original.
    pub start: f64,
    pub end: f64,
    pub transcript: WindowTranscript,
}

/// How far a job is, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub percentage: u8,
    pub step: String,
}

/// How a job ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The contract's `result` object, as JSON text.
    Completed {
        result: String,
    },
    Failed {
        message: String,
        detail: Option<String>,
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

#[async_trait]
pub trait JobStore: fmt::Debug + Send + Sync + 'static {
    /// Adds a pending job. Once this returns, the job survives a crash.
    async fn insert(&self, job: NewJob, now: Timestamp) -> StoreResult<Job>;

    async fn get(&self, id: JobId) -> StoreResult<Option<Job>>;

    /// The result's JSON text, of a completed job.
    async fn result(&self, id: JobId) -> StoreResult<Option<String>>;

    /// Jobs that are being processed, the longest running first.
    async fn processing(&self) -> StoreResult<Vec<JobId>>;

    async fn counts(&self) -> StoreResult<Counts>;

    /// Jobs that have not ended: their uploads are still needed.
    async fn unfinished(&self) -> StoreResult<Vec<JobId>>;

    /// Takes the oldest job that is pending or whose lease has expired, and counts the attempt. A job
    /// that was started [`MAX_ATTEMPTS`] times already is failed instead, its webhook included.
    async fn claim(&self, now: Timestamp, lease: Duration) -> StoreResult<Option<Claim>>;

    /// Renews the lease.
    async fn heartbeat(&self, lease: &Lease, now: Timestamp, extend: Duration) -> StoreResult<()>;

    /// Sets progress and step. Progress never falls, and stays under 100 here.
    async fn set_progress(&self, lease: &Lease, progress: &Progress) -> StoreResult<()>;

    /// Stores a finished window together with the progress it makes. Storing one twice changes nothing.
    async fn store_window(
        &self,
        lease: &Lease,
        window: &StoredWindow,
        progress: &Progress,
    ) -> StoreResult<()>;

    /// The windows stored so far, by index.
    async fn windows(&self, job: JobId) -> StoreResult<Vec<StoredWindow>>;

    /// Gives the job back unfinished, as at a shutdown: pending again, and the attempt is not counted.
    async fn release(&self, lease: &Lease) -> StoreResult<()>;

    /// Ends the job: result, status and the webhook's outbox row in one transaction.
    async fn finish(&self, lease: &Lease, outcome: &Outcome, now: Timestamp) -> StoreResult<()>;

    /// Fails a job that has not ended, whoever holds its lease. False if it had ended already.
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

    /// Fails if the database cannot be read and written.
    async fn check(&self) -> StoreResult<()>;
}

//! The store in SQLite.
//!
//! One connection writes and a few read. SQLite allows a single writer anyway, and the queue of a connection pool is
//! fair, while SQLite's busy handler is not. With the write-ahead log, readers do not wait for the writer.
//! `synchronous=FULL` syncs the log at every commit, because an answer ("your upload is safe", "the webhook was
//! delivered") must hold after a power cut. It costs little: there are one or two commits per window, and at most a few
//! windows per second.
//!
//! Other processes may have the same file open. So a write takes the write lock first ([`WriteTransaction`]), and slow
//! work, such as writing JSON, is done before that.

mod claims;
mod ending;
mod events;
mod identity;
mod jobs;
mod keys;
mod leases;
mod listing;
mod open;
mod outbox;
#[cfg(test)]
mod tests;
mod windows;
mod writing;

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::sqlite::SqlitePool;
use verbatim_speech::Language;

use self::open::Pools;
use self::writing::WriteTransaction;
use super::{
    Ahead, Checkpoint, Claim, Counts, Delivery, Event, IdempotencyKey, Identity, Inserted, JobFilter,
    JobStore, KeyedJob, Lease, Outcome, Progress, Run, StoreError, StoreResult, StoredWindow,
};
use crate::jobs::{Job, JobId, JobOptions, NewJob};
use crate::store::ProcessId;

/// Primary result codes of SQLite: https://www.sqlite.org/rescode.html.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CONSTRAINT: i32 = 19;

/// The most time for [`JobStore::check`], which must not wait for a disk that does not respond.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The store in a SQLite file.
#[derive(Debug, Clone)]
pub(super) struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Only for [`JobStore::check`], so that it does not wait for other reads.
    checker: SqlitePool,
    path: PathBuf,
    /// The inode of the file at opening. Shows whether the file was removed or replaced, which open connections do not
    /// notice.
    inode: u64,
    faults: Arc<Mutex<StoreFaults>>,
}

/// The faults that [`JobStore::check`] reports.
#[derive(Debug, Default)]
struct StoreFaults {
    /// The error of the last write, if it failed.
    write: Option<StoreError>,
    /// Ids of jobs whose rows can be neither read nor ended.
    unclaimable: HashSet<String>,
}

impl SqliteStore {
    /// Opens the database. Creates it if it does not exist, and migrates its tables to the current version.
    pub(super) async fn open(path: &Path) -> StoreResult<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            StoreError::Open(format!("cannot open the database {}: {error}", path.display()))
        };
        let Pools { writer, readers, checker } = open::open(path).await.map_err(|error| failed(&error))?;
        let inode = std::fs::metadata(path).map_err(|error| failed(&error))?.ino();
        Ok(Self { writer, readers, checker, path: path.to_owned(), inode, faults: Arc::default() })
    }

    /// Begins a transaction with the write lock.
    async fn begin_write(&self) -> StoreResult<WriteTransaction> {
        let begun = WriteTransaction::begin(&self.writer).await;
        if let Err(error) = &begun {
            self.faults().write = Some(error.clone());
        }
        begun
    }

    /// Commits a write that succeeded, rolls back one whose lease is lost, and records the outcome. After another error
    /// the connection is closed.
    async fn finish_write<T>(&self, transaction: WriteTransaction, result: StoreResult<T>) -> StoreResult<T> {
        let result = match result {
            Ok(value) => transaction.commit().await.map(|()| value),
            Err(StoreError::LeaseLost(job)) => {
                transaction.roll_back().await?;
                return Err(StoreError::LeaseLost(job));
            }
            Err(error) => Err(error),
        };
        self.faults().write = result.as_ref().err().cloned();
        result
    }

    fn faults(&self) -> MutexGuard<'_, StoreFaults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if the file was removed or replaced.
    async fn check_file(&self) -> StoreResult<()> {
        let metadata = tokio::fs::metadata(&self.path).await.map_err(|error| {
            StoreError::Database(format!("its file {} cannot be reached: {error}", self.path.display()))
        })?;
        if metadata.ino() == self.inode {
            return Ok(());
        }
        let path = self.path.display();
        Err(StoreError::Database(format!(
            "its file {path} was replaced while it was open; restart the service"
        )))
    }
}

/// Runs a future in a write transaction: `write!(self, connection => future)`.
macro_rules! write {
    ($store:expr, $connection:ident => $work:expr) => {{
        let mut transaction = $store.begin_write().await?;
        let $connection = transaction.connection();
        let result = $work.await;
        $store.finish_write(transaction, result).await
    }};
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // The lower byte of an extended result code is the primary code.
        const IO: i32 = 10;
        const FULL: i32 = 13;
        const CANNOT_OPEN: i32 = 14;
        let text = error.to_string();
        let code: Option<i32> =
            error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse().ok());
        match (code.map(|code| code & 0xff), error) {
            (Some(FULL), _) => Self::Full(text),
            (Some(BUSY | LOCKED | IO | CANNOT_OPEN), _)
            | (None, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) => Self::Unavailable(text),
            _ => Self::Database(text),
        }
    }
}

/// The error for a value in the database that no version of Verbatim writes.
fn corrupt(what: &str, value: &str) -> StoreError {
    StoreError::Database(format!("it holds the {what} “{value}”, which means nothing"))
}

fn job_id(text: &str) -> StoreResult<JobId> {
    JobId::parse(text).ok_or_else(|| corrupt("job id", text))
}

fn timestamp(milliseconds: i64) -> StoreResult<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(|_| corrupt("time", &milliseconds.to_string()))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// `now` plus a duration, in milliseconds since 1970; the largest number if that overflows.
fn deadline(now: Timestamp, after: Duration) -> i64 {
    now.as_millisecond().saturating_add(milliseconds(after))
}

#[async_trait]
impl JobStore for SqliteStore {
    async fn identity(&self) -> StoreResult<Identity> {
        identity::identity(&self.readers).await
    }

    async fn insert(&self, job: NewJob, now: Timestamp) -> StoreResult<Job> {
        write!(self, connection => jobs::insert(connection, job, now))
    }

    async fn insert_once(
        &self,
        job: NewJob,
        key: &IdempotencyKey,
        since: Timestamp,
        now: Timestamp,
    ) -> StoreResult<Inserted> {
        write!(self, connection => keys::insert(connection, job, key, since, now))
    }

    async fn keyed(&self, key: &str, since: Timestamp) -> StoreResult<Option<KeyedJob>> {
        keys::find(&self.readers, key, since).await
    }

    async fn forget_keys(&self, before: Timestamp) -> StoreResult<()> {
        // If there is none, the write lock is not needed.
        if !keys::any_before(&self.readers, before).await? {
            return Ok(());
        }
        write!(self, connection => keys::forget(connection, before))
    }

    async fn same_content(
        &self,
        content_hash: &str,
        options: &JobOptions,
        since: Timestamp,
    ) -> StoreResult<Option<JobId>> {
        let options = jobs::options_json(options)?;
        listing::same_content(&self.readers, content_hash, &options, since).await
    }

    async fn get(&self, id: JobId) -> StoreResult<Option<Job>> {
        jobs::get(&self.readers, id).await
    }

    async fn result(&self, id: JobId) -> StoreResult<Option<String>> {
        jobs::result(&self.readers, id).await
    }

    async fn events(&self, id: JobId, after: u64, limit: u32) -> StoreResult<Vec<Event>> {
        events::after(&self.readers, id, after, limit).await
    }

    async fn list(&self, filter: &JobFilter) -> StoreResult<Vec<Job>> {
        listing::list(&self.readers, filter).await
    }

    async fn ahead(&self, job: &Job) -> StoreResult<Ahead> {
        listing::ahead(&self.readers, job).await
    }

    async fn recent_runs(&self, limit: u32) -> StoreResult<Vec<Run>> {
        listing::recent_runs(&self.readers, limit).await
    }

    async fn ended_before(&self, before: Timestamp, limit: u32) -> StoreResult<Vec<JobId>> {
        listing::ended_before(&self.readers, before, limit).await
    }

    async fn ended_since(&self, since: Timestamp) -> StoreResult<Vec<JobId>> {
        listing::ended_since(&self.readers, since).await
    }

    async fn processing(&self) -> StoreResult<Vec<JobId>> {
        jobs::processing(&self.readers).await
    }

    async fn counts(&self) -> StoreResult<Counts> {
        jobs::counts(&self.readers).await
    }

    async fn unfinished(&self) -> StoreResult<Vec<JobId>> {
        jobs::unfinished(&self.readers).await
    }

    async fn claim(&self, process: ProcessId, now: Timestamp, lease: Duration) -> StoreResult<Option<Claim>> {
        claims::claim(self, &claims::ClaimRequest { process, now, lease }).await
    }

    async fn process_ended(&self, process: ProcessId, now: Timestamp) -> StoreResult<u64> {
        write!(self, connection => claims::process_ended(connection, process, now))
    }

    async fn heartbeat(&self, lease: &Lease, now: Timestamp, extend: Duration) -> StoreResult<()> {
        write!(self, connection => leases::heartbeat(connection, lease, now, extend))
    }

    async fn is_held(&self, lease: &Lease) -> StoreResult<bool> {
        leases::is_held(&self.readers, lease).await
    }

    async fn checkpoint(&self, lease: &Lease, fingerprint: &str, now: Timestamp) -> StoreResult<Checkpoint> {
        write!(self, connection => windows::checkpoint(connection, lease, fingerprint, now))
    }

    async fn decide_language(&self, lease: &Lease, language: Language) -> StoreResult<()> {
        write!(self, connection => leases::decide_language(connection, lease, language))
    }

    async fn set_progress(&self, lease: &Lease, progress: &Progress, now: Timestamp) -> StoreResult<()> {
        write!(self, connection => leases::set_progress(connection, lease, progress, now))
    }

    async fn begin_window(&self, lease: &Lease, index: usize, start: f64, end: f64) -> StoreResult<()> {
        write!(self, connection => windows::begin(connection, lease, index, start, end))
    }

    async fn store_window(
        &self,
        lease: &Lease,
        window: &StoredWindow,
        progress: &Progress,
        now: Timestamp,
    ) -> StoreResult<()> {
        let payload = windows::Payload::of(window)?;
        write!(self, connection => async {
            windows::store(connection, lease, window, &payload, now).await?;
            leases::set_progress(connection, lease, progress, now).await
        })
    }

    async fn windows(&self, job: JobId) -> StoreResult<Vec<StoredWindow>> {
        windows::stored(&self.readers, job, 0).await
    }

    async fn windows_from(&self, job: JobId, from: usize) -> StoreResult<Vec<StoredWindow>> {
        windows::stored(&self.readers, job, from).await
    }

    async fn release(&self, lease: &Lease, now: Timestamp) -> StoreResult<()> {
        write!(self, connection => leases::release(connection, lease, now))
    }

    async fn finish(&self, lease: &Lease, outcome: &Outcome, now: Timestamp) -> StoreResult<()> {
        let end = ending::End::of(outcome);
        write!(self, connection => async {
            let ended = ending::end(connection, &lease.job.to_string(), Some(&lease.token), end, now).await?;
            if ended { Ok(()) } else { Err(StoreError::LeaseLost(lease.job)) }
        })
    }

    async fn cancel(&self, id: JobId, message: &str, now: Timestamp) -> StoreResult<bool> {
        let (id, end) = (id.to_string(), ending::End::cancelled(message));
        write!(self, connection => ending::end(connection, &id, None, end, now))
    }

    async fn retry(&self, id: JobId, now: Timestamp) -> StoreResult<bool> {
        write!(self, connection => ending::retry(connection, &id.to_string(), now))
    }

    async fn delete(&self, id: JobId) -> StoreResult<bool> {
        write!(self, connection => jobs::delete(connection, id, None))
    }

    async fn delete_ended(&self, id: JobId, before: Timestamp) -> StoreResult<bool> {
        write!(self, connection => jobs::delete(connection, id, Some(before)))
    }

    async fn give_up_upload(&self, id: JobId, ended_by: Timestamp) -> StoreResult<bool> {
        write!(self, connection => ending::give_up_upload(connection, &id.to_string(), ended_by))
    }

    async fn release_space(&self) -> StoreResult<()> {
        open::release_pages(&self.writer).await
    }

    async fn due_deliveries(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> StoreResult<Vec<Delivery>> {
        // If nothing is due, the write lock is not needed.
        if outbox::next_due(&self.readers).await?.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let taken = write!(self, connection => outbox::take_due(connection, now, lease, limit))?;
        let mut deliveries = Vec::with_capacity(taken.len());
        for call in taken {
            let id = call.id;
            match outbox::delivery(&self.readers, call).await {
                Ok(delivery) => deliveries.push(delivery),
                // The other calls are still delivered.
                Err(error) => {
                    tracing::error!(delivery = id, "a webhook's body cannot be put together: {error}");
                    self.delivery_failed(id, &error.to_string(), None).await?;
                }
            }
        }
        Ok(deliveries)
    }

    async fn delivered(&self, delivery: i64, now: Timestamp) -> StoreResult<()> {
        write!(self, connection => outbox::delivered(connection, delivery, now))
    }

    async fn delivery_failed(
        &self,
        delivery: i64,
        error: &str,
        retry_at: Option<Timestamp>,
    ) -> StoreResult<()> {
        write!(self, connection => outbox::failed(connection, delivery, error, retry_at))
    }

    async fn next_delivery_at(&self) -> StoreResult<Option<Timestamp>> {
        outbox::next_due(&self.readers).await
    }

    async fn check(&self) -> StoreResult<()> {
        let check = async {
            self.check_file().await?;
            jobs::counts(&self.checker).await
        };
        tokio::time::timeout(CHECK_TIMEOUT, check)
            .await
            .map_err(|_| StoreError::Unavailable("its disk does not answer".to_owned()))??;
        let faults = self.faults();
        if let Some(error) = &faults.write {
            return Err(error.clone());
        }
        let mut unclaimable: Vec<&str> = faults.unclaimable.iter().map(String::as_str).collect();
        unclaimable.sort_unstable();
        if unclaimable.is_empty() {
            return Ok(());
        }
        let ids = unclaimable.join(", ");
        Err(StoreError::Database(format!("it is damaged where it holds {ids}; restore it from a backup")))
    }

    async fn close(&self) {
        self.checker.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

//! The store in SQLite.
//!
//! One connection writes and a few read: SQLite has a single writer anyway, and a queue of our own in
//! front of it is fair where its busy handler is not. The write-ahead log lets readers go on meanwhile.
//! `synchronous=FULL` syncs the log at every commit, because an answer that has been given ("your
//! upload is safe", "the webhook was delivered") must hold after a power cut; with a commit a window,
//! and a window a second at best, the price is small.
//!
//! Other processes may have the same file open. Whatever reads and then writes therefore takes the
//! write lock first (`BEGIN IMMEDIATE`).

mod jobs;
mod leases;
mod outbox;
#[cfg(test)]
mod tests;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

use super::{
    Claim, Counts, Delivery, JobStore, Lease, Outcome, Progress, StoreError, StoreResult, StoredWindow,
};
use crate::job::{Job, JobId, NewJob};

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Connections that read. Reads are short; a few keep status polls from queueing behind one another.
const READERS: u32 = 4;

/// How long to wait for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Jobs in a SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    path: PathBuf,
    /// Tells whether the file was taken away or replaced under the open connections, which do not notice.
    inode: u64,
}

impl SqliteStore {
    /// Opens the database, makes it if it is not there, and brings its tables up to date.
    pub async fn open(path: &Path) -> StoreResult<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            StoreError::Open(format!("cannot open the database {}: {error}", path.display()))
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(|error| failed(&error))?;
        MIGRATOR.run(&writer).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => failed(&format!(
                "it was made by a newer version of Verbatim (it has schema version {version}, this version \
                 knows none above {}); run that version, or give another DATABASE_PATH",
                MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0),
            )),
            error => failed(&error),
        })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.create_if_missing(false))
            .await
            .map_err(|error| failed(&error))?;
        let inode = std::fs::metadata(path).map_err(|error| failed(&error))?.ino();
        Ok(Self { writer, readers, path: path.to_owned(), inode })
    }

    /// Closes every connection; the last one folds the log into the database file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn write(&self) -> StoreResult<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

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

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.to_string())
    }
}

/// A value in the database that no version of ours writes.
fn corrupt(what: &str, value: &str) -> StoreError {
    StoreError::Database(format!("it holds the {what} “{value}”, which means nothing"))
}

fn job_id(text: &str) -> StoreResult<JobId> {
    JobId::parse(text).ok_or_else(|| corrupt("job id", text))
}

fn timestamp(milliseconds: i64) -> StoreResult<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(|_| corrupt("time", &milliseconds.to_string()))
}

/// `now` and then some; far beyond any deadline where that cannot be counted.
fn deadline(now: Timestamp, after: Duration) -> i64 {
    now.as_millisecond().saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX))
}

#[async_trait]
impl JobStore for SqliteStore {
    async fn insert(&self, job: NewJob, now: Timestamp) -> StoreResult<Job> {
        jobs::insert(&self.writer, job, now).await
    }

    async fn get(&self, id: JobId) -> StoreResult<Option<Job>> {
        jobs::get(&self.readers, id).await
    }

    async fn result(&self, id: JobId) -> StoreResult<Option<String>> {
        jobs::result(&self.readers, id).await
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

    async fn claim(&self, now: Timestamp, lease: Duration) -> StoreResult<Option<Claim>> {
        let mut transaction = self.write().await?;
        let claim = leases::claim(&mut transaction, now, lease).await?;
        transaction.commit().await?;
        Ok(claim)
    }

    async fn heartbeat(&self, lease: &Lease, now: Timestamp, extend: Duration) -> StoreResult<()> {
        leases::heartbeat(&self.writer, lease, now, extend).await
    }

    async fn set_progress(&self, lease: &Lease, progress: &Progress) -> StoreResult<()> {
        leases::set_progress(&self.writer, lease, progress).await
    }

    async fn store_window(
        &self,
        lease: &Lease,
        window: &StoredWindow,
        progress: &Progress,
    ) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        leases::set_progress(&mut *transaction, lease, progress).await?;
        jobs::insert_window(&mut transaction, lease.job, window).await?;
        Ok(transaction.commit().await?)
    }

    async fn windows(&self, job: JobId) -> StoreResult<Vec<StoredWindow>> {
        jobs::windows(&self.readers, job).await
    }

    async fn release(&self, lease: &Lease) -> StoreResult<()> {
        leases::release(&self.writer, lease).await
    }

    async fn finish(&self, lease: &Lease, outcome: &Outcome, now: Timestamp) -> StoreResult<()> {
        let mut transaction = self.write().await?;
        if !leases::end(&mut transaction, lease.job, Some(&lease.token), outcome, now).await? {
            return Err(StoreError::LeaseLost(lease.job));
        }
        Ok(transaction.commit().await?)
    }

    async fn cancel(&self, id: JobId, message: &str, now: Timestamp) -> StoreResult<bool> {
        let outcome = Outcome::Failed { message: message.to_owned(), detail: None };
        let mut transaction = self.write().await?;
        let cancelled = leases::end(&mut transaction, id, None, &outcome, now).await?;
        transaction.commit().await?;
        Ok(cancelled)
    }

    async fn due_deliveries(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> StoreResult<Vec<Delivery>> {
        outbox::take_due(&self.writer, now, lease, limit).await
    }

    async fn delivered(&self, delivery: i64, now: Timestamp) -> StoreResult<()> {
        outbox::delivered(&self.writer, delivery, now).await
    }

    async fn delivery_failed(
        &self,
        delivery: i64,
        error: &str,
        retry_at: Option<Timestamp>,
    ) -> StoreResult<()> {
        outbox::failed(&self.writer, delivery, error, retry_at).await
    }

    async fn next_delivery_at(&self) -> StoreResult<Option<Timestamp>> {
        outbox::next_due(&self.readers).await
    }

    async fn check(&self) -> StoreResult<()> {
        self.check_file().await?;
        jobs::counts(&self.readers).await?;
        Ok(self.write().await?.rollback().await?)
    }
}

//! Which job a process may work on next, and what a process that has ended means for its jobs: see [`crate::store`].

use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::ending::{End, end};
use super::jobs::{self, JobRow};
use super::{SqliteStore, deadline, events, milliseconds, windows};
use crate::jobs::{Job, JobStatus};
use crate::store::ProcessId;
use crate::store::{
    Claim, Lease, MAX_STRIKES, OWN_LEASE_GRACE, QUEUED, STARTED, SUSPECT_WAIT, StoreError, StoreResult,
};

/// Who claims.
#[derive(Debug)]
pub(super) struct By {
    pub(super) process: ProcessId,
    pub(super) now: Timestamp,
    pub(super) lease: Duration,
}

pub(super) async fn claim(store: &SqliteStore, by: &By) -> StoreResult<Option<Claim>> {
    loop {
        let skip = serde_json::json!(store.troubles().unclaimable).to_string();
        // A service that has nothing to do does not take the lock to find that out.
        if !jobs::may_be_claimable(&store.readers, by.now, &skip).await? {
            return Ok(None);
        }
        let mut writing = store.write().await?;
        let next = prepare(writing.connection(), by, &skip).await;
        let candidate = match next {
            Ok(Some(candidate)) => candidate,
            other => return store.written(writing, other.map(|_| None)).await,
        };
        let taken = take(writing.connection(), by, &candidate).await;
        match store.written(writing, taken).await {
            Ok(Some(claim)) => return Ok(Some(claim)),
            // It was ended on the way: look for the next one.
            Ok(None) => {}
            Err(StoreError::Database(error)) => {
                tracing::error!(job = candidate.id, "the job can be neither read nor ended: {error}");
                store.troubles().unclaimable.insert(candidate.id);
            }
            Err(error) => return Err(error),
        }
    }
}

/// A job that this process may take.
struct Candidate {
    /// As it stands in the database, whatever that is.
    id: String,
    strikes: u32,
    /// Nothing else is under way in this process.
    alone: bool,
}

/// Puts what is expired back into the queue, and finds the job to take.
async fn prepare(connection: &mut SqliteConnection, by: &By, skip: &str) -> StoreResult<Option<Candidate>> {
    // The process has ended, or has lost the job. One that asks has not ended.
    let expired: Vec<(String, bool)> = sqlx::query_as(
        "SELECT id, process IS NOT ?2 FROM jobs
         WHERE status IN ('pending', 'processing') AND status = 'processing'
             AND lease_expires_at <= iif(process IS ?2, ?1 - ?3, ?1)",
    )
    .bind(by.now.as_millisecond())
    .bind(by.process.to_string())
    .bind(milliseconds(OWN_LEASE_GRACE))
    .fetch_all(&mut *connection)
    .await?;
    for (id, process_ended) in expired {
        requeue(connection, &id, process_ended, by.now).await?;
    }
    candidate(connection, by, skip).await
}

async fn candidate(connection: &mut SqliteConnection, by: &By, skip: &str) -> StoreResult<Option<Candidate>> {
    let (held, unproven): (i64, bool) = sqlx::query_as(
        "SELECT count(*), coalesce(max(suspect_since IS NOT NULL AND alone), 0) FROM jobs
         WHERE status IN ('pending', 'processing') AND status = 'processing' AND process = ?",
    )
    .bind(by.process.to_string())
    .fetch_one(&mut *connection)
    .await?;
    if unproven {
        return Ok(None);
    }
    let alone = held == 0;
    // Where nothing is under way, suspects come first, the least suspicious of them before the others; elsewhere last, and
    // only those that have waited long.
    let row: Option<(String, u32)> = sqlx::query_as(
        "SELECT id, strikes FROM jobs
         WHERE status IN ('pending', 'processing') AND status = 'pending'
             AND (?1 OR suspect_since IS NULL OR suspect_since <= ?2)
             AND id NOT IN (SELECT value FROM json_each(?3))
         ORDER BY (suspect_since IS NULL) = ?1, strikes, created_at, rowid
         LIMIT 1",
    )
    .bind(alone)
    .bind(by.now.as_millisecond().saturating_sub(milliseconds(SUSPECT_WAIT)))
    .bind(skip)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(id, strikes)| Candidate { id, strikes, alone }))
}

/// `None` where the job was ended instead.
async fn take(
    connection: &mut SqliteConnection,
    by: &By,
    Candidate { id, strikes, alone }: &Candidate,
) -> StoreResult<Option<Claim>> {
    if *strikes > MAX_STRIKES {
        let message = format!(
            "The service ended {strikes} times while it worked on this file alone, at last when it was to be given up."
        );
        end(connection, id, None, End::failed(&message), by.now).await?;
        return Ok(None);
    }
    if !alone {
        sqlx::query(
            "UPDATE jobs SET alone = 0
             WHERE status IN ('pending', 'processing') AND status = 'processing' AND process = ?",
        )
        .bind(by.process.to_string())
        .execute(&mut *connection)
        .await?;
    }
    let token = Uuid::new_v4().to_string();
    let row: JobRow = sqlx::query_as(
        "UPDATE jobs
         SET status = 'processing', started_at = coalesce(started_at, ?), step = ?, process = ?, lease_token = ?,
             lease_expires_at = ?, alone = ?, progressed = 0
         WHERE id = ?
         RETURNING *",
    )
    .bind(by.now.as_millisecond())
    .bind(STARTED)
    .bind(by.process.to_string())
    .bind(&token)
    .bind(deadline(by.now, by.lease))
    .bind(alone)
    .bind(id)
    .fetch_one(&mut *connection)
    .await?;
    let fingerprint = row.fingerprint.clone();
    match Job::try_from(row) {
        Ok(job) => {
            events::status(connection, id, JobStatus::Processing, by.now).await?;
            let lease = Lease { job: job.id, token };
            Ok(Some(Claim { job, lease, strikes: *strikes, fingerprint }))
        }
        Err(error) => {
            tracing::error!(job = id, "the job cannot be read and has failed: {error}");
            jobs::repair(connection, id, by.now).await?;
            let message = format!("What the database holds of the job cannot be read: {error}.");
            end(connection, id, None, End::failed(&message), by.now).await?;
            Ok(None)
        }
    }
}

pub(super) async fn process_ended(
    connection: &mut SqliteConnection,
    process: ProcessId,
    now: Timestamp,
) -> StoreResult<u64> {
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM jobs WHERE status IN ('pending', 'processing') AND status = 'processing' AND process = ?",
    )
    .bind(process.to_string())
    .fetch_all(&mut *connection)
    .await?;
    for id in &left {
        requeue(connection, id, true, now).await?;
    }
    Ok(left.len() as u64)
}

async fn requeue(
    connection: &mut SqliteConnection,
    id: &str,
    process_ended: bool,
    now: Timestamp,
) -> StoreResult<()> {
    sqlx::query(
        "UPDATE jobs
         SET status = 'pending', step = ?2, process = NULL, lease_token = NULL, lease_expires_at = NULL,
             strikes = strikes + (?3 AND alone AND NOT progressed),
             suspect_since = iif(?3, coalesce(suspect_since, ?4), suspect_since)
         WHERE id = ?1",
    )
    .bind(id)
    .bind(QUEUED)
    .bind(process_ended)
    .bind(now.as_millisecond())
    .execute(&mut *connection)
    .await?;
    windows::requeue(connection, id).await?;
    events::status(connection, id, JobStatus::Pending, now).await
}

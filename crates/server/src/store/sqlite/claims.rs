//! Chooses the next job of a process, and requeues the jobs of a process that has ended: see [`crate::store`].

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

/// Which process claims a job, when, and for how long.
#[derive(Debug)]
pub(super) struct ClaimRequest {
    pub(super) process: ProcessId,
    pub(super) now: Timestamp,
    pub(super) lease: Duration,
}

pub(super) async fn claim(store: &SqliteStore, request: &ClaimRequest) -> StoreResult<Option<Claim>> {
    loop {
        let skip = serde_json::json!(store.faults().unclaimable).to_string();
        // If there is nothing to claim, the write lock is not needed.
        if !jobs::may_be_claimable(&store.readers, request.now, &skip).await? {
            return Ok(None);
        }
        let mut transaction = store.begin_write().await?;
        let next = prepare(transaction.connection(), request, &skip).await;
        let candidate = match next {
            Ok(Some(candidate)) => candidate,
            other => return store.finish_write(transaction, other.map(|_| None)).await,
        };
        let taken = take(transaction.connection(), request, &candidate).await;
        match store.finish_write(transaction, taken).await {
            Ok(Some(claim)) => return Ok(Some(claim)),
            // The job was ended instead of claimed: find the next one.
            Ok(None) => {}
            Err(StoreError::Database(error)) => {
                tracing::error!(job = candidate.id, "the job can be neither read nor ended: {error}");
                store.faults().unclaimable.insert(candidate.id);
            }
            Err(error) => return Err(error),
        }
    }
}

/// A job that the process may claim.
struct Candidate {
    /// The text in the database, which may not be a valid id.
    id: String,
    strikes: u32,
    /// Whether the process works on no other job.
    alone: bool,
}

/// Requeues jobs whose leases have expired, and finds the job to claim.
async fn prepare(
    connection: &mut SqliteConnection,
    request: &ClaimRequest,
    skip: &str,
) -> StoreResult<Option<Candidate>> {
    // An expired lease of another process is taken as its end. This process has not ended: see `OWN_LEASE_GRACE`.
    let expired: Vec<(String, bool)> = sqlx::query_as(
        "SELECT id, process IS NOT ?2 FROM jobs
         WHERE status IN ('pending', 'processing') AND status = 'processing'
             AND lease_expires_at <= iif(process IS ?2, ?1 - ?3, ?1)",
    )
    .bind(request.now.as_millisecond())
    .bind(request.process.to_string())
    .bind(milliseconds(OWN_LEASE_GRACE))
    .fetch_all(&mut *connection)
    .await?;
    for (id, process_ended) in expired {
        requeue(connection, &id, process_ended, request.now).await?;
    }
    candidate(connection, request, skip).await
}

/// Finds the job to claim. `None` while the process works on a suspect that has stored no window.
async fn candidate(
    connection: &mut SqliteConnection,
    request: &ClaimRequest,
    skip: &str,
) -> StoreResult<Option<Candidate>> {
    let (held, suspect_alone): (i64, bool) = sqlx::query_as(
        "SELECT count(*), coalesce(max(suspect_since IS NOT NULL AND alone), 0) FROM jobs
         WHERE status IN ('pending', 'processing') AND status = 'processing' AND process = ?",
    )
    .bind(request.process.to_string())
    .fetch_one(&mut *connection)
    .await?;
    if suspect_alone {
        return Ok(None);
    }
    let alone = held == 0;
    // If the process works on no other job, suspects come first, those with the fewest strikes before the others.
    // Otherwise suspects come last, and only those that have waited for `SUSPECT_WAIT`.
    let row: Option<(String, u32)> = sqlx::query_as(
        "SELECT id, strikes FROM jobs
         WHERE status IN ('pending', 'processing') AND status = 'pending'
             AND (?1 OR suspect_since IS NULL OR suspect_since <= ?2)
             AND id NOT IN (SELECT value FROM json_each(?3))
         ORDER BY (suspect_since IS NULL) = ?1, strikes, created_at, rowid
         LIMIT 1",
    )
    .bind(alone)
    .bind(request.now.as_millisecond().saturating_sub(milliseconds(SUSPECT_WAIT)))
    .bind(skip)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(id, strikes)| Candidate { id, strikes, alone }))
}

/// Claims a job. `None` if it was ended as failed instead.
async fn take(
    connection: &mut SqliteConnection,
    request: &ClaimRequest,
    Candidate { id, strikes, alone }: &Candidate,
) -> StoreResult<Option<Claim>> {
    if *strikes > MAX_STRIKES {
        let message = format!(
            "The service ended {strikes} times while it worked on this file alone, at last when it was to be given up."
        );
        end(connection, id, None, End::failed(&message), request.now).await?;
        return Ok(None);
    }
    if !alone {
        sqlx::query(
            "UPDATE jobs SET alone = 0
             WHERE status IN ('pending', 'processing') AND status = 'processing' AND process = ?",
        )
        .bind(request.process.to_string())
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
    .bind(request.now.as_millisecond())
    .bind(STARTED)
    .bind(request.process.to_string())
    .bind(&token)
    .bind(deadline(request.now, request.lease))
    .bind(alone)
    .bind(id)
    .fetch_one(&mut *connection)
    .await?;
    let fingerprint = row.fingerprint.clone();
    match Job::try_from(row) {
        Ok(job) => {
            events::status(connection, id, JobStatus::Processing, request.now).await?;
            let lease = Lease { job: job.id, token };
            Ok(Some(Claim { job, lease, strikes: *strikes, fingerprint }))
        }
        Err(error) => {
            tracing::error!(job = id, "the job cannot be read and has failed: {error}");
            jobs::repair(connection, id, request.now).await?;
            let message = format!("What the database holds of the job cannot be read: {error}.");
            end(connection, id, None, End::failed(&message), request.now).await?;
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

/// Makes a job pending again. If its process has ended, the job becomes suspect and may get a strike.
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

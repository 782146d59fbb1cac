//! Who may work on a job, and how jobs end. Every write of a worker names its lease's token and must
//! change one row.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteExecutor, Transaction};
use uuid::Uuid;

use super::jobs::JobRow;
use super::{deadline, job_id, outbox};
use crate::job::{Job, JobId, JobStatus, rfc3339};
use crate::store::{
    COMPLETED, Claim, FAILED, Lease, MAX_ATTEMPTS, Outcome, Progress, QUEUED, STARTED, StoreError,
    StoreResult,
};

pub(super) async fn claim(
    transaction: &mut Transaction<'_, Sqlite>,
    now: Timestamp,
    lease: Duration,
) -> StoreResult<Option<Claim>> {
    while let Some((id, attempts)) = next_claimable(transaction, now).await? {
        if attempts >= MAX_ATTEMPTS {
            let message =
                format!("The job was started {attempts} times and never came to its end; it was given up.");
            end(transaction, id, None, &Outcome::Failed { message, detail: None }, now).await?;
            continue;
        }
        let token = Uuid::new_v4().to_string();
        let row: JobRow = sqlx::query_as(
            "UPDATE jobs
             SET status = 'processing', attempts = attempts + 1, started_at = coalesce(started_at, ?),
                 step = ?, lease_token = ?, lease_expires_at = ?
             WHERE id = ?
             RETURNING *",
        )
        .bind(now.as_millisecond())
        .bind(STARTED)
        .bind(&token)
        .bind(deadline(now, lease))
        .bind(id.to_string())
        .fetch_one(&mut **transaction)
        .await?;
        let lease = Lease { job: id, token };
        return Ok(Some(Claim { job: Job::try_from(row)?, lease, attempt: attempts + 1 }));
    }
    Ok(None)
}

async fn next_claimable(
    transaction: &mut Transaction<'_, Sqlite>,
    now: Timestamp,
) -> StoreResult<Option<(JobId, u32)>> {
    // The first condition is the index's own, or SQLite would not use it.
    let row: Option<(String, u32)> = sqlx::query_as(
        "SELECT id, attempts FROM jobs
         WHERE status IN ('pending', 'processing') AND (status = 'pending' OR lease_expires_at <= ?)
         ORDER BY created_at, rowid
         LIMIT 1",
    )
    .bind(now.as_millisecond())
    .fetch_optional(&mut **transaction)
    .await?;
    row.map(|(id, attempts)| Ok((job_id(&id)?, attempts))).transpose()
}

pub(super) async fn heartbeat(
    writer: &SqlitePool,
    lease: &Lease,
    now: Timestamp,
    extend: Duration,
) -> StoreResult<()> {
    let renewed = sqlx::query("UPDATE jobs SET lease_expires_at = ? WHERE id = ? AND lease_token = ?")
        .bind(deadline(now, extend))
        .bind(lease.job.to_string())
        .bind(&lease.token)
        .execute(writer)
        .await?;
    held(lease, renewed.rows_affected())
}

pub(super) async fn set_progress(
    executor: impl SqliteExecutor<'_>,
    lease: &Lease,
    progress: &Progress,
) -> StoreResult<()> {
    let set = sqlx::query(
        "UPDATE jobs SET progress = max(progress, min(?, 99)), step = ? WHERE id = ? AND lease_token = ?",
    )
    .bind(progress.percentage)
    .bind(&progress.step)
    .bind(lease.job.to_string())
    .bind(&lease.token)
    .execute(executor)
    .await?;
    held(lease, set.rows_affected())
}

pub(super) async fn release(writer: &SqlitePool, lease: &Lease) -> StoreResult<()> {
    let released = sqlx::query(
        "UPDATE jobs
         SET status = 'pending', attempts = attempts - 1, step = ?, lease_token = NULL, lease_expires_at = NULL
         WHERE id = ? AND lease_token = ?",
    )
    .bind(QUEUED)
    .bind(lease.job.to_string())
    .bind(&lease.token)
    .execute(writer)
    .await?;
    held(lease, released.rows_affected())
}

fn held(lease: &Lease, rows: u64) -> StoreResult<()> {
    if rows == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease.job)) }
}

/// Ends a job and all that goes with it. With a token, only if that is the job's lease; without, in any
/// case. False if the job had ended, or its lease is another's.
pub(super) async fn end(
    transaction: &mut Transaction<'_, Sqlite>,
    id: JobId,
    token: Option<&str>,
    outcome: &Outcome,
    now: Timestamp,
) -> StoreResult<bool> {
    let (status, step, message, detail) = match outcome {
        Outcome::Completed { .. } => (JobStatus::Completed, COMPLETED, None, None),
        Outcome::Failed { message, detail } => {
            (JobStatus::Failed, FAILED, Some(message.as_str()), detail.as_deref())
        }
    };
    let ended: Option<(Option<String>,)> = sqlx::query_as(
        "UPDATE jobs
         SET status = ?1, step = ?2, error_message = ?3, error_detail = ?4, completed_at = ?5,
             progress = iif(?1 = 'completed', 100, progress), lease_token = NULL, lease_expires_at = NULL
         WHERE id = ?6 AND status IN ('pending', 'processing') AND (?7 IS NULL OR lease_token = ?7)
         RETURNING webhook_url",
    )
    .bind(status.as_str())
    .bind(step)
    .bind(message)
    .bind(detail)
    .bind(now.as_millisecond())
    .bind(id.to_string())
    .bind(token)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some((webhook_url,)) = ended else { return Ok(false) };
    sqlx::query("DELETE FROM windows WHERE job_id = ?")
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await?;
    if let Outcome::Completed { result } = outcome {
        sqlx::query("INSERT INTO results (job_id, body) VALUES (?, ?)")
            .bind(id.to_string())
            .bind(result)
            .execute(&mut **transaction)
            .await?;
    }
    if let Some(url) = webhook_url {
        outbox::insert(transaction, id, &url, &webhook_body(id, outcome, now)?, now).await?;
    }
    Ok(true)
}

/// The contract's webhook payload.
#[derive(Serialize)]
struct WebhookBody<'a> {
    job_id: JobId,
    status: JobStatus,
    completed_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

fn webhook_body(job: JobId, outcome: &Outcome, now: Timestamp) -> StoreResult<String> {
    let not_json = |error| StoreError::Database(format!("the result of job {job} is not JSON: {error}"));
    let (status, result, error_message) = match outcome {
        Outcome::Completed { result } => {
            (JobStatus::Completed, Some(serde_json::from_str(result).map_err(not_json)?), None)
        }
        Outcome::Failed { message, .. } => (JobStatus::Failed, None, Some(message.as_str())),
    };
    let body = WebhookBody { job_id: job, status, completed_at: rfc3339(now), result, error_message };
    serde_json::to_string(&body).map_err(not_json)
}

//! The outbox of webhook calls. Taking a call sets its due time to the end of the lease, so that no other process takes
//! it before.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::FromRow;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::{deadline, job_id, jobs, timestamp};
use crate::jobs::{JobId, JobStatus, rfc3339};
use crate::store::{Delivery, StoreError, StoreResult};

/// A call that was taken, without its body.
#[derive(Debug, FromRow)]
pub(super) struct Call {
    pub(super) id: i64,
    job_id: String,
    url: String,
    attempts: u32,
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    job: &str,
    url: &str,
    now: Timestamp,
) -> StoreResult<()> {
    sqlx::query("INSERT INTO deliveries (job_id, url, next_attempt_at) VALUES (?, ?, ?)")
        .bind(job)
        .bind(url)
        .bind(now.as_millisecond())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn take_due(
    connection: &mut SqliteConnection,
    now: Timestamp,
    lease: Duration,
    limit: u32,
) -> StoreResult<Vec<Call>> {
    let mut taken: Vec<Call> = sqlx::query_as(
        "UPDATE deliveries SET next_attempt_at = ?
         WHERE id IN (SELECT id FROM deliveries WHERE next_attempt_at <= ? ORDER BY next_attempt_at, id LIMIT ?)
         RETURNING id, job_id, url, attempts",
    )
    .bind(deadline(now, lease))
    .bind(now.as_millisecond())
    .bind(limit)
    .fetch_all(connection)
    .await?;
    taken.sort_by_key(|call| call.id);
    Ok(taken)
}

/// Adds the body to a call, from the job and its result. Needs no write lock.
pub(super) async fn delivery(readers: &SqlitePool, call: Call) -> StoreResult<Delivery> {
    let job = job_id(&call.job_id)?;
    let body = body(readers, job).await?;
    Ok(Delivery { id: call.id, job, url: call.url, body, attempts: call.attempts })
}

/// The body of a webhook call.
#[derive(Serialize)]
struct Body {
    job_id: JobId,
    status: JobStatus,
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

async fn body(readers: &SqlitePool, id: JobId) -> StoreResult<String> {
    let missing = |what: &str| StoreError::Database(format!("{what} {id}, whose webhook is due, is missing"));
    let not_json = |error| StoreError::Database(format!("the result of job {id} is not JSON: {error}"));
    let job = jobs::get(readers, id).await?.ok_or_else(|| missing("the job"))?;
    let result = match job.status {
        JobStatus::Completed => {
            let result = jobs::result(readers, id).await?.ok_or_else(|| missing("the result of job"))?;
            Some(RawValue::from_string(result).map_err(not_json)?)
        }
        _ => None,
    };
    let body = Body {
        job_id: id,
        status: job.status.of_contract(),
        completed_at: job.completed_at.map(rfc3339),
        result,
        error_message: job.error_message,
    };
    serde_json::to_string(&body).map_err(not_json)
}

pub(super) async fn delivered(
    connection: &mut SqliteConnection,
    delivery: i64,
    now: Timestamp,
) -> StoreResult<()> {
    sqlx::query(
        "UPDATE deliveries
         SET attempts = attempts + 1, delivered_at = ?, next_attempt_at = NULL, last_error = NULL
         WHERE id = ?",
    )
    .bind(now.as_millisecond())
    .bind(delivery)
    .execute(connection)
    .await?;
    Ok(())
}

/// Records a failed attempt. Does nothing if another attempt has delivered the call meanwhile.
pub(super) async fn failed(
    connection: &mut SqliteConnection,
    delivery: i64,
    error: &str,
    retry_at: Option<Timestamp>,
) -> StoreResult<()> {
    sqlx::query(
        "UPDATE deliveries SET attempts = attempts + 1, last_error = ?, next_attempt_at = ?
         WHERE id = ? AND delivered_at IS NULL",
    )
    .bind(error)
    .bind(retry_at.map(Timestamp::as_millisecond))
    .bind(delivery)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn next_due(readers: &SqlitePool) -> StoreResult<Option<Timestamp>> {
    let due: Option<i64> =
        sqlx::query_scalar("SELECT min(next_attempt_at) FROM deliveries WHERE next_attempt_at IS NOT NULL")
            .fetch_one(readers)
            .await?;
    due.map(timestamp).transpose()
}

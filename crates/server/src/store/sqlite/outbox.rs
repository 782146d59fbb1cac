//! Webhook calls that wait. Whoever takes one moves its due time behind a deadline, so nobody else does.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, Transaction};

use super::{deadline, job_id, timestamp};
use crate::job::JobId;
use crate::store::{Delivery, StoreResult};

pub(super) async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    job: JobId,
    url: &str,
    body: &str,
    now: Timestamp,
) -> StoreResult<()> {
    sqlx::query("INSERT INTO deliveries (job_id, url, body, next_attempt_at) VALUES (?, ?, ?, ?)")
        .bind(job.to_string())
        .bind(url)
        .bind(body)
        .bind(now.as_millisecond())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) async fn take_due(
    writer: &SqlitePool,
    now: Timestamp,
    lease: Duration,
    limit: u32,
) -> StoreResult<Vec<Delivery>> {
    let rows: Vec<(i64, String, String, String, u32)> = sqlx::query_as(
        "UPDATE deliveries SET next_attempt_at = ?
         WHERE id IN (SELECT id FROM deliveries WHERE next_attempt_at <= ? ORDER BY next_attempt_at, id LIMIT ?)
         RETURNING id, job_id, url, body, attempts",
    )
    .bind(deadline(now, lease))
    .bind(now.as_millisecond())
    .bind(limit)
    .fetch_all(writer)
    .await?;
    let delivery = |(id, job, url, body, attempts): (i64, String, String, String, u32)| {
        Ok(Delivery { id, job: job_id(&job)?, url, body, attempts })
    };
    let mut taken = rows.into_iter().map(delivery).collect::<StoreResult<Vec<_>>>()?;
    taken.sort_by_key(|delivery| delivery.id);
    Ok(taken)
}

pub(super) async fn delivered(writer: &SqlitePool, delivery: i64, now: Timestamp) -> StoreResult<()> {
    sqlx::query(
        "UPDATE deliveries
         SET attempts = attempts + 1, delivered_at = ?, next_attempt_at = NULL, body = NULL, last_error = NULL
         WHERE id = ?",
    )
    .bind(now.as_millisecond())
    .bind(delivery)
    .execute(writer)
    .await?;
    Ok(())
}

/// Says nothing to a call that another attempt has delivered meanwhile.
pub(super) async fn failed(
    writer: &SqlitePool,
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
    .execute(writer)
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

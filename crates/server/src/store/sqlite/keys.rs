//! Idempotency keys: which job a request has made, so that the same request makes no second one.

use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::{job_id, jobs};
use crate::jobs::NewJob;
use crate::store::{IdempotencyKey, Inserted, KeyedJob, StoreResult};

/// A request whose job was cancelled, because its client went away before there was an answer, counts as not sent.
const FIND: &str = "SELECT request_hash, job_id FROM idempotency_keys JOIN jobs ON jobs.id = job_id
    WHERE key = ? AND idempotency_keys.created_at >= ? AND status <> 'cancelled'";

pub(super) async fn find(readers: &SqlitePool, key: &str, since: Timestamp) -> StoreResult<Option<KeyedJob>> {
    let row: Option<(String, String)> =
        sqlx::query_as(FIND).bind(key).bind(since.as_millisecond()).fetch_optional(readers).await?;
    row.map(|(request_hash, job)| Ok(KeyedJob { request_hash, job: job_id(&job)? })).transpose()
}

/// Inserts a job and its key, unless there is a job of this key that was created at or after `since`.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    job: NewJob,
    key: &IdempotencyKey,
    since: Timestamp,
    now: Timestamp,
) -> StoreResult<Inserted> {
    let row: Option<(String, String)> = sqlx::query_as(FIND)
        .bind(&key.key)
        .bind(since.as_millisecond())
        .fetch_optional(&mut *connection)
        .await?;
    if let Some((request_hash, job)) = row {
        return Ok(Inserted::Earlier(KeyedJob { request_hash, job: job_id(&job)? }));
    }
    let job = jobs::insert(&mut *connection, job, now).await?;
    sqlx::query(
        "INSERT INTO idempotency_keys (key, request_hash, job_id, created_at) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET request_hash = excluded.request_hash, job_id = excluded.job_id,
             created_at = excluded.created_at",
    )
    .bind(&key.key)
    .bind(&key.request_hash)
    .bind(job.id.to_string())
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(Inserted::New(Box::new(job)))
}

pub(super) async fn any_before(readers: &SqlitePool, before: Timestamp) -> StoreResult<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM idempotency_keys WHERE created_at < ?)")
        .bind(before.as_millisecond())
        .fetch_one(readers)
        .await?)
}

pub(super) async fn forget(connection: &mut SqliteConnection, before: Timestamp) -> StoreResult<()> {
    sqlx::query("DELETE FROM idempotency_keys WHERE created_at < ?")
        .bind(before.as_millisecond())
        .execute(connection)
        .await?;
    Ok(())
}

//! Writes of the worker that holds a job's lease. Each write names the token of the lease and must change one row.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use verbatim_speech::Language;

use super::writing::held;
use super::{deadline, events, windows};
use crate::jobs::JobStatus;
use crate::store::{EventKind, Lease, Progress, QUEUED, StoreError, StoreResult};

pub(super) async fn heartbeat(
    connection: &mut SqliteConnection,
    lease: &Lease,
    now: Timestamp,
    extend: Duration,
) -> StoreResult<()> {
    let expires_at = deadline(now, extend);
    let renewed = sqlx::query("UPDATE jobs SET lease_expires_at = ? WHERE id = ? AND lease_token = ?")
        .bind(expires_at)
        .bind(lease.job.to_string())
        .bind(&lease.token)
        .execute(&mut *connection)
        .await?;
    held(lease, renewed.rows_affected())?;
    sqlx::query("UPDATE windows SET lease_expires_at = ? WHERE job_id = ? AND lease_token = ?")
        .bind(expires_at)
        .bind(lease.job.to_string())
        .bind(&lease.token)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn is_held(readers: &SqlitePool, lease: &Lease) -> StoreResult<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ? AND lease_token = ?)")
        .bind(lease.job.to_string())
        .bind(&lease.token)
        .fetch_one(readers)
        .await?)
}

pub(super) async fn decide_language(
    connection: &mut SqliteConnection,
    lease: &Lease,
    language: Language,
) -> StoreResult<()> {
    let decided = sqlx::query("UPDATE jobs SET detected_language = ? WHERE id = ? AND lease_token = ?")
        .bind(language.code())
        .bind(lease.job.to_string())
        .bind(&lease.token)
        .execute(connection)
        .await?;
    held(lease, decided.rows_affected())
}

pub(super) async fn set_progress(
    connection: &mut SqliteConnection,
    lease: &Lease,
    progress: &Progress,
    now: Timestamp,
) -> StoreResult<()> {
    let id = lease.job.to_string();
    let before: Option<(u8, String)> =
        sqlx::query_as("SELECT progress, step FROM jobs WHERE id = ? AND lease_token = ?")
            .bind(&id)
            .bind(&lease.token)
            .fetch_optional(&mut *connection)
            .await?;
    let before = before.ok_or(StoreError::LeaseLost(lease.job))?;
    let after = (before.0.max(progress.percentage.min(99)), progress.step.clone());
    if after == before {
        return Ok(());
    }
    let (percentage, step) = after;
    sqlx::query("UPDATE jobs SET progress = ?, step = ? WHERE id = ?")
        .bind(percentage)
        .bind(&step)
        .bind(&id)
        .execute(&mut *connection)
        .await?;
    let data = json!({"percentage": percentage, "step": step});
    events::append(connection, &id, EventKind::Progress, &data, now).await
}

pub(super) async fn release(
    connection: &mut SqliteConnection,
    lease: &Lease,
    now: Timestamp,
) -> StoreResult<()> {
    let id = lease.job.to_string();
    let released = sqlx::query(
        "UPDATE jobs
         SET status = 'pending', step = ?, process = NULL, lease_token = NULL, lease_expires_at = NULL
         WHERE id = ? AND lease_token = ?",
    )
    .bind(QUEUED)
    .bind(&id)
    .bind(&lease.token)
    .execute(&mut *connection)
    .await?;
    held(lease, released.rows_affected())?;
    windows::requeue(connection, &id).await?;
    events::status(connection, &id, JobStatus::Pending, now).await
}

//! Events of jobs, numbered within each job. An event is written in the same transaction as the change that it reports.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::{corrupt, timestamp};
use crate::jobs::{JobId, JobStatus};
use crate::store::{Event, EventKind, StatusData, StoreError, StoreResult};

/// Appends an event of the kind [`EventKind::Status`].
pub(super) async fn status(
    connection: &mut SqliteConnection,
    job: &str,
    status: JobStatus,
    now: Timestamp,
) -> StoreResult<()> {
    append(connection, job, EventKind::Status, &StatusData { status, discarded: false }, now).await
}

/// As [`status`], of a job that starts anew: its segments so far are void.
pub(super) async fn anew(
    connection: &mut SqliteConnection,
    job: &str,
    status: JobStatus,
    now: Timestamp,
) -> StoreResult<()> {
    append(connection, job, EventKind::Status, &StatusData { status, discarded: true }, now).await
}

pub(super) async fn append(
    connection: &mut SqliteConnection,
    job: &str,
    kind: EventKind,
    data: &impl Serialize,
    now: Timestamp,
) -> StoreResult<()> {
    let data = serde_json::to_string(data)
        .map_err(|error| StoreError::Database(format!("an event cannot be written as JSON: {error}")))?;
    append_json(connection, job, kind, &data, now).await
}

pub(super) async fn append_json(
    connection: &mut SqliteConnection,
    job: &str,
    kind: EventKind,
    data: &str,
    now: Timestamp,
) -> StoreResult<()> {
    sqlx::query(
        "INSERT INTO events (job_id, number, at, kind, data)
         VALUES (?1, (SELECT coalesce(max(number), 0) + 1 FROM events WHERE job_id = ?1), ?2, ?3, ?4)",
    )
    .bind(job)
    .bind(now.as_millisecond())
    .bind(kind.as_str())
    .bind(data)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn after(
    readers: &SqlitePool,
    job: JobId,
    after: u64,
    limit: u32,
) -> StoreResult<Vec<Event>> {
    let rows: Vec<(i64, i64, String, String)> = sqlx::query_as(
        "SELECT number, at, kind, data FROM events WHERE job_id = ? AND number > ? ORDER BY number LIMIT ?",
    )
    .bind(job.to_string())
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(limit)
    .fetch_all(readers)
    .await?;
    let event = |(number, at, kind, data): (i64, i64, String, String)| {
        Ok(Event {
            number: number.cast_unsigned(),
            at: timestamp(at)?,
            kind: EventKind::parse(&kind).ok_or_else(|| corrupt("kind of event", &kind))?,
            data: serde_json::from_str(&data).map_err(|_| corrupt("event", &data))?,
        })
    };
    rows.into_iter().map(event).collect()
}

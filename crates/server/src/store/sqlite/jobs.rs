//! Inserts and queries jobs and results.

use jiff::Timestamp;
use sqlx::FromRow;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::{corrupt, events, job_id, timestamp};
use crate::jobs::{FileType, Job, JobId, JobOptions, JobStatus, NewJob};
use crate::store::{Counts, QUEUED, StoreError, StoreResult};

/// A row of `jobs`, without the columns for leases.
#[derive(FromRow)]
pub(super) struct JobRow {
    id: String,
    filename: String,
    file_size: i64,
    file_type: String,
    duration: Option<f64>,
    tracks: Option<String>,
    pub(super) fingerprint: Option<String>,
    options: String,
    webhook_url: Option<String>,
    status: String,
    created_at: i64,
    started_at: Option<i64>,
    completed_at: Option<i64>,
    progress: u8,
    step: String,
    error_message: Option<String>,
    error_detail: Option<String>,
}

impl TryFrom<JobRow> for Job {
    type Error = StoreError;

    fn try_from(row: JobRow) -> StoreResult<Self> {
        Ok(Self {
            id: job_id(&row.id)?,
            filename: row.filename,
            file_size: row.file_size.cast_unsigned(),
            file_type: FileType::parse(&row.file_type).ok_or_else(|| corrupt("file type", &row.file_type))?,
            duration: row.duration,
            // If they cannot be read, the file is probed again.
            tracks: row.tracks.and_then(|tracks| serde_json::from_str(&tracks).ok()),
            options: serde_json::from_str(&row.options)
                .map_err(|_| corrupt("set of options", &row.options))?,
            webhook_url: row.webhook_url,
            status: JobStatus::parse(&row.status).ok_or_else(|| corrupt("status", &row.status))?,
            created_at: timestamp(row.created_at)?,
            started_at: row.started_at.map(timestamp).transpose()?,
            completed_at: row.completed_at.map(timestamp).transpose()?,
            progress_percentage: row.progress,
            current_step: row.step,
            error_message: row.error_message,
            error_detail: row.error_detail,
        })
    }
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    job: NewJob,
    now: Timestamp,
) -> StoreResult<Job> {
    let options = options_json(&job.options)?;
    let tracks = job.tracks.as_ref().and_then(|tracks| serde_json::to_string(tracks).ok());
    let row: JobRow = sqlx::query_as(
        "INSERT INTO jobs (id, search_name, filename, content_hash, file_size, file_type, duration, tracks, options,
             webhook_url, status, created_at, step)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?)
         RETURNING *",
    )
    .bind(job.id.to_string())
    .bind(job.filename.to_lowercase())
    .bind(job.filename)
    .bind(job.content_hash)
    .bind(job.file_size.cast_signed())
    .bind(job.file_type.as_str())
    .bind(job.duration)
    .bind(tracks)
    .bind(options)
    .bind(job.webhook_url)
    .bind(now.as_millisecond())
    .bind(QUEUED)
    .fetch_one(&mut *connection)
    .await?;
    events::status(connection, &row.id, JobStatus::Pending, now).await?;
    row.try_into()
}

/// Options as they are stored: the same options give the same text.
pub(super) fn options_json(options: &JobOptions) -> StoreResult<String> {
    serde_json::to_string(options)
        .map_err(|error| StoreError::Database(format!("a job's options cannot be written as JSON: {error}")))
}

/// Removes a job; with a moment, only if it ended before it.
pub(super) async fn delete(
    connection: &mut SqliteConnection,
    id: JobId,
    ended_before: Option<Timestamp>,
) -> StoreResult<bool> {
    let deleted = sqlx::query("DELETE FROM jobs WHERE id = ?1 AND (?2 IS NULL OR completed_at < ?2)")
        .bind(id.to_string())
        .bind(ended_before.map(Timestamp::as_millisecond))
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected() > 0)
}

/// Replaces the values of a job that cannot be read, so that it can be ended and queried. Their content is lost.
pub(super) async fn repair(connection: &mut SqliteConnection, id: &str, now: Timestamp) -> StoreResult<()> {
    let row: JobRow =
        sqlx::query_as("SELECT * FROM jobs WHERE id = ?").bind(id).fetch_one(&mut *connection).await?;
    let readable = |milliseconds: i64| timestamp(milliseconds).is_ok();
    let options = match serde_json::from_str::<JobOptions>(&row.options) {
        Ok(_) => row.options,
        Err(_) => "{}".to_owned(),
    };
    sqlx::query("UPDATE jobs SET options = ?, created_at = ?, started_at = ? WHERE id = ?")
        .bind(options)
        .bind(if readable(row.created_at) { row.created_at } else { now.as_millisecond() })
        .bind(row.started_at.filter(|started_at| readable(*started_at)))
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn get(readers: &SqlitePool, id: JobId) -> StoreResult<Option<Job>> {
    sqlx::query_as::<_, JobRow>("SELECT * FROM jobs WHERE id = ?")
        .bind(id.to_string())
        .fetch_optional(readers)
        .await?
        .map(Job::try_from)
        .transpose()
}

pub(super) async fn result(readers: &SqlitePool, id: JobId) -> StoreResult<Option<String>> {
    Ok(sqlx::query_scalar("SELECT body FROM results WHERE job_id = ?")
        .bind(id.to_string())
        .fetch_optional(readers)
        .await?)
}

pub(super) async fn processing(readers: &SqlitePool) -> StoreResult<Vec<JobId>> {
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM jobs WHERE status IN ('pending', 'processing') AND status = 'processing'
         ORDER BY started_at, created_at",
    )
    .fetch_all(readers)
    .await?;
    Ok(valid_ids(&ids))
}

pub(super) async fn unfinished(readers: &SqlitePool) -> StoreResult<Vec<JobId>> {
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id FROM jobs WHERE status IN ('pending', 'processing')")
            .fetch_all(readers)
            .await?;
    Ok(valid_ids(&ids))
}

/// Parses ids, without invalid ones: these have neither an upload nor a job that can be queried. Claiming logs them.
pub(super) fn valid_ids(ids: &[String]) -> Vec<JobId> {
    ids.iter().filter_map(|id| JobId::parse(id)).collect()
}

/// Whether there may be a job to claim. `skip` is a JSON list of ids to ignore.
pub(super) async fn may_be_claimable(readers: &SqlitePool, now: Timestamp, skip: &str) -> StoreResult<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT 1 FROM jobs
             WHERE status IN ('pending', 'processing') AND (status = 'pending' OR lease_expires_at <= ?)
                 AND id NOT IN (SELECT value FROM json_each(?)))",
    )
    .bind(now.as_millisecond())
    .bind(skip)
    .fetch_one(readers)
    .await?)
}

pub(super) async fn counts(readers: &SqlitePool) -> StoreResult<Counts> {
    let (pending, processing): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'processing')
         FROM jobs WHERE status IN ('pending', 'processing')",
    )
    .fetch_one(readers)
    .await?;
    Ok(Counts { pending: pending.cast_unsigned(), processing: processing.cast_unsigned() })
}

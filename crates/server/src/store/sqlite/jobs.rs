//! Rows of jobs, windows and results: in, and out again.

use jiff::Timestamp;
use sqlx::sqlite::SqlitePool;
use sqlx::{FromRow, Sqlite, Transaction};

use super::{corrupt, job_id, timestamp};
use crate::job::{FileType, Job, JobId, JobStatus, NewJob};
use crate::store::{Counts, QUEUED, StoreError, StoreResult, StoredWindow};

/// A row of `jobs`, without what only leases care for.
#[derive(FromRow)]
pub(super) struct JobRow {
    pub(super) id: String,
    filename: String,
    file_size: i64,
    file_type: String,
    duration: Option<f64>,
    wishes: String,
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
            wishes: serde_json::from_str(&row.wishes).map_err(|_| corrupt("set of wishes", &row.wishes))?,
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

pub(super) async fn insert(writer: &SqlitePool, job: NewJob, now: Timestamp) -> StoreResult<Job> {
    let wishes = serde_json::to_string(&job.wishes).map_err(|error| {
        StoreError::Database(format!("a job's wishes cannot be written as JSON: {error}"))
    })?;
    sqlx::query_as::<_, JobRow>(
        "INSERT INTO jobs (id, filename, file_size, file_type, duration, wishes, webhook_url, status, created_at, step)
         VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?)
         RETURNING *",
    )
    .bind(job.id.to_string())
    .bind(job.filename)
    .bind(job.file_size.cast_signed())
    .bind(job.file_type.as_str())
    .bind(job.duration)
    .bind(wishes)
    .bind(job.webhook_url)
    .bind(now.as_millisecond())
    .bind(QUEUED)
    .fetch_one(writer)
    .await?
    .try_into()
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
    ids.iter().map(|id| job_id(id)).collect()
}

pub(super) async fn unfinished(readers: &SqlitePool) -> StoreResult<Vec<JobId>> {
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id FROM jobs WHERE status IN ('pending', 'processing')")
            .fetch_all(readers)
            .await?;
    ids.iter().map(|id| job_id(id)).collect()
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

pub(super) async fn insert_window(
    transaction: &mut Transaction<'_, Sqlite>,
    job: JobId,
    window: &StoredWindow,
) -> StoreResult<()> {
    let transcript = serde_json::to_string(&window.transcript).map_err(|error| {
        StoreError::Database(format!("window {} cannot be written as JSON: {error}", window.index))
    })?;
    sqlx::query(
        r#"INSERT INTO windows (job_id, number, start, "end", transcript) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT DO NOTHING"#,
    )
    .bind(job.to_string())
    .bind(i64::try_from(window.index).unwrap_or(i64::MAX))
    .bind(window.start)
    .bind(window.end)
    .bind(transcript)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(super) async fn windows(readers: &SqlitePool, job: JobId) -> StoreResult<Vec<StoredWindow>> {
    let rows: Vec<(i64, f64, f64, String)> = sqlx::query_as(
        r#"SELECT number, start, "end", transcript FROM windows WHERE job_id = ? ORDER BY number"#,
    )
    .bind(job.to_string())
    .fetch_all(readers)
    .await?;
    let stored = |(number, start, end, transcript): (i64, f64, f64, String)| {
        Ok(StoredWindow {
            index: usize::try_from(number).map_err(|_| corrupt("window", &number.to_string()))?,
            start,
            end,
            transcript: serde_json::from_str(&transcript).map_err(|error| {
                StoreError::Database(format!("window {number} of job {job} cannot be read: {error}"))
            })?,
        })
    };
    rows.into_iter().map(stored).collect()
}

//! Reads many jobs at once: lists, what is ahead of a job in the queue, and how fast jobs went lately.

use jiff::Timestamp;
use serde_json::json;
use sqlx::sqlite::SqlitePool;

use super::jobs::{JobRow, valid_ids};
use super::timestamp;
use crate::jobs::{Job, JobId, JobStatus};
use crate::store::{Ahead, JobFilter, Run, StoreResult};

pub(super) async fn list(readers: &SqlitePool, filter: &JobFilter) -> StoreResult<Vec<Job>> {
    let statuses: Vec<&str> = filter.statuses.iter().map(|status| status.as_str()).collect();
    // Behind every job, if there is no cursor.
    let (before, id) = match filter.before {
        Some((created_at, id)) => (created_at.as_millisecond(), id.to_string()),
        None => (i64::MAX, String::new()),
    };
    let rows: Vec<JobRow> = sqlx::query_as(
        "SELECT * FROM jobs
         WHERE (created_at, id) < (?1, ?2) AND created_at >= ?3
             AND (?4 = '[]' OR status IN (SELECT value FROM json_each(?4)))
             AND (?5 = '' OR instr(search_name, ?5) > 0)
         ORDER BY created_at DESC, id DESC
         LIMIT ?6",
    )
    .bind(before)
    .bind(id)
    .bind(filter.since.map_or(i64::MIN, Timestamp::as_millisecond))
    .bind(json!(statuses).to_string())
    .bind(filter.name.to_lowercase())
    .bind(filter.limit)
    .fetch_all(readers)
    .await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        match Job::try_from(row) {
            Ok(job) => jobs.push(job),
            // The others are still shown; claiming or a query of this one says more.
            Err(error) => tracing::warn!("a job is left out of a list: {error}"),
        }
    }
    Ok(jobs)
}

pub(super) async fn ahead(readers: &SqlitePool, job: &Job) -> StoreResult<Ahead> {
    let (jobs, seconds): (i64, f64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE status = 'pending'),
             total(coalesce(duration, 0.0) * (100 - progress) / 100.0)
         FROM jobs
         WHERE status IN ('pending', 'processing')
             AND (status = 'processing' OR (created_at, rowid) < (?1, (SELECT rowid FROM jobs WHERE id = ?2)))",
    )
    .bind(job.created_at.as_millisecond())
    .bind(job.id.to_string())
    .fetch_one(readers)
    .await?;
    Ok(Ahead { jobs: jobs.cast_unsigned(), seconds })
}

pub(super) async fn recent_runs(readers: &SqlitePool, limit: u32) -> StoreResult<Vec<Run>> {
    let rows: Vec<(i64, i64, f64)> = sqlx::query_as(
        "SELECT started_at, completed_at, duration FROM jobs
         WHERE completed_at IS NOT NULL AND status = 'completed' AND started_at IS NOT NULL
             AND duration IS NOT NULL
         ORDER BY completed_at DESC LIMIT ?",
    )
    .bind(limit)
    .fetch_all(readers)
    .await?;
    let run = |(started_at, completed_at, seconds): (i64, i64, f64)| {
        Ok(Run { started_at: timestamp(started_at)?, completed_at: timestamp(completed_at)?, seconds })
    };
    rows.into_iter().map(run).collect()
}

/// The ids of jobs that ended before a moment, the oldest first.
pub(super) async fn ended_before(
    readers: &SqlitePool,
    before: Timestamp,
    limit: u32,
) -> StoreResult<Vec<JobId>> {
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM jobs WHERE completed_at IS NOT NULL AND completed_at < ? ORDER BY completed_at LIMIT ?",
    )
    .bind(before.as_millisecond())
    .bind(limit)
    .fetch_all(readers)
    .await?;
    Ok(valid_ids(&ids))
}

/// The ids of jobs that ended at or after a moment.
pub(super) async fn ended_since(readers: &SqlitePool, since: Timestamp) -> StoreResult<Vec<JobId>> {
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id FROM jobs WHERE completed_at IS NOT NULL AND completed_at >= ?")
            .bind(since.as_millisecond())
            .fetch_all(readers)
            .await?;
    Ok(valid_ids(&ids))
}

/// The newest job with this upload and these options (JSON) that was created at or after a moment and has not failed.
pub(super) async fn same_content(
    readers: &SqlitePool,
    content_hash: &str,
    options: &str,
    since: Timestamp,
) -> StoreResult<Option<JobId>> {
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM jobs
         WHERE content_hash = ? AND options = ? AND created_at >= ? AND status IN (?, ?, ?)
         ORDER BY created_at DESC, id DESC LIMIT 1",
    )
    .bind(content_hash)
    .bind(options)
    .bind(since.as_millisecond())
    .bind(JobStatus::Pending.as_str())
    .bind(JobStatus::Processing.as_str())
    .bind(JobStatus::Completed.as_str())
    .fetch_all(readers)
    .await?;
    Ok(valid_ids(&ids).first().copied())
}

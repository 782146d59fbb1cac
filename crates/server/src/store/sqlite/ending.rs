//! Ends jobs: writes status, result and webhook call in the same transaction.

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::{events, outbox};
use crate::jobs::JobStatus;
use crate::store::{CANCELLED, COMPLETED, FAILED, Outcome, QUEUED, StoreResult};

/// What is stored when a job ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    status: JobStatus,
    message: Option<&'a str>,
    detail: Option<&'a str>,
    result: Option<&'a str>,
}

impl<'a> End<'a> {
    pub(super) fn of(outcome: &'a Outcome) -> Self {
        match outcome {
            Outcome::Completed { result } => {
                Self { status: JobStatus::Completed, message: None, detail: None, result: Some(result) }
            }
            Outcome::Failed { message, detail, partial } => Self {
                status: JobStatus::Failed,
                message: Some(message),
                detail: detail.as_deref(),
                result: partial.as_deref(),
            },
        }
    }

    pub(super) fn failed(message: &'a str) -> Self {
        Self { status: JobStatus::Failed, message: Some(message), detail: None, result: None }
    }

    pub(super) fn cancelled(message: &'a str) -> Self {
        Self { status: JobStatus::Cancelled, ..Self::failed(message) }
    }

    fn step(self) -> &'static str {
        match self.status {
            JobStatus::Completed => COMPLETED,
            JobStatus::Cancelled => CANCELLED,
            _ => FAILED,
        }
    }
}

/// Ends a job: updates its status, deletes its windows, and inserts its result, webhook call and event. With a `token`,
/// only if that is the token of the job's lease. False if the job has ended already or the token is another.
pub(super) async fn end(
    connection: &mut SqliteConnection,
    id: &str,
    token: Option<&str>,
    end: End<'_>,
    now: Timestamp,
) -> StoreResult<bool> {
    let ended: Option<(Option<String>,)> = sqlx::query_as(
        "UPDATE jobs
         SET status = ?1, step = ?2, error_message = ?3, error_detail = ?4, completed_at = ?5,
             progress = iif(?1 = 'completed', 100, progress), process = NULL, lease_token = NULL,
             lease_expires_at = NULL
         WHERE id = ?6 AND status IN ('pending', 'processing') AND (?7 IS NULL OR lease_token = ?7)
         RETURNING webhook_url",
    )
    .bind(end.status.as_str())
    .bind(end.step())
    .bind(end.message)
    .bind(end.detail)
    .bind(now.as_millisecond())
    .bind(id)
    .bind(token)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((webhook_url,)) = ended else { return Ok(false) };
    sqlx::query("DELETE FROM windows WHERE job_id = ?").bind(id).execute(&mut *connection).await?;
    if let Some(result) = end.result {
        sqlx::query("INSERT INTO results (job_id, body) VALUES (?, ?)")
            .bind(id)
            .bind(result)
            .execute(&mut *connection)
            .await?;
    }
    if let Some(url) = webhook_url {
        outbox::insert(connection, id, &url, now).await?;
    }
    events::status(connection, id, end.status, now).await?;
    Ok(true)
}

/// Makes a job that has failed or was cancelled pending again. False if it is in another state.
pub(super) async fn retry(connection: &mut SqliteConnection, id: &str, now: Timestamp) -> StoreResult<bool> {
    let retried = sqlx::query(
        "UPDATE jobs
         SET status = 'pending', step = ?, started_at = NULL, completed_at = NULL, error_message = NULL,
             error_detail = NULL, progress = 0, strikes = 0, suspect_since = NULL, fingerprint = NULL,
             detected_language = NULL
         WHERE id = ? AND status IN ('failed', 'cancelled') AND NOT upload_given_up",
    )
    .bind(QUEUED)
    .bind(id)
    .execute(&mut *connection)
    .await?;
    if retried.rows_affected() == 0 {
        return Ok(false);
    }
    for table in ["results", "deliveries"] {
        let delete = sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE job_id = ?"));
        sqlx::query(delete).bind(id).execute(&mut *connection).await?;
    }
    events::anew(connection, id, JobStatus::Pending, now).await?;
    Ok(true)
}

/// Notes that the upload of a job that ended at or before a moment is removed. False if it has not ended by then.
pub(super) async fn give_up_upload(
    connection: &mut SqliteConnection,
    id: &str,
    ended_by: Timestamp,
) -> StoreResult<bool> {
    let given_up = sqlx::query("UPDATE jobs SET upload_given_up = 1 WHERE id = ? AND completed_at <= ?")
        .bind(id)
        .bind(ended_by.as_millisecond())
        .execute(connection)
        .await?;
    Ok(given_up.rows_affected() > 0)
}

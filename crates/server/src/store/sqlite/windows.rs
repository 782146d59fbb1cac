//! Rows of windows: begun, stored, and what a job can go on from.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use verbatim_speech::{Language, Segment};

use super::writing::held;
use super::{corrupt, events};
use crate::jobs::{JobId, JobStatus};
use crate::store::{
    Analyses, Checkpoint, EventKind, Lease, PAYLOAD_VERSION, StoreError, StoreResult, StoredWindow,
};

/// What a window is stored as. Made before the write lock is taken.
pub(super) struct Payload {
    transcript: String,
    /// The data of the segments' events, as JSON.
    segments: Vec<String>,
    /// JSON by kind.
    analyses: Vec<(String, String)>,
}

/// The data of an event of the kind [`EventKind::Segment`].
#[derive(Serialize)]
struct SegmentData<'a> {
    window: usize,
    #[serde(flatten)]
    segment: &'a Segment,
    language: Language,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<u64>,
}

impl Payload {
    pub(super) fn of(window: &StoredWindow) -> StoreResult<Self> {
        let failed = |error: serde_json::Error| {
            StoreError::Database(format!("window {} cannot be written as JSON: {error}", window.index))
        };
        let analysis = |(kind, found): (&String, &Value)| Ok((kind.clone(), serde_json::to_string(found)?));
        let segments = window.transcript.segments.iter().map(|segment| SegmentData {
            window: window.index,
            segment,
            language: window.transcript.language,
            channel: window.channel(),
        });
        Ok(Self {
            transcript: serde_json::to_string(&window.transcript).map_err(failed)?,
            segments: segments
                .map(|segment| serde_json::to_string(&segment))
                .collect::<Result<_, _>>()
                .map_err(failed)?,
            analyses: window.analyses.iter().map(analysis).collect::<Result<_, _>>().map_err(failed)?,
        })
    }
}

pub(super) async fn checkpoint(
    connection: &mut SqliteConnection,
    lease: &Lease,
    fingerprint: &str,
    now: Timestamp,
) -> StoreResult<Checkpoint> {
    let row: Option<(Option<String>, Option<String>)> =
        sqlx::query_as("SELECT fingerprint, detected_language FROM jobs WHERE id = ? AND lease_token = ?")
            .bind(lease.job.to_string())
            .bind(&lease.token)
            .fetch_optional(&mut *connection)
            .await?;
    let (made_with, language) = row.ok_or(StoreError::LeaseLost(lease.job))?;
    if made_with.as_deref() != Some(fingerprint) {
        return start_anew(connection, lease, fingerprint, now).await;
    }
    let numbers: Vec<i64> =
        sqlx::query_scalar("SELECT number FROM windows WHERE job_id = ? AND state = 'done'")
            .bind(lease.job.to_string())
            .fetch_all(&mut *connection)
            .await?;
    let windows = numbers.into_iter().map(index).collect::<StoreResult<HashSet<_>>>()?;
    let language =
        language.as_deref().map(|code| Language::parse(code).ok_or_else(|| corrupt("language", code)));
    Ok(Checkpoint { windows, language: language.transpose()?, discarded: 0 })
}

async fn start_anew(
    connection: &mut SqliteConnection,
    lease: &Lease,
    fingerprint: &str,
    now: Timestamp,
) -> StoreResult<Checkpoint> {
    let id = lease.job.to_string();
    let discarded: i64 =
        sqlx::query_scalar("SELECT count(*) FROM windows WHERE job_id = ? AND state = 'done'")
            .bind(&id)
            .fetch_one(&mut *connection)
            .await?;
    sqlx::query("DELETE FROM windows WHERE job_id = ?").bind(&id).execute(&mut *connection).await?;
    sqlx::query("UPDATE jobs SET fingerprint = ?, detected_language = NULL WHERE id = ?")
        .bind(fingerprint)
        .bind(&id)
        .execute(&mut *connection)
        .await?;
    if discarded > 0 {
        events::anew(connection, &id, JobStatus::Processing, now).await?;
    }
    Ok(Checkpoint { discarded: usize::try_from(discarded).unwrap_or(0), ..Checkpoint::default() })
}

/// The window's lease is the job's: in one process, whoever has cut a window also has it transcribed.
pub(super) async fn begin(
    connection: &mut SqliteConnection,
    lease: &Lease,
    number: usize,
    start: f64,
    end: f64,
) -> StoreResult<()> {
    let begun = sqlx::query(
        r#"INSERT INTO windows (job_id, number, start, "end", state, attempts, lease_token, lease_expires_at,
               payload_version)
           SELECT id, ?3, ?4, ?5, 'processing', 1, lease_token, lease_expires_at, ?6
           FROM jobs WHERE id = ?1 AND lease_token = ?2
           ON CONFLICT DO UPDATE SET state = 'processing', attempts = attempts + 1,
               lease_token = excluded.lease_token, lease_expires_at = excluded.lease_expires_at
           WHERE state <> 'done'"#,
    )
    .bind(lease.job.to_string())
    .bind(&lease.token)
    .bind(i64::try_from(number).unwrap_or(i64::MAX))
    .bind(start)
    .bind(end)
    .bind(PAYLOAD_VERSION)
    .execute(connection)
    .await?;
    held(lease, begun.rows_affected())
}

/// Stores a window; one that is stored already stays as it is. A job that has come further is above suspicion.
pub(super) async fn store(
    connection: &mut SqliteConnection,
    lease: &Lease,
    window: &StoredWindow,
    payload: &Payload,
    now: Timestamp,
) -> StoreResult<()> {
    let id = lease.job.to_string();
    let absolved = sqlx::query(
        "UPDATE jobs SET progressed = 1, strikes = 0, suspect_since = NULL WHERE id = ? AND lease_token = ?",
    )
    .bind(&id)
    .bind(&lease.token)
    .execute(&mut *connection)
    .await?;
    held(lease, absolved.rows_affected())?;
    let stored = sqlx::query(
        r#"INSERT INTO windows (job_id, number, start, "end", state, attempts, payload_version, transcript)
           VALUES (?1, ?2, ?3, ?4, 'done', 1, ?5, ?6)
           ON CONFLICT DO UPDATE SET start = ?3, "end" = ?4, state = 'done', lease_token = NULL,
               lease_expires_at = NULL, payload_version = ?5, transcript = ?6
           WHERE state <> 'done'"#,
    )
    .bind(&id)
    .bind(i64::try_from(window.index).unwrap_or(i64::MAX))
    .bind(window.start)
    .bind(window.end)
    .bind(PAYLOAD_VERSION)
    .bind(&payload.transcript)
    .execute(&mut *connection)
    .await?;
    if stored.rows_affected() > 0 {
        for segment in &payload.segments {
            events::append_json(&mut *connection, &id, EventKind::Segment, segment, now).await?;
        }
        for (kind, found) in &payload.analyses {
            sqlx::query("INSERT INTO analyses (job_id, number, kind, payload) VALUES (?, ?, ?, ?)")
                .bind(&id)
                .bind(i64::try_from(window.index).unwrap_or(i64::MAX))
                .bind(kind)
                .bind(found)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// Nobody has the job any more: what was being transcribed of it waits again.
pub(super) async fn requeue(connection: &mut SqliteConnection, job: &str) -> StoreResult<()> {
    sqlx::query(
        "UPDATE windows SET state = 'queued', lease_token = NULL, lease_expires_at = NULL
         WHERE job_id = ? AND state = 'processing'",
    )
    .bind(job)
    .execute(connection)
    .await?;
    Ok(())
}

/// The windows of a job whose numbers are at least `from`.
pub(super) async fn stored(readers: &SqlitePool, job: JobId, from: usize) -> StoreResult<Vec<StoredWindow>> {
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let rows: Vec<(i64, f64, f64, String)> = sqlx::query_as(
        r#"SELECT number, start, "end", transcript FROM windows WHERE job_id = ? AND number >= ? AND state = 'done'
           ORDER BY number"#,
    )
    .bind(job.to_string())
    .bind(from)
    .fetch_all(readers)
    .await?;
    let mut analyses = analyses(readers, job, from).await?;
    let stored = |(number, start, end, transcript): (i64, f64, f64, String)| {
        Ok(StoredWindow {
            index: index(number)?,
            start,
            end,
            transcript: read(job, number, &transcript)?,
            analyses: analyses.remove(&number).unwrap_or_default(),
        })
    };
    rows.into_iter().map(stored).collect()
}

/// What was found out about the windows of a job, by their numbers.
async fn analyses(readers: &SqlitePool, job: JobId, from: i64) -> StoreResult<BTreeMap<i64, Analyses>> {
    let rows: Vec<(i64, String, String)> =
        sqlx::query_as("SELECT number, kind, payload FROM analyses WHERE job_id = ? AND number >= ?")
            .bind(job.to_string())
            .bind(from)
            .fetch_all(readers)
            .await?;
    let mut found: BTreeMap<i64, Analyses> = BTreeMap::new();
    for (number, kind, payload) in rows {
        found.entry(number).or_default().insert(kind, read(job, number, &payload)?);
    }
    Ok(found)
}

fn read<T: DeserializeOwned>(job: JobId, number: i64, json: &str) -> StoreResult<T> {
    serde_json::from_str(json).map_err(|error| {
        StoreError::Database(format!("window {number} of job {job} cannot be read: {error}"))
    })
}

fn index(number: i64) -> StoreResult<usize> {
    usize::try_from(number).map_err(|_| corrupt("window", &number.to_string()))
}

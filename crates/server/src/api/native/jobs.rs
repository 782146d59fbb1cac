//! `/jobs`: lists jobs, and cancels, repeats and deletes single ones.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::PathJob;
use super::error::{ApiError, unreadable_query};
use super::status::Status;
use crate::api::ApiState;
use crate::api::intake::IntakeError;
use crate::jobs::{Job, JobId, JobStatus};
use crate::store::JobFilter;

/// The jobs in a list, if the client does not say how many.
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

#[derive(Debug, Serialize)]
pub(super) struct Processing {
    active_jobs: usize,
    max_workers: u32,
    processing_job_ids: Vec<JobId>,
}

/// `GET /jobs/processing`: the jobs that are being processed.
pub(super) async fn processing(State(state): State<ApiState>) -> Result<Json<Processing>, ApiError> {
    let ids = state.store().processing().await?;
    Ok(Json(Processing { active_jobs: ids.len(), max_workers: state.max_workers, processing_job_ids: ids }))
}

/// The query of `GET /jobs`. Blank parameters count as missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    status: String,
    since: String,
    q: String,
    limit: String,
    cursor: String,
}

#[derive(Debug, Serialize)]
pub(super) struct List {
    jobs: Vec<Status>,
    /// For the parameter `cursor` of the next request; null at the end.
    next_cursor: Option<String>,
}

/// `GET /jobs`: jobs, the newest first.
pub(super) async fn list(
    State(state): State<ApiState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<List>, ApiError> {
    let Query(query) = query.map_err(unreadable_query)?;
    let filter = query.filter()?;
    let limit = filter.limit;
    // One more tells whether there are more.
    let mut found = state.store().list(&JobFilter { limit: limit + 1, ..filter }).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).map(cursor);
    let mut jobs = Vec::with_capacity(found.len());
    for job in found {
        jobs.push(state.status_of(job).await?);
    }
    Ok(Json(List { jobs, next_cursor }))
}

impl ListQuery {
    fn filter(&self) -> Result<JobFilter, ApiError> {
        let statuses = given(&self.status).map_or(Ok(Vec::new()), |text| {
            let parsed = text.split(',').map(|status| JobStatus::parse(status.trim()).ok_or(status));
            parsed.collect::<Result<_, _>>().map_err(|status| {
                invalid(format!(
                    "The status “{status}” is not one of pending, processing, completed, failed and cancelled."
                ))
            })
        })?;
        let since = given(&self.since).map(|text| {
            text.parse()
                .map_err(|_| invalid(format!("since: “{text}” is not a time such as 2026-11-23T15:00:00Z.")))
        });
        let limit = given(&self.limit).map_or(Ok(DEFAULT_LIMIT), |text| match text.parse() {
            Ok(limit @ 1..=MAX_LIMIT) => Ok(limit),
            _ => Err(invalid(format!("limit: “{text}” is not a number from 1 to {MAX_LIMIT}."))),
        })?;
        let before = given(&self.cursor).map(|text| {
            parse_cursor(text)
                .ok_or_else(|| invalid(format!("cursor: “{text}” is not the next_cursor of a list.")))
        });
        Ok(JobFilter {
            statuses,
            since: since.transpose()?,
            name: self.q.trim().to_owned(),
            before: before.transpose()?,
            limit,
        })
    }
}

fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn invalid(sentence: String) -> ApiError {
    IntakeError::Invalid(sentence).into()
}

/// Where a list goes on behind this job.
fn cursor(job: &Job) -> String {
    format!("{}_{}", job.created_at.as_millisecond(), job.id)
}

fn parse_cursor(text: &str) -> Option<(Timestamp, JobId)> {
    let (created_at, id) = text.split_once('_')?;
    let created_at = Timestamp::from_millisecond(created_at.parse().ok()?).ok()?;
    Some((created_at, JobId::parse(id)?))
}

/// `POST /jobs/{job_id}/cancel`: ends a job that has not ended. It stays in the list.
pub(super) async fn cancel(
    State(state): State<ApiState>,
    PathJob(job): PathJob,
) -> Result<Json<Status>, ApiError> {
    if !state.intake.cancel(job.id, "The job was cancelled.").await? {
        return Err(ApiError::Conflict(format!(
            "The job has ended already: it is {}.",
            current(&state, &job).await
        )));
    }
    tracing::info!(job = %job.id, "job cancelled by request");
    let job = state.store().get(job.id).await?.unwrap_or(job);
    Ok(Json(state.status_of(job).await?))
}

/// `POST /jobs/{job_id}/retry`: does a job anew that has failed or was cancelled.
pub(super) async fn retry(
    State(state): State<ApiState>,
    PathJob(job): PathJob,
) -> Result<Json<Status>, ApiError> {
    let is_there = state.intake.blobs.open(job.id).await.is_ok();
    if !is_there || !state.store().retry(job.id, Timestamp::now()).await? {
        return Err(ApiError::Conflict(match current(&state, &job).await {
            "failed" | "cancelled" => {
                "The file of this job is not kept any more; send it again. UPLOAD_RETENTION keeps files for longer."
                    .into()
            }
            other => {
                format!("Only a job that has failed or was cancelled can be repeated; this one is {other}.")
            }
        }));
    }
    tracing::info!(job = %job.id, "job repeated by request");
    state.intake.notifiers.queued.notify();
    let job = state.store().get(job.id).await?.unwrap_or(job);
    Ok(Json(state.status_of(job).await?))
}

/// `DELETE /jobs/{job_id}`: removes a job with all that belongs to it, whatever its state.
pub(super) async fn delete(
    State(state): State<ApiState>,
    PathJob(job): PathJob,
) -> Result<StatusCode, ApiError> {
    let intake = state.intake.clone();
    // In a task of its own: a client that hangs up in the middle leaves no upload behind.
    let deleted = tokio::spawn(async move {
        intake.store.delete(job.id).await?;
        // The worker of the job, if it has one, stops.
        intake.notifiers.ended.notify();
        intake.blobs.remove(job.id).await.map_err(IntakeError::from)?;
        Ok::<_, ApiError>(())
    });
    deleted.await.map_err(ApiError::internal)??;
    tracing::info!(job = %job.id, "job deleted by request");
    Ok(StatusCode::NO_CONTENT)
}

/// The status of a job as it is now, in a word.
async fn current(state: &ApiState, job: &Job) -> &'static str {
    let now = state.store().get(job.id).await.ok().flatten();
    now.map_or(job.status, |job| job.status).as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_a_filter_and_wrong_values_a_sentence() {
        let query = ListQuery {
            status: "failed, cancelled".into(),
            since: "2026-11-23T15:00:00Z".into(),
            q: " Talk ".into(),
            limit: "7".into(),
            cursor: "1700000000000_550e8400-e29b-41d4-a716-446655440000".into(),
        };
        let filter = query.filter().unwrap();
        assert_eq!(filter.statuses, [JobStatus::Failed, JobStatus::Cancelled]);
        assert_eq!((filter.name.as_str(), filter.limit), ("Talk", 7));
        let (created_at, id) = filter.before.unwrap();
        assert_eq!((created_at.as_second(), id.to_string().len()), (1_700_000_000, 36));
        assert_eq!(ListQuery::default().filter().unwrap().limit, DEFAULT_LIMIT);
        let wrong = |query: ListQuery| query.filter().unwrap_err().to_string();
        for (query, says) in [
            (ListQuery { status: "done".into(), ..ListQuery::default() }, "“done”"),
            (ListQuery { since: "yesterday".into(), ..ListQuery::default() }, "“yesterday”"),
            (ListQuery { limit: "0".into(), ..ListQuery::default() }, "1 to 500"),
            (ListQuery { limit: "501".into(), ..ListQuery::default() }, "1 to 500"),
            (ListQuery { cursor: "x".into(), ..ListQuery::default() }, "next_cursor"),
        ] {
            assert!(wrong(query).contains(says), "{says}");
        }
    }
}

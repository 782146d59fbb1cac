//! `GET /jobs/{job_id}/events`: what happens to a job, as server-sent events; `GET /jobs/{job_id}/segments`: its transcript
//! so far.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::Event as SentEvent;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use super::PathJob;
use super::error::{ApiError, unreadable_query};
use crate::api::ApiState;
use crate::api::event_stream::event_stream;
use crate::api::following::{Followed, Follower};
use crate::api::waiting::parse;
use crate::jobs::result::NumberedSegment;
use crate::jobs::{JobId, JobStatus};
use crate::store::Event;
use crate::work::segments_of;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventsQuery {
    /// As the header `Last-Event-ID`, for clients that cannot set it.
    last_event_id: String,
}

/// Where a client that follows a job is.
enum Following {
    On(Box<Follower>),
    /// The last event was sent.
    Done,
}

/// All events of the job behind `Last-Event-ID`, then those that happen. Ends with the job; a client that asks again
/// then gets 204, which tells an `EventSource` not to ask any more.
pub(super) async fn events(
    State(state): State<ApiState>,
    PathJob(job): PathJob,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(unreadable_query)?;
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last: u64 = header.unwrap_or(&query.last_event_id).trim().parse().unwrap_or(0);
    if job.status.has_ended() && state.store().events(job.id, last, 1).await?.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let follower = Following::On(Box::new(Follower::new(&state, job.id, last)));
    let events = stream::unfold(follower, next_events).flat_map(stream::iter);
    Ok(event_stream(events))
}

async fn next_events(following: Following) -> Option<(Vec<SentEvent>, Following)> {
    let Following::On(mut follower) = following else { return None };
    match follower.next().await {
        Ok(Followed::Events(events)) => Some((events.iter().map(sent).collect(), Following::On(follower))),
        Ok(Followed::Deleted) => {
            let deleted = SentEvent::default().event("status").data(r#"{"status":"deleted"}"#);
            Some((vec![deleted], Following::Done))
        }
        Ok(Followed::Ended | Followed::Stopping) => None,
        Err(error) => {
            tracing::error!("events of a job cannot be read: {error}");
            None
        }
    }
}

fn sent(event: &Event) -> SentEvent {
    let sent = SentEvent::default().id(event.number.to_string()).event(event.kind.as_str());
    sent.data(event.data.to_string())
}

#[derive(Debug, Serialize)]
pub(super) struct Segments {
    job_id: JobId,
    status: JobStatus,
    /// In the order of the recording, numbered as far as they are there.
    segments: Vec<NumberedSegment>,
}

/// The segments of the windows that are stored, or of the result.
pub(super) async fn segments(
    State(state): State<ApiState>,
    PathJob(job): PathJob,
) -> Result<Json<Segments>, ApiError> {
    let windows = state.store().windows(job.id).await?;
    // The result replaces the windows.
    let segments = match state.store().result(job.id).await? {
        Some(result) => parse(&result)?.whisper_segments,
        None => segments_of(&windows),
    };
    Ok(Json(Segments { job_id: job.id, status: job.status, segments }))
}

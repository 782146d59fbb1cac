//! `stream=true`: the text as server-sent events, while windows end.
//!
//! Windows may end in any order. The text of one is sent once all windows before it have ended, so that the deltas
//! together are the text.

use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use verbatim_speech::Segment;
use verbatim_structure::transcript;

use super::error::OpenAiError;
use super::form::Wanted;
use super::render::{logprobs, usage};
use crate::api::ApiState;
use crate::api::event_stream::event_stream;
use crate::api::following::Changes;
use crate::api::intake::{Created, IntakeError};
use crate::api::waiting::{WaitError, parse, result_of_completed};
use crate::jobs::{Job, JobStatus};
use crate::store::StoredWindow;

/// A streamed answer.
struct Streaming {
    state: ApiState,
    created: Created,
    wanted: Wanted,
    changes: Changes,
    /// The number of the first window that was not sent.
    next_window: usize,
    /// The segments that were sent.
    segments: Vec<Segment>,
    /// The text that was sent.
    sent: String,
    is_done: bool,
}

pub(super) fn stream(state: &ApiState, created: Created, wanted: Wanted) -> Response {
    let streaming = Streaming {
        changes: Changes::of(state),
        state: state.clone(),
        created,
        wanted,
        next_window: 0,
        segments: Vec::new(),
        sent: String::new(),
        is_done: false,
    };
    let events = stream::unfold(streaming, Streaming::next).flat_map(stream::iter);
    event_stream(events)
}

impl Streaming {
    /// The next events; `None` after the last.
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        if self.is_done {
            return None;
        }
        let events = self.advance().await.unwrap_or_else(|error| {
            self.is_done = true;
            error.log();
            vec![event(&error.json())]
        });
        Some((events, self))
    }

    /// Waits for more text, or for the end.
    async fn advance(&mut self) -> Result<Vec<Event>, OpenAiError> {
        let (store, id) = (self.state.intake.store.clone(), self.created.job.id);
        loop {
            let job = store.get(id).await.map_err(IntakeError::from)?;
            let windows = store.windows_from(id, self.next_window).await.map_err(IntakeError::from)?;
            if let Some(delta) = self.grow(windows) {
                return Ok(vec![event(&delta)]);
            }
            match job {
                Some(job) if job.status.has_ended() => return self.finish(&job).await,
                Some(_) => {}
                None => return Err(failed("The job was deleted before it had ended.")),
            }
            if !self.changes.next().await {
                let sentence = "The server is stopping; send the file again once it is back.";
                return Err(IntakeError::Unavailable(sentence.into()).into());
            }
        }
    }

    /// Takes windows in, in order from the next one on, up to the first that is missing. The event with their text, if
    /// they have any.
    fn grow(&mut self, windows: Vec<StoredWindow>) -> Option<Value> {
        let before = self.segments.len();
        for window in windows {
            if window.index != self.next_window {
                break;
            }
            self.next_window += 1;
            self.segments.extend(window.transcript.segments);
        }
        if self.segments.len() == before {
            return None;
        }
        let text = transcript(&self.segments);
        self.delta(&text, before)
    }

    /// The event with the end of a text whose start was sent. `None` if there is nothing to send, or if the text has
    /// become another one, because its job had to start anew with another model.
    fn delta(&mut self, text: &str, segments_before: usize) -> Option<Value> {
        let delta = text.strip_prefix(self.sent.as_str()).filter(|delta| !delta.is_empty())?;
        let mut body = json!({ "type": "transcript.text.delta", "delta": delta });
        if self.wanted.logprobs {
            body["logprobs"] = logprobs(&self.segments[segments_before..]);
        }
        self.sent = text.to_owned();
        Some(body)
    }

    async fn finish(&mut self, job: &Job) -> Result<Vec<Event>, OpenAiError> {
        if job.status != JobStatus::Completed {
            return Err(failed(&job.error_sentence()));
        }
        let result = parse(&result_of_completed(&self.state, job.id).await?)?;
        let before = self.segments.len();
        let rest = result.whisper_segments.iter().skip(before).map(|numbered| numbered.segment.clone());
        self.segments.extend(rest);
        let mut events: Vec<Event> = self.delta(&result.transcript, before).iter().map(event).collect();
        let mut done = json!({
            "type": "transcript.text.done",
            "text": result.transcript,
            "usage": usage(&result, job.duration),
        });
        if self.wanted.logprobs {
            done["logprobs"] = logprobs(&self.segments);
        }
        events.push(event(&done));
        events.push(Event::default().data("[DONE]"));
        self.is_done = true;
        Ok(events)
    }
}

fn failed(sentence: &str) -> OpenAiError {
    WaitError::Failed(sentence.to_owned()).into()
}

fn event(data: &Value) -> Event {
    Event::default().data(data.to_string())
}

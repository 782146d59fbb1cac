//! Answers of server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{Stream, StreamExt};

/// The time between comments that keep a silent connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An answer that sends each event as it comes.
pub(super) fn event_stream(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let events = Sse::new(events.map(Ok::<_, Infallible>));
    // nginx would wait until it has a buffer full of them.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    (unbuffered, events.keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response()
}

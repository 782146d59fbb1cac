//! The body of a request until somebody reads it.

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::http::{HeaderMap, header};

use crate::api::intake::linger;

/// A body that may never be read, because the request is refused before.
#[derive(Debug)]
pub(super) struct Unread(Option<Body>);

impl Unread {
    pub(super) fn new(body: Body) -> Self {
        Self(Some(body))
    }

    /// Gives the body to its reader.
    pub(super) fn take(&mut self) -> BodyDataStream {
        self.0.take().unwrap_or_default().into_data_stream()
    }

    /// Reads and discards a body that nobody has taken, so that a client that is still sending gets its answer. One
    /// that waits for `100 Continue` sends nothing.
    pub(super) fn discard(self, headers: &HeaderMap) {
        if let Some(body) = self.0
            && !body.is_end_stream()
            && !headers.contains_key(header::EXPECT)
        {
            linger(body.into_data_stream());
        }
    }
}

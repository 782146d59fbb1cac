//! A middleware around every request: writes one log line, and answers with an error if the handler panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use uuid::Uuid;

use super::native::ApiError;

/// Runs the handler, logs the request, and turns a panic into [`ApiError::internal`].
pub(super) async fn log(request: Request, next: Next) -> Response {
    let mut line = AccessLine::new(&request);
    let mut response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            ApiError::internal(format!("a handler panicked: {}", panic_message(&*panic))).into_response()
        }
    };
    line.status = Some(response.status());
    if let Ok(id) = HeaderValue::try_from(line.id.to_string()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// The log line of one request. It is written on drop: when a client disconnects, the server drops the handler's future
/// and runs none of its code any more.
#[derive(Debug)]
struct AccessLine {
    /// Also in the answer, as `x-request-id`.
    id: Uuid,
    method: Method,
    /// Without the query, whose webhook address may hold a secret.
    path: String,
    started: Instant,
    /// `None` until the handler has answered.
    status: Option<StatusCode>,
}

impl AccessLine {
    fn new(request: &Request) -> Self {
        Self {
            id: Uuid::new_v4(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            started: Instant::now(),
            status: None,
        }
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let Self { id, method, path, .. } = self;
        let milliseconds = self.started.elapsed().as_millis() as u64;
        match self.status {
            Some(status) => {
                tracing::info!(request = %id, %method, path, status = status.as_u16(), milliseconds, "request")
            }
            None => tracing::info!(request = %id, %method, path, milliseconds, "request left by its client"),
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_problem() {
        async fn panics() {
            panic!("on purpose");
        }
        let router = Router::new().route("/", get(panics)).layer(from_fn(log));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["detail"], "Something went wrong on the server; its log says what.");
    }
}

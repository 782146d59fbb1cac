//! Resumable uploads: version 1.0 of the [tus protocol](https://tus.io/protocols/resumable-upload) with the extensions
//! [`EXTENSIONS`]. An upload has the id of the job that it becomes when its last byte has arrived.
//!
//! A request that is cut off leaves what has arrived of it; the client asks how much that is (`HEAD`) and sends the
//! rest (`PATCH`). Errors are those of Verbatim's own API (RFC 9457), with the statuses of the protocol.

mod checksum;
mod create;
mod delete;
mod error;
mod find;
mod finish;
mod headers;
mod inspect;
mod metadata;
mod protocol;
mod resume;
mod transfer;
mod unread;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use self::error::UploadError;
pub use self::finish::finish_uploads;
use self::protocol::{
    EXTENSIONS, METHOD_OVERRIDE, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_RESUMABLE,
    TUS_VERSION, VERSION,
};
use self::unread::Unread;
use super::ApiState;
use crate::jobs::JobId;

/// The routes. A method may also be given as `X-HTTP-Method-Override`, so each route takes all methods.
pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/uploads", any(collection))
        .route("/uploads/", any(collection))
        .route("/uploads/{id}", any(upload))
        .layer(map_response(with_version))
}

/// Every answer names the version of the protocol.
async fn with_version(mut response: Response) -> Response {
    response.headers_mut().insert(TUS_RESUMABLE, HeaderValue::from_static(VERSION));
    response
}

async fn collection(State(state): State<ApiState>, request: Request) -> Result<Response, UploadError> {
    let (head, body) = request.into_parts();
    let mut body = Unread::new(body);
    let answer = of_collection(&state, &head, &mut body).await;
    body.discard(&head.headers);
    answer
}

async fn of_collection(state: &ApiState, head: &Parts, body: &mut Unread) -> Result<Response, UploadError> {
    match method(head)? {
        Method::OPTIONS => Ok(options(state)),
        Method::POST => {
            require_version(head)?;
            create::create(&state.intake, &head.headers, body).await
        }
        method => Err(not_allowed(head, method, "POST, OPTIONS")),
    }
}

async fn upload(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, UploadError> {
    let (head, body) = request.into_parts();
    let mut body = Unread::new(body);
    let answer = of_upload(&state, &id, &head, &mut body).await;
    body.discard(&head.headers);
    answer
}

async fn of_upload(
    state: &ApiState,
    id: &str,
    head: &Parts,
    body: &mut Unread,
) -> Result<Response, UploadError> {
    let method = method(head)?;
    if method == Method::OPTIONS {
        return Ok(options(state));
    }
    if ![Method::HEAD, Method::PATCH, Method::DELETE].contains(&method) {
        return Err(not_allowed(head, method, "HEAD, PATCH, DELETE, OPTIONS"));
    }
    require_version(head)?;
    let id = JobId::parse(id).ok_or(UploadError::Unknown)?;
    match method {
        Method::HEAD => inspect::inspect(&state.intake, id).await,
        Method::PATCH => resume::resume(&state.intake, id, &head.headers, body).await,
        _ => delete::delete(&state.intake, id).await,
    }
}

/// The method of a request: clients that cannot send PATCH or DELETE send POST and name the method in a header.
fn method(head: &Parts) -> Result<Method, UploadError> {
    match head.headers.get(METHOD_OVERRIDE) {
        None => Ok(head.method.clone()),
        Some(name) => Method::from_bytes(name.as_bytes())
            .map_err(|_| UploadError::malformed("X-HTTP-Method-Override is not a method.")),
    }
}

fn require_version(head: &Parts) -> Result<(), UploadError> {
    let is_ours = head.headers.get(TUS_RESUMABLE).is_some_and(|version| version == VERSION);
    if is_ours { Ok(()) } else { Err(UploadError::Version) }
}

fn not_allowed(head: &Parts, method: Method, allowed: &'static str) -> UploadError {
    UploadError::MethodNotAllowed { path: head.uri.path().to_owned(), method, allowed }
}

/// What the server can do.
fn options(state: &ApiState) -> Response {
    let headers = [
        (TUS_VERSION, HeaderValue::from_static(VERSION)),
        (TUS_EXTENSION, HeaderValue::from_static(EXTENSIONS)),
        (TUS_MAX_SIZE, HeaderValue::from(state.intake.limits.max_file_size)),
        (TUS_CHECKSUM_ALGORITHM, HeaderValue::from_static(checksum::ALGORITHMS)),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

//! The routes of Verbatim's own API, one file for each resource.

mod error;
mod events;
mod health;
mod index;
mod jobs;
mod parameters;
mod process;
mod result;
mod status;
mod synchronous;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::routing::{get, post};

pub(super) use self::error::{ApiError, problem};
pub(super) use self::parameters::Parameters;
use super::ApiState;
use crate::jobs::{Job, JobId};

/// All routes. Unknown paths and methods are answered with [`ApiError`].
pub(super) fn router() -> Router<ApiState> {
    Router::new()
        .route("/", get(index::index))
        .route("/health", get(health::health))
        .route("/process", post(process::process))
        .route("/process-audio", post(synchronous::process_audio))
        .route("/process-video", post(synchronous::process_video))
        .route("/status/{id}", get(status::status))
        .route("/result/{id}", get(result::result))
        .route("/jobs", get(jobs::list))
        .route("/jobs/processing", get(jobs::processing))
        .route("/jobs/{id}", get(status::job).delete(jobs::delete))
        .route("/jobs/{id}/cancel", post(jobs::cancel))
        .route("/jobs/{id}/retry", post(jobs::retry))
        .route("/jobs/{id}/events", get(events::events))
        .route("/jobs/{id}/segments", get(events::segments))
        .fallback(no_such_path)
}

async fn no_such_path(uri: Uri) -> ApiError {
    ApiError::NotFound(format!("There is nothing at {}; GET / lists what there is.", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    ApiError::MethodNotAllowed(format!("{} does not take {method}; GET / lists what it takes.", uri.path()))
}

/// The job whose id is `{id}` in the path. Rejects with 404 if there is none.
struct PathJob(Job);

impl FromRequestParts<ApiState> for PathJob {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let unknown = || ApiError::NotFound("There is no such job.".into());
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| unknown())?;
        let id = JobId::parse(&id).ok_or_else(unknown)?;
        state.store().get(id).await?.map(Self).ok_or_else(unknown)
    }
}

//! The HTTP API: the router, and what its handlers share. One file a resource.

mod access;
mod error;
mod filename;
mod form;
mod health;
mod index;
mod jobs;
mod prober;
mod process;
mod result;
mod status;
mod synchronous;
mod upload;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::middleware::from_fn;
use axum::routing::{get, post};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use verbatim_whisper::Language;

use self::error::ApiError;
pub use self::prober::Prober;
use crate::config::UploadLimits;
use crate::files::Uploads;
use crate::job::{Job, JobId};
use crate::signals::{Alive, Bells, Trouble};
use crate::store::JobStore;

/// What the handlers work with.
#[derive(Clone)]
pub struct ApiState {
    pub store: Arc<dyn JobStore>,
    pub uploads: Uploads,
    /// Looks into uploads.
    pub prober: Prober,
    pub limits: UploadLimits,
    pub models_loaded: ModelsLoaded,
    /// Those that the Whisper model knows.
    pub languages: Arc<[Language]>,
    /// How many jobs are worked on at the same time.
    pub max_workers: u32,
    pub bells: Bells,
    /// The thread that computes.
    pub engine: Alive,
    /// The background processor.
    pub worker: Alive,
    /// What keeps it from working.
    pub trouble: Trouble,
    /// Cancelled when the server begins to stop.
    pub stopping: CancellationToken,
    pub started: Instant,
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState").field("uploads", &self.uploads).finish_non_exhaustive()
    }
}

/// The models that are in memory, by name.
#[derive(Debug, Clone, Serialize)]
pub struct ModelsLoaded {
    pub whisper: String,
    pub vad: String,
    /// Null where English is structured without.
    pub spacy: Option<String>,
    /// Null where topics are told apart without, or not at all.
    pub embedder: Option<String>,
}

/// Every route, and sentences in JSON for whatever is none.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/", get(index::index))
        .route("/health", get(health::health))
        .route("/process", post(process::process))
        .route("/process-audio", post(synchronous::process_audio))
        .route("/process-video", post(synchronous::process_video))
        .route("/status/{id}", get(status::status))
        .route("/result/{id}", get(result::result))
        .route("/jobs/processing", get(jobs::processing))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn(access::log))
        .with_state(state)
}

async fn no_such_path(uri: Uri) -> ApiError {
    ApiError::NotFound(format!("There is nothing at {}; GET / lists what there is.", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    ApiError::MethodNotAllowed(format!("{} does not take {method}; GET / lists what it takes.", uri.path()))
}

/// The job that `{id}` in a path names.
struct PathJob(Job);

impl FromRequestParts<ApiState> for PathJob {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let unknown = || ApiError::NotFound("There is no such job.".into());
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| unknown())?;
        let id = JobId::parse(&id).ok_or_else(unknown)?;
        state.store.get(id).await?.map(Self).ok_or_else(unknown)
    }
}

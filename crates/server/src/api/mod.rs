//! The HTTP API. [`intake`] makes a job of an upload and is the same for every dialect. A dialect translates requests
//! for [`intake`] and renders answers and errors in its own form: [`native`] is the dialect of Verbatim's own API,
//! [`uploads`] that of resumable uploads; [`openai`], [`asr`] (whisper-asr-webservice) and [`whisper_cpp`] are those of
//! other services.

mod access;
mod asr;
mod disposition;
mod event_stream;
mod following;
mod intake;
mod native;
mod openai;
mod outlook;
mod uploads;
mod waiting;
mod whisper_cpp;

use std::time::Instant;

use axum::Router;
use axum::middleware::from_fn;
use serde::Serialize;
use verbatim_structure::Structurer;

pub use self::intake::{Fetcher, Intake, KeysInUse, Prober};
pub use self::outlook::Outlook;
pub use self::uploads::finish_uploads;
use crate::signals::{Faults, Liveness};
use crate::store::JobStore;
use crate::work::LanguageDetector;

/// What all handlers share.
#[derive(Debug, Clone)]
pub struct ApiState {
    pub intake: Intake,
    pub structure_models: StructureModels,
    /// Finds the phrases that subtitles keep together.
    pub structurer: Structurer,
    /// How many jobs are processed at the same time.
    pub max_workers: u32,
    /// Whether the background processor runs.
    pub worker: Liveness,
    /// What keeps the background processor from working.
    pub faults: Faults,
    pub outlook: Outlook,
    pub detector: LanguageDetector,
    /// When the server started.
    pub started: Instant,
}

impl ApiState {
    fn store(&self) -> &dyn JobStore {
        self.intake.store.as_ref()
    }
}

/// The models that are in memory besides those that transcribe, by name.
#[derive(Debug, Clone, Serialize)]
pub struct StructureModels {
    pub vad: String,
    /// Null if no spaCy pipeline is loaded.
    pub spacy: Option<String>,
    /// Null if topics are found without a model, or not at all.
    pub embedder: Option<String>,
}

/// All routes. Unknown paths and methods are answered with errors in JSON.
pub fn router(state: ApiState) -> Router {
    native::router()
        .merge(uploads::router())
        .merge(openai::router())
        .merge(asr::router())
        .merge(whisper_cpp::router())
        .method_not_allowed_fallback(native::no_such_method)
        .layer(from_fn(access::log))
        .with_state(state)
}

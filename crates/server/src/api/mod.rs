//! The HTTP API. [`intake`] makes a job of an upload and knows no dialect; each dialect, of which [`native`] is the
//! contract's, translates its clients' requests to it and renders its own answers and errors.

mod access;
mod intake;
mod native;

use std::time::Instant;

use axum::Router;
use axum::middleware::from_fn;
use serde::Serialize;

pub use self::intake::{Intake, Prober};
use crate::signals::{Faults, Liveness};
use crate::store::JobStore;

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct ApiState {
    pub intake: Intake,
    pub models_loaded: ModelsLoaded,
    /// How many jobs are worked on at the same time.
    pub max_workers: u32,
    /// The recognizer.
    pub engine: Liveness,
    /// The background processor.
    pub worker: Liveness,
    /// What keeps it from working.
    pub faults: Faults,
    pub started: Instant,
}

impl ApiState {
    fn store(&self) -> &dyn JobStore {
        self.intake.store.as_ref()
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
    native::router().layer(from_fn(access::log)).with_state(state)
}

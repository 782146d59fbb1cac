//! `GET /health`: whether the parts of the service work, and how busy the background processor is.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use verbatim_kernels::chosen;
use verbatim_media::{Confinement, confinement};

use crate::api::{ApiState, StructureModels};
use crate::blobs::RESERVED_BYTES;
use crate::store::{Counts, StoreResult};

#[derive(Debug, Serialize)]
struct Health {
    /// `healthy`; `degraded`: uploads are refused or stay pending; `unhealthy`: nothing works.
    status: &'static str,
    version: &'static str,
    uptime_seconds: u64,
    models_loaded: Option<ModelsLoaded>,
    database: Database,
    disk: Disk,
    background_processor: BackgroundProcessor,
    /// By kind of computation, the instruction set that it uses.
    kernels: BTreeMap<&'static str, String>,
    /// What restricts ffmpeg to the file that it is given.
    sandbox: Confinement,
}

/// The models that are in memory, by name.
#[derive(Debug, Serialize)]
struct ModelsLoaded {
    /// The default model, or another one where it is not loaded; null if none is.
    whisper: Option<String>,
    /// All Whisper models.
    recognizers: Vec<String>,
    #[serde(flatten)]
    structure: StructureModels,
}

#[derive(Debug, Serialize)]
struct Database {
    ok: bool,
    /// A sentence; null if the database works.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Disk {
    /// Null if it cannot be determined.
    free_bytes: Option<u64>,
    /// False once uploads are refused.
    ok: bool,
}

#[derive(Debug, Serialize)]
struct BackgroundProcessor {
    running: bool,
    /// What keeps it from working, as a sentence; null if it works.
    error: Option<String>,
    /// Null without a database.
    active_jobs: Option<u64>,
    pending_jobs: Option<u64>,
    max_workers: u32,
}

pub(super) async fn health(State(state): State<ApiState>) -> impl IntoResponse {
    let counts = counts(&state).await;
    let free_bytes = state.intake.blobs.free_bytes().ok();
    let disk_ok = free_bytes.is_some_and(|free| free >= RESERVED_BYTES);
    let engine_ok = state.intake.recognizers.is_alive();
    let running = state.worker.is_alive();
    let (counts, error) = match counts {
        Ok(counts) => (Some(counts), None),
        Err(error) => (None, Some(sentence(&error.to_string()))),
    };
    let fault = state.faults.current().map(|fault| sentence(&fault));
    let works = disk_ok && running && fault.is_none();
    let (code, status) = match (counts.is_some() && engine_ok, works) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
        (true, false) => (StatusCode::OK, "degraded"),
        (true, true) => (StatusCode::OK, "healthy"),
    };
    let health = Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: state.started.elapsed().as_secs(),
        models_loaded: engine_ok.then(|| models_loaded(&state)),
        database: Database { ok: counts.is_some(), error },
        disk: Disk { free_bytes, ok: disk_ok },
        background_processor: BackgroundProcessor {
            running,
            error: fault,
            active_jobs: counts.map(|counts| counts.processing),
            pending_jobs: counts.map(|counts| counts.pending),
            max_workers: state.max_workers,
        },
        kernels: chosen().into_iter().map(|one| (one.what, one.instruction_set)).collect(),
        sandbox: confinement(),
    };
    (code, Json(health))
}

fn models_loaded(state: &ApiState) -> ModelsLoaded {
    let mut recognizers = state.intake.recognizers.loaded();
    recognizers.sort();
    let default = state.intake.recognizers.default_name();
    let whisper = recognizers.iter().find(|name| *name == default).or(recognizers.first()).cloned();
    ModelsLoaded { whisper, recognizers, structure: state.structure_models.clone() }
}

/// Fails if the database cannot be used.
async fn counts(state: &ApiState) -> StoreResult<Counts> {
    let counts = async {
        state.store().check().await?;
        state.store().counts().await
    };
    counts.await.inspect_err(|error| tracing::error!("the database is not well: {error}"))
}

/// Makes a sentence of an error text: first letter in upper case, and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

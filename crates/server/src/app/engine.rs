//! Loads the models of speech and starts our engine behind the trait of recognizers.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use verbatim_speech::Language;
use verbatim_vad::Vad;
use verbatim_whisper::{ENGINE_VERSION, Model, Transcriber};

use super::AppError;
use crate::models::hash_model;
use crate::recognizer::cpu::{CpuRecognizer, Parallelism};
use crate::recognizer::{Recognizer, RecognizerModel};
use crate::settings::{EngineSettings, ModelSettings};

/// What sound is transcribed with.
pub type Recognition = (Arc<dyn Recognizer>, Arc<Vad>);

/// Blocks for about a second.
pub(super) fn start(settings: &ModelSettings, engine: &EngineSettings) -> Result<Recognition, AppError> {
    require_model(settings)?;
    let (path, vad_path) = (settings.whisper_path(), settings.vad_path());
    let hashing = thread::Builder::new().name("model-hash".to_owned());
    let hashing = hashing.spawn(move || hash_model(&path, &vad_path))?;
    let compute = engine.compute();
    load(settings, engine, move || {
        let hash = hashing.join().unwrap_or_else(|_| Err(io::Error::other("hashing the model panicked")))?;
        Ok(format!("{hash} {compute:?} {ENGINE_VERSION}"))
    })
}

/// As [`start`], where nothing is stored that another start might go on with: the model has no fingerprint then, which
/// saves the time of reading all of its files.
pub(crate) fn start_without_fingerprint(
    settings: &ModelSettings,
    engine: &EngineSettings,
) -> Result<Recognition, AppError> {
    require_model(settings)?;
    load(settings, engine, || Ok(String::new()))
}

fn require_model(settings: &ModelSettings) -> Result<(), AppError> {
    let (path, model) = (settings.whisper_path(), &settings.whisper_model);
    match path.exists() {
        true => Ok(()),
        false if model.is_path() => Err(AppError::NoModel { path }),
        false => Err(AppError::NotFetched { path, model: model.clone() }),
    }
}

fn load(
    settings: &ModelSettings,
    engine: &EngineSettings,
    fingerprint: impl FnOnce() -> io::Result<String>,
) -> Result<Recognition, AppError> {
    let begun = Instant::now();
    let vad = Vad::load(&settings.vad_path())?;
    let transcriber = Transcriber::new(Model::load(&settings.whisper_path(), engine.compute())?);
    let name = settings.whisper_model.name();
    tracing::info!(model = name, seconds = begun.elapsed().as_secs_f32(), "model loaded");
    let model = RecognizerModel {
        name: name.to_owned(),
        fingerprint: fingerprint()?,
        languages: Language::all().filter(|language| transcriber.model().knows(*language)).collect(),
    };
    let parallelism = Parallelism { threads: engine.threads(), batch_size: engine.batch_size() };
    let recognizer = CpuRecognizer::start(transcriber, model, parallelism).map_err(io::Error::other)?;
    Ok((Arc::new(recognizer), Arc::new(vad)))
}

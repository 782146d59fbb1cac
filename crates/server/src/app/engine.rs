//! Loads the models of speech and starts our engine behind the trait of recognizers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use verbatim_speech::Language;
use verbatim_vad::Vad;
use verbatim_whisper::{ENGINE_VERSION, Model, Transcriber};

use super::AppError;
use crate::models::hash_model;
use crate::recognizer::cpu::{CpuRecognizer, Parallelism};
use crate::recognizer::{PoolLimits, Recognizer, RecognizerModel, RecognizerPool, RecognizerSource};
use crate::settings::{EngineSettings, ModelSettings, WhisperModel};

/// What sound is transcribed with.
pub type Recognition = (RecognizerPool, Arc<Vad>);

/// Loads the default model and voice activity detection. Blocks for about a second.
pub(super) fn start(
    settings: &ModelSettings,
    engine: &EngineSettings,
    limits: PoolLimits,
) -> Result<Recognition, AppError> {
    require_model(settings)?;
    let vad = Vad::load(&settings.vad_path())?;
    let models = LocalModels { settings: settings.clone(), engine: engine.clone() };
    let recognizer = models.load_from(settings.whisper_model.name(), &settings.whisper_path())?;
    Ok((RecognizerPool::with_default(models, limits, recognizer), Arc::new(vad)))
}

/// The models of this machine: those in the models' folder, and the default one wherever it is.
#[derive(Debug)]
struct LocalModels {
    settings: ModelSettings,
    engine: EngineSettings,
}

impl LocalModels {
    /// The folder or file of a model.
    fn path(&self, name: &str) -> PathBuf {
        if name == self.settings.whisper_model.name() {
            return self.settings.whisper_path();
        }
        let dir: &Path = &self.settings.models_dir;
        let folder = dir.join(name);
        if folder.is_dir() { folder } else { dir.join(format!("{name}.bin")) }
    }

    fn load_from(&self, name: &str, path: &Path) -> Result<Arc<dyn Recognizer>, AppError> {
        let (hashed, vad_path) = (path.to_owned(), self.settings.vad_path());
        let hashing = thread::Builder::new().name("model-hash".to_owned());
        let hashing = hashing.spawn(move || hash_model(&hashed, &vad_path))?;
        let compute = self.engine.compute();
        load(name, path, &self.engine, move || {
            let hash =
                hashing.join().unwrap_or_else(|_| Err(io::Error::other("hashing the model panicked")))?;
            Ok(format!("{hash} {compute:?} {ENGINE_VERSION}"))
        })
    }
}

impl RecognizerSource for LocalModels {
    fn default_name(&self) -> &str {
        self.settings.whisper_model.name()
    }

    fn names(&self) -> Vec<String> {
        let mut names = models_in(&self.settings.models_dir).unwrap_or_else(|error| {
            tracing::warn!("the folder of models cannot be read: {error}");
            Vec::new()
        });
        names.push(self.default_name().to_owned());
        names.sort();
        names.dedup();
        names
    }

    fn languages(&self, name: &str) -> Result<Arc<[Language]>, String> {
        Model::languages(&self.path(name)).map(Into::into).map_err(|error| error.to_string())
    }

    fn load(&self, name: &str) -> Result<Arc<dyn Recognizer>, String> {
        self.load_from(name, &self.path(name)).map_err(|error| error.to_string())
    }
}

/// The names of the Whisper models in a folder: folders in CTranslate2's format, and files of whisper.cpp.
fn models_in(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(WhisperModel::parse) else {
            continue;
        };
        let is_folder = || path.join("model.bin").is_file() && path.join("config.json").is_file();
        let is_file = || path.is_file() && path.extension().is_some_and(|extension| extension == "bin");
        match name {
            Ok(model) if model.name().starts_with("ggml-") && is_file() => {
                names.push(model.name().to_owned())
            }
            Ok(model) if is_folder() => names.push(model.name().to_owned()),
            _ => {}
        }
    }
    Ok(names)
}

/// The default model and voice activity detection, where nothing is stored that another start might go on with: the
/// model has no fingerprint then, which saves the time of reading all of its files.
pub(crate) fn start_without_fingerprint(
    settings: &ModelSettings,
    engine: &EngineSettings,
) -> Result<(Arc<dyn Recognizer>, Arc<Vad>), AppError> {
    require_model(settings)?;
    let vad = Vad::load(&settings.vad_path())?;
    let (name, path) = (settings.whisper_model.name(), settings.whisper_path());
    Ok((load(name, &path, engine, || Ok(String::new()))?, Arc::new(vad)))
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
    name: &str,
    path: &Path,
    engine: &EngineSettings,
    fingerprint: impl FnOnce() -> io::Result<String>,
) -> Result<Arc<dyn Recognizer>, AppError> {
    let begun = Instant::now();
    let transcriber = Transcriber::new(Model::load(path, engine.compute())?);
    tracing::info!(model = name, seconds = begun.elapsed().as_secs_f32(), "model loaded");
    let model = RecognizerModel {
        name: name.to_owned(),
        fingerprint: fingerprint()?,
        languages: Language::all().filter(|language| transcriber.model().knows(*language)).collect(),
    };
    let parallelism = Parallelism { threads: engine.threads(), batch_size: engine.batch_size() };
    let recognizer = CpuRecognizer::start(transcriber, model, parallelism).map_err(io::Error::other)?;
    Ok(Arc::new(recognizer))
}

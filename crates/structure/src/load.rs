//! Loads the models that transcripts are structured with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::embedder::{Embedder, EmbedderError};
use crate::english::English;
use crate::structurer::Structurer;
use crate::topics::TopicOptions;

/// The embedder's folder in the models' folder.
const EMBEDDER: &str = "all-minilm-l6-v2";

/// Which models to load, and how topics are found.
#[derive(Debug, Clone, PartialEq)]
pub struct StructurerOptions {
    /// The folder with a subfolder for each model.
    pub models_dir: PathBuf,
    /// The pipeline for English.
    pub spacy_model: SpacyModel,
    /// `None` if topics are turned off.
    pub topics: Option<TopicOptions>,
}

/// The spaCy pipeline that English text is analyzed with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SpacyModel {
    /// [`SpacyModel::DEFAULT`] if it is installed, otherwise none.
    #[default]
    IfPresent,
    /// None: English is split into sentences by rule.
    Off,
    /// The one in the folder of that name. It is an error if it is missing.
    Named(String),
}

impl SpacyModel {
    /// The name of the pipeline that is loaded if no other is named.
    pub const DEFAULT: &str = "en_core_web_sm";
}

/// Why a model cannot be loaded: it is damaged, or was asked for by name and is missing.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Embedder(#[from] EmbedderError),
    #[error(
        "there is no spaCy pipeline in {}; SPACY_MODEL names a folder of MODELS_DIR, or is none to do without",
        path.display()
    )]
    NoPipeline { path: PathBuf },
    #[error(transparent)]
    Pipeline(#[from] verbatim_spacy::LoadError),
}

impl Structurer {
    /// Loads the models. Logs a missing one and continues without it, unless it was asked for by name. Blocks for
    /// about a second.
    ///
    /// # Errors
    /// If a model is damaged, or was asked for by name and is missing.
    pub fn load(options: &StructurerOptions) -> Result<Self, LoadError> {
        let StructurerOptions { models_dir, spacy_model, topics } = options;
        let embedder = if topics.is_some() { load_embedder(models_dir)? } else { None };
        Ok(Self { english: load_english(spacy_model, models_dir)?, embedder, topics: *topics })
    }
}

fn load_embedder(models_dir: &Path) -> Result<Option<Arc<Embedder>>, LoadError> {
    let path = models_dir.join(EMBEDDER);
    if path.exists() {
        return Ok(Some(Arc::new(Embedder::load(&path)?)));
    }
    let path = path.display();
    tracing::info!("there is no model in {path}; topics are told apart by their words alone");
    Ok(None)
}

fn load_english(model: &SpacyModel, models_dir: &Path) -> Result<Option<Arc<English>>, LoadError> {
    let name = match model {
        SpacyModel::Off => return Ok(None),
        SpacyModel::Named(name) => name,
        SpacyModel::IfPresent => SpacyModel::DEFAULT,
    };
    let path = models_dir.join(name);
    if path.exists() {
        return Ok(Some(Arc::new(English::load(&path, name)?)));
    }
    if *model != SpacyModel::IfPresent {
        return Err(LoadError::NoPipeline { path });
    }
    let path = path.display();
    tracing::info!(
        "there is no spaCy pipeline in {path}; English is cut into sentences by rule, without entities"
    );
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(models_dir: &Path, spacy_model: SpacyModel) -> Result<Structurer, LoadError> {
        let topics = Some(TopicOptions::default());
        Structurer::load(&StructurerOptions { models_dir: models_dir.to_owned(), spacy_model, topics })
    }

    #[test]
    fn missing_models_are_errors_only_if_asked_for_by_name() {
        let empty = tempfile::tempdir().unwrap();
        for model in [SpacyModel::IfPresent, SpacyModel::Off] {
            let structurer = load(empty.path(), model).unwrap();
            assert!(structurer.english.is_none() && structurer.embedder.is_none(), "{structurer:?}");
            assert_eq!(structurer.topics, Some(TopicOptions::default()));
        }
        let missing = load(empty.path(), SpacyModel::Named("en_core_web_sm".to_owned())).unwrap_err();
        assert!(missing.to_string().contains("SPACY_MODEL"), "{missing}");
    }

    #[test]
    fn a_damaged_model_is_an_error() {
        for name in [SpacyModel::DEFAULT, EMBEDDER] {
            let models = tempfile::tempdir().unwrap();
            std::fs::create_dir(models.path().join(name)).unwrap();
            let error = load(models.path(), SpacyModel::IfPresent).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

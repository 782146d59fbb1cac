//! The models that Verbatim knows, with their files as `models.toml` pins them: lists, verifies and fetches them.

mod error;
mod fetch;
mod part;
mod retry;
mod verify;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use error::HubError;
pub use fetch::Hub;
pub(crate) use retry::retry_after;
pub use verify::{State, check, hash_model, quick_check};

/// `models.toml` as it was when this program was built.
const MANIFEST: &str = include_str!("../../../../models.toml");

/// All known models.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    #[serde(rename = "model")]
    pub models: Vec<KnownModel>,
}

/// A model and its files.
#[derive(Debug, Clone, Deserialize)]
pub struct KnownModel {
    pub name: String,
    /// Its folder, relative to the models' folder.
    directory: PathBuf,
    #[serde(default)]
    pub kind: Kind,
    /// Its repository on the hub. A model without a repository comes only in Python packages.
    repository: Option<String>,
    revision: Option<String>,
    pub files: Vec<PinnedFile>,
    #[serde(default)]
    packages: Vec<PackageSet>,
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Speech recognition.
    #[default]
    Whisper,
    /// Voice activity detection.
    Vad,
    /// Vectors of sentences, for topics.
    Embedder,
    /// A spaCy pipeline: sentences, entities and keywords.
    Spacy,
}

/// A file with its expected size and hash. Without them, only the revision on the hub pins it.
#[derive(Debug, Clone, Deserialize)]
pub struct PinnedFile {
    pub name: String,
    pub bytes: Option<u64>,
    /// In lower-case hexadecimal.
    pub sha256: Option<String>,
}

/// Python packages that contain the same model. Their files may differ from those on the hub, and have hashes of their
/// own.
#[derive(Debug, Clone, Deserialize)]
struct PackageSet {
    requirements: Vec<String>,
    files: Vec<PinnedFile>,
}

impl Manifest {
    /// The manifest that is built into this program.
    pub fn built_in() -> Result<Self, String> {
        Self::parse(MANIFEST)
    }

    /// Parses the text of `models.toml`.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| format!("models.toml cannot be read: {error}"))
    }

    /// The models with these names. Fails if a name is unknown; the error names the known ones.
    pub fn find(&self, names: &[String]) -> Result<Vec<&KnownModel>, String> {
        names.iter().map(|name| self.find_one(name)).collect()
    }

    /// The Whisper model with this name, if it is known.
    pub fn whisper(&self, name: &str) -> Option<&KnownModel> {
        self.models.iter().find(|model| model.kind == Kind::Whisper && model.name == name)
    }

    fn find_one(&self, name: &str) -> Result<&KnownModel, String> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| {
            let known: Vec<_> = self.models.iter().map(|model| model.name.as_str()).collect();
            format!("there is no model “{name}”; there are {}", known.join(", "))
        })
    }
}

impl KnownModel {
    /// The folder of its files.
    pub fn dir(&self, models_dir: &Path) -> PathBuf {
        models_dir.join(&self.directory)
    }

    /// The sets of files each of which is the complete model: first that of the hub, then those of packages.
    fn file_sets(&self) -> impl Iterator<Item = &[PinnedFile]> {
        let packages = self.packages.iter().map(|package| package.files.as_slice());
        std::iter::once(self.files.as_slice()).chain(packages)
    }

    /// The size of its files in bytes, without files of unknown size.
    pub fn size(&self) -> u64 {
        self.files.iter().filter_map(|file| file.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Component;

    use super::*;

    #[test]
    fn the_built_in_manifest_is_consistent() {
        let manifest = Manifest::built_in().unwrap();
        let names: HashSet<_> = manifest.models.iter().map(|model| &model.name).collect();
        assert_eq!(names.len(), manifest.models.len(), "names are unique");
        for model in &manifest.models {
            assert!(model.directory.is_relative(), "{}", model.name);
            assert!(model.repository.is_some() == model.revision.is_some(), "{}", model.name);
            assert!(model.repository.is_some() || !model.packages.is_empty(), "{}", model.name);
            for file in model.file_sets().flatten() {
                let is_hash = |hash: &String| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
                assert!(file.sha256.as_ref().is_none_or(is_hash), "{}/{}", model.name, file.name);
                let mut parts = Path::new(&file.name).components();
                let stays = parts.all(|part| matches!(part, Component::Normal(_)));
                let in_folder = file.name.contains('/');
                assert!(stays && (!in_folder || model.kind == Kind::Spacy), "{}/{}", model.name, file.name);
            }
            let weights = model.files.iter().find(|file| file.name == "model.bin");
            assert!(
                weights.is_none_or(|file| file.bytes.is_some() && file.sha256.is_some()),
                "{}",
                model.name
            );
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let manifest = Manifest::built_in().unwrap();
        let error = manifest.find(&["base".into(), "huge".into()]).unwrap_err();
        assert!(error.contains("“huge”") && error.contains("large-v3-turbo"), "{error}");
    }
}

//! The model files that Verbatim knows, as `models.toml` pins them: which are here, whether they are
//! what they should be, and where to get them.

mod error;
mod fetch;
mod part;
mod retry;
mod verify;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use error::HubError;
pub use fetch::Hub;
pub use verify::{State, check, hash_model, quick_check};

/// `models.toml` as it was when this program was built.
const MANIFEST: &str = include_str!("../../../../models.toml");

#[derive(Debug, Deserialize)]
pub struct Manifest {
    #[serde(rename = "model")]
    pub models: Vec<KnownModel>,
}

/// A model and its files.
#[derive(Debug, Clone, Deserialize)]
pub struct KnownModel {
    pub name: String,
    /// In the models' folder.
    directory: PathBuf,
    #[serde(default)]
    pub kind: Kind,
    /// On the hub; a model without comes in a package alone.
    repository: Option<String>,
    revision: Option<String>,
    pub files: Vec<PinnedFile>,
    #[serde(default)]
    packages: Vec<PackageSet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Whisper,
    /// Voice activity detection.
    Vad,
    /// Sentences to vectors.
    Embedder,
    /// A pipeline for text, as spaCy publishes it.
    Spacy,
}

/// A file as it has to be. Without size and hash, the hub's revision alone pins it.
#[derive(Debug, Clone, Deserialize)]
pub struct PinnedFile {
    pub name: String,
    pub bytes: Option<u64>,
    /// In lower-case hexadecimal.
    pub sha256: Option<String>,
}

/// Python packages that carry the same model, perhaps written anew and with hashes of their own.
#[derive(Debug, Clone, Deserialize)]
struct PackageSet {
    requirements: Vec<String>,
    files: Vec<PinnedFile>,
}

impl Manifest {
    /// The models that this program was built to know.
    pub fn built_in() -> Result<Self, String> {
        Self::parse(MANIFEST)
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| format!("models.toml cannot be read: {error}"))
    }

    /// The models of these names, all of them known.
    pub fn find(&self, names: &[String]) -> Result<Vec<&KnownModel>, String> {
        names.iter().map(|name| self.one(name)).collect()
    }

    fn one(&self, name: &str) -> Result<&KnownModel, String> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| {
            let known: Vec<_> = self.models.iter().map(|model| model.name.as_str()).collect();
            format!("there is no model “{name}”; there are {}", known.join(", "))
        })
    }
}

impl KnownModel {
    /// Where its files are.
    pub fn dir(&self, models_dir: &Path) -> PathBuf {
        models_dir.join(&self.directory)
    }

    /// The sets of files that each make the model whole: the hub's, then those of packages.
    fn file_sets(&self) -> impl Iterator<Item = &[PinnedFile]> {
        let packages = self.packages.iter().map(|package| package.files.as_slice());
        std::iter::once(self.files.as_slice()).chain(packages)
    }

    /// Bytes of its files, as far as they are known.
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
    fn the_built_in_manifest_is_sound() {
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

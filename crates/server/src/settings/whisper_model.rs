//! The setting of the Whisper model.

use std::fmt;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

/// A Whisper model: the name of a folder or file in the models' folder, or a path to one elsewhere. A text with a
/// separator, such as `./base`, is a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhisperModel(String);

/// Whether a text can be the name of a file or folder in the models' folder.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !text.is_empty() && !text.starts_with('.') && text.chars().all(is_plain)
}

impl WhisperModel {
    /// Accepts a name or a path. The error is the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if is_name(text) || text.contains(MAIN_SEPARATOR) {
            return Ok(Self(text.into()));
        }
        Err(format!(
            "“{text}” is neither a model's name, such as base or large-v3, nor a path, such as ./ggml-base.bin"
        ))
    }

    /// The path of the model: a folder in CTranslate2's format, or a ggml file of whisper.cpp.
    pub fn path(&self, models_dir: &Path) -> PathBuf {
        if self.is_path() { PathBuf::from(&self.0) } else { models_dir.join(&self.0) }
    }

    /// Whether it is a path, and not a name in the models' folder.
    pub fn is_path(&self) -> bool {
        self.0.contains(MAIN_SEPARATOR)
    }

    /// The name in results and log lines: that of its folder or file, without `.bin`.
    pub fn name(&self) -> &str {
        let last = Path::new(&self.0).file_name().and_then(|name| name.to_str()).unwrap_or(&self.0);
        last.strip_suffix(".bin").unwrap_or(last)
    }
}

/// Writes the text of the setting.
impl fmt::Display for WhisperModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_the_models_folder_and_a_path_is_used_unchanged() {
        for (text, path, name) in [
            ("base", "models/base", "base"),
            ("distil-large-v3.5", "models/distil-large-v3.5", "distil-large-v3.5"),
            ("ggml-base-q5_1.bin", "models/ggml-base-q5_1.bin", "ggml-base-q5_1"),
            ("/srv/whisper models/ggml-base.bin", "/srv/whisper models/ggml-base.bin", "ggml-base"),
            ("./small", "./small", "small"),
            ("../small/", "../small/", "small"),
            ("/", "/", "/"),
        ] {
            let model = WhisperModel::parse(text).unwrap();
            assert_eq!(model.path(Path::new("models")), Path::new(path));
            assert_eq!(model.name(), name);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", ".", "..", "base model", "größe"] {
            assert!(WhisperModel::parse(text).unwrap_err().contains(&format!("“{text}”")), "{text}");
        }
    }
}

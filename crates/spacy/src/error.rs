//! What can be wrong with a pipeline folder, in sentences.

use std::path::{Path, PathBuf};

/// Why a pipeline could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file of the folder that is not there, or cannot be read.
    #[error(
        "cannot read {}: {source}; is its folder a whole spaCy pipeline such as en_core_web_sm 3.8?",
        file.display()
    )]
    Read { file: PathBuf, source: std::io::Error },

    /// A file whose content is broken, or not what this crate understands.
    #[error("{} is damaged or not of a pipeline known here: {reason}; fetch the pipeline anew", file.display())]
    Damaged { file: PathBuf, reason: String },
}

/// The content of a file of the folder.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(file).map_err(|source| LoadError::Read { file: file.to_owned(), source })
}

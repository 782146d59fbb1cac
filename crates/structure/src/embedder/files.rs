//! Reads the model's files, and the errors about them.

use std::io;
use std::path::{Path, PathBuf};

/// Why the embedding model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    #[error("cannot read {}: {source}; fetch the model with `verbatim models fetch all-minilm-l6-v2`", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{} is damaged or no model of this kind: {reason}; fetch it with `verbatim models fetch all-minilm-l6-v2`", file.display())]
    Damaged { file: PathBuf, reason: String },
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, EmbedderError> {
    std::fs::read(file).map_err(|source| EmbedderError::Read { file: file.into(), source })
}

pub(super) fn damaged(file: &Path) -> impl Fn(String) -> EmbedderError {
    move |reason| EmbedderError::Damaged { file: file.into(), reason }
}

//! The errors of voice activity detection.

use std::path::PathBuf;

/// Why voice activity detection cannot be loaded, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A model file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },

    /// A model file is damaged, or holds another network.
    #[error("{} is not a usable model file: {reason}", path.display())]
    Model { path: PathBuf, reason: String },

    /// A tensor of the model is missing or has the wrong shape or type.
    #[error("{}: variable `{variable}` {reason}", path.display())]
    Variable { path: PathBuf, variable: String, reason: String },

    /// A sample is not a number, or far too large.
    #[error("voice activity detection failed: {0}")]
    Failed(String),
}

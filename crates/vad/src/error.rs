//! What can go wrong in voice activity detection, in sentences.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },

    /// A model file that is broken, or not the network that is known here.
    #[error("{} is not a usable model file: {reason}", path.display())]
    Model { path: PathBuf, reason: String },

    /// A tensor of the model is missing or has the wrong shape or type.
    #[error("{}: variable `{variable}` {reason}", path.display())]
    Variable { path: PathBuf, variable: String, reason: String },

    #[error("voice activity detection failed: {0}")]
    Failed(String),
}

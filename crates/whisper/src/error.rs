//! What can go wrong in the engine, in sentences.

use std::path::PathBuf;

use verbatim_speech::Language;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },

    /// A model file that is broken, or not what the engine understands.
    #[error("{} is not a usable model file: {reason}", path.display())]
    Model { path: PathBuf, reason: String },

    /// A tensor of the model is missing or has the wrong shape or type.
    #[error("{}: variable `{variable}` {reason}", path.display())]
    Variable { path: PathBuf, variable: String, reason: String },

    #[error("the model only knows English; it cannot {0}")]
    EnglishOnly(String),

    #[error("the model does not know the language “{0}”")]
    Language(Language),

    #[error("the initial prompt or the hotwords cannot be turned into tokens: {0}")]
    Prompt(String),
}

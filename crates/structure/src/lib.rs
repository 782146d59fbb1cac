//! Transcript -> what a reader wants: sentences with their times, topics, entities, keywords.

mod abbreviations;
mod command;
mod embedder;
mod english;
mod failures;
mod keywords;
mod phrases;
mod segmentation;
mod sentences;
mod structurer;
mod summary;
mod topics;
mod transcript;
mod words;

pub use command::run;
pub use embedder::{Embedder, EmbedderError, Embedding};
pub use english::English;
pub use structurer::{Structure, Structurer};
pub use topics::TopicOptions;
pub use transcript::transcript;

/// Where `make models` puts the model of that name.
#[cfg(test)]
fn model_folder(name: &str) -> std::path::PathBuf {
    use std::path::{Path, PathBuf};

    let models = std::env::var_os("MODELS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"), PathBuf::from);
    models.join(name)
}

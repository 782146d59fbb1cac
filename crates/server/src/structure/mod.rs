//! Transcript -> what a reader wants: sentences with their times, topics.

mod abbreviations;
mod embedder;
mod segmentation;
mod sentences;
mod topics;
mod transcript;
mod words;

pub use embedder::{Embedder, EmbedderError, Embedding};
pub use sentences::sentences;
pub use topics::topics;
pub use transcript::transcript;

//! Transcript -> what a reader wants: sentences with their times, topics.

mod abbreviations;
mod command;
mod embedder;
mod phrases;
mod segmentation;
mod sentences;
mod summary;
mod topics;
mod transcript;
mod words;

pub use command::run;
pub use embedder::{Embedder, EmbedderError, Embedding};
pub use sentences::sentences;
pub use topics::{TopicOptions, Topics, topics};
pub use transcript::transcript;

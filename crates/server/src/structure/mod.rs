//! Transcript -> what a reader wants: sentences with their times, topics, entities, keywords.

mod abbreviations;
mod command;
mod embedder;
mod english;
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

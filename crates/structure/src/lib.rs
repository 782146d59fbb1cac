//! Finds the structure of a transcript: sentences with their times, topics, entities and keywords.
//!
//! [`Structurer::load`] reads the models; [`Structurer::structure`] makes a [`Structure`] of the segments that a
//! recognizer returned. Sentences and topics are found in every language, entities and keywords only in English. A
//! part that fails is left out and named in [`Structure::error`].
//!
//! [`Structurer::breaks`] says where a text is best broken into lines, for those who show it.
//!
//! All functions block, and compute on the calling thread and in the rayon pool that they are called in.

mod breaks;
mod embedder;
mod english;
mod failures;
mod keywords;
mod load;
mod sentences;
mod structure;
mod structurer;
#[cfg(test)]
mod testing;
mod topics;
mod transcript;
mod words;

pub use breaks::{Break, BreakKind};
pub use embedder::{Embedder, EmbedderError, Embedding};
pub use english::English;
pub use load::{LoadError, SpacyModel, StructurerOptions};
pub use structure::{Entity, Keyword, Sentence, Structure, Topic};
pub use structurer::Structurer;
pub use topics::TopicOptions;
pub use transcript::{TimedText, is_written_without_spaces, needs_space, transcript};

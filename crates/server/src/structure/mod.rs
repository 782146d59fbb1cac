//! Transcript -> what a reader wants: sentences with their times, topics.

mod abbreviations;
mod sentences;
mod topics;
mod transcript;

pub use sentences::sentences;
pub use topics::topics;
pub use transcript::transcript;

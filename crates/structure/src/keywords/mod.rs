//! Keywords, phrases that say what a text is about: those of a whole recording, and those of each topic.

mod of_recording;
mod of_topic;
mod phrase;

pub(crate) use of_recording::keywords;
pub(crate) use of_topic::{Phrases, title};

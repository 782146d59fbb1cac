//! What follows by rule from the words of a text and what the networks find in it.

pub(crate) mod attribute_ruler;
pub(crate) mod lemmatizer;
pub(crate) mod noun_chunks;

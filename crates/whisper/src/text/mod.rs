//! Tokens and text.

pub(crate) mod repetition;
pub(crate) mod segments;
pub(crate) mod tokenizer;
mod vocabulary;

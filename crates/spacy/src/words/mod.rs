//! A text as tokens, and what is known of a word by its letters alone.

pub(crate) mod lexeme;
pub(crate) mod lookups;
pub(crate) mod strings;
pub(crate) mod tokenizer;
pub(crate) mod unicode;

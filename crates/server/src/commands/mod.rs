//! The commands beside `serve`: each does its work and ends.

pub mod models;
pub mod structure;
pub mod terminal;
pub mod transcribe;
pub mod version;

//! The commands other than `serve`: each does its work and exits.

pub mod models;
pub mod structure;
pub mod terminal;
pub mod transcribe;
pub mod version;

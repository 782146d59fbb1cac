//! The commands other than `serve`: each does its work and exits.

pub mod client;
pub mod completions;
pub mod models;
mod output;
pub mod structure;
pub mod terminal;
pub mod transcribe;
pub mod version;
pub mod watch;

pub use output::PlanError;

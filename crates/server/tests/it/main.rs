//! The service's integration tests, one binary.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is how a failure is told")]

mod bad_input;
mod chaos;
mod cli;
mod inference;
mod inputs;
mod interruption;
mod journey;
mod media;
mod media_matrix;
mod models;
mod odd_recordings;
mod pipeline;
mod process;
mod recovery;
mod sandbox;
mod service;
mod sounds;
mod speech;
mod structure;
mod support;
mod synchronous;
mod upload;
mod webhook;
mod wire;
mod workers;

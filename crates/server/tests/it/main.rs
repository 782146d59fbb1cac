//! The service's integration tests, one binary.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is how a failure is told")]

mod analyses;
mod bad_input;
mod batches;
mod chaos;
mod cli;
mod client;
mod formats;
mod interruption;
mod jobs;
mod journey;
mod live;
mod models;
mod pipeline;
mod probing;
mod process;
mod recognizer;
mod recovery;
mod service;
mod sounds;
mod sources;
mod speech;
mod structure;
mod support;
mod synchronous;
mod upload;
mod uploads;
mod webhook;
mod wire;
mod workers;

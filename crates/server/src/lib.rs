//! Verbatim: a self-hosted transcription service. The binary `verbatim` is a thin shell around this.

pub mod api;
pub mod app;
pub mod config;
pub mod data_dir;
pub mod files;
pub mod formats;
pub mod http_client;
pub mod inference;
pub mod job;
pub mod models;
pub mod pipeline;
pub mod process;
pub mod result;
pub mod signals;
pub mod store;
pub mod structure;
pub mod telemetry;
pub mod terminal;
pub mod transcribe;
pub mod units;
pub mod webhook;
pub mod wishes;
pub mod worker;

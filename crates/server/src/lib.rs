//! Verbatim: a self-hosted transcription service. The binary `verbatim` is a thin shell around this.

pub mod api;
pub mod app;
pub mod blobs;
pub mod commands;
pub mod http_client;
pub mod jobs;
pub mod models;
pub mod recognizer;
pub mod settings;
pub mod signals;
pub mod store;
pub mod telemetry;
pub mod units;
pub mod webhooks;
pub mod work;

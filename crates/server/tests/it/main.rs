//! The service's integration tests, one binary.

mod media;
mod webhook;

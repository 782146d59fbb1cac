//! The service's integration tests, one binary.

mod bad_input;
mod inputs;
mod media;
mod support;
mod synchronous;
mod upload;
mod webhook;
mod wire;

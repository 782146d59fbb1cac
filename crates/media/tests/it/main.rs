//! The crate's integration tests in one binary, with the real ffprobe and ffmpeg.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is how a failure is told")]

mod alignment;
mod files;
mod matrix;
mod odd_recordings;
mod sandbox;

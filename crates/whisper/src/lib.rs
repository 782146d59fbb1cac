//! Whisper speech recognition on the CPU: speech in, timed text out.
//!
//! A [`Transcriber`] encodes [`Window`](verbatim_speech::Window)s, tells their language and decodes them to
//! [`Segment`](verbatim_speech::Segment)s whose times are seconds of the original stream.
//!
//! Everything here blocks and computes on the calling thread and rayon's pool; nothing is async.
//! All audio is 16 kHz mono `f32` in -1 … 1.

mod align;
mod config;
mod decoding;
mod error;
mod model;
mod network;
#[cfg(test)]
mod reference;
mod session;
mod text;
mod transcriber;
mod weights;

/// Counts the changes to what the engine makes of a window. A job's windows that were stored by another version are not
/// mixed with new ones.
pub const ENGINE_VERSION: u32 = 2;

pub use error::Error;
pub use model::Model;
pub use network::precision::ComputeType;
pub use session::{Encoded, Session};
pub use transcriber::{DecodeRequest, Transcriber};

//! A stream of samples as windows of speech.
//!
//! [`Windows`] cuts a stream of 16 kHz mono samples into [`Window`](verbatim_speech::Window)s of at most 30 s by voice
//! activity, which [`Vad`], Silero's network, computes. Long silences within a window are left out of it.
//!
//! Everything blocks and computes on the calling thread.

mod error;
mod level;
mod silero;
mod spans;
mod windows;

pub use error::Error;
pub use silero::Vad;
pub use windows::{CUTTER_VERSION, Windows};

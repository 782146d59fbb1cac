//! Cuts a stream of samples into windows of speech.
//!
//! [`Windows`] cuts a stream of 16 kHz mono samples into [`Window`](verbatim_speech::Window)s of at most 30 s.
//! [`Vad`], Silero's network, detects where the speech is. Long silences within a window are left out of it.
//!
//! All functions block and compute on the calling thread.

mod error;
mod level;
mod silero;
mod spans;
mod windows;

pub use error::Error;
pub use silero::Vad;
pub use windows::{CUTTER_VERSION, Windows};

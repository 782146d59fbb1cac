//! Voice activity: how probable speech is in every 32 ms, by Silero's network.

use std::path::Path;

use crate::Error;

/// The loaded network. Shared by any number of streams, each of which keeps its own state.
#[derive(Debug)]
pub struct Vad {}

impl Vad {
    /// Loads `silero_vad_v6.onnx`.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let _ = path;
        todo!()
    }
}

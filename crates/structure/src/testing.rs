//! What the tests of several modules share.

use std::env;
use std::path::{Path, PathBuf};

use verbatim_speech::Segment;

/// The folder that `make models` puts the model of that name into.
pub(crate) fn model_folder(name: &str) -> PathBuf {
    let models = env::var_os("MODELS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"), PathBuf::from);
    models.join(name)
}

/// A segment whose words have no times of their own; `start` and `end` in seconds.
pub(crate) fn segment(start: f64, end: f64, text: &str) -> Segment {
    Segment {
        seek: 0,
        start,
        end,
        text: text.to_owned(),
        tokens: Vec::new(),
        temperature: 0.0,
        avg_logprob: 0.0,
        compression_ratio: 1.0,
        no_speech_prob: 0.0,
        suspect: false,
        words: Vec::new(),
    }
}

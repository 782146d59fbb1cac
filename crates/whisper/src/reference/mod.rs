//! The engine against the numbers of faster-whisper 1.2.1 in float32, over the clips of
//! `clips.json` in crates/testing. `scripts/fixtures/make.py` says what each number is.

mod aligning;
mod behaviour;
mod decoding;
mod encoding;
mod generated;
mod ggml;
mod loudness;
mod silences;

use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;
pub(crate) use verbatim_testing::{chords, clip, floats, models};

use crate::{ComputeType, Model, Transcriber};

static BASE: LazyLock<Transcriber> = LazyLock::new(|| transcriber("base"));
static TINY_EN: LazyLock<Transcriber> = LazyLock::new(|| transcriber("tiny.en"));

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The base model.
pub(crate) fn base() -> &'static Transcriber {
    &BASE
}

fn transcriber(name: &str) -> Transcriber {
    let model = Model::load(&models().join(name), ComputeType::F32);
    Transcriber::new(model.unwrap_or_else(|error| panic!("{error}; `make models` fetches the models")))
}

fn named(model: &Value) -> &'static Transcriber {
    if model == "base" { &BASE } else { &TINY_EN }
}

/// Calls `check` with every record of a fixture file and its clip's samples.
fn for_each_record(file: &str, check: impl FnMut(&Value, &[f32])) {
    verbatim_testing::for_each_record(&fixtures().join(file), check);
}

fn integers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as u32).collect()
}

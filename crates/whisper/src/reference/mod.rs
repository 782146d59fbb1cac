//! The engine against the numbers of faster-whisper 1.2.1 in float32, over the clips of
//! `tests/fixtures/clips.json`. `scripts/fixtures/make.py` says what each number is.

mod aligning;
mod behaviour;
mod clips;
mod decoding;
mod generated;
mod ggml;
mod hearing;
mod loudness;
mod silences;

use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;

use crate::{ComputeType, Model, SAMPLE_RATE, Transcriber};
use clips::Clips;

/// Fixtures made as this engine pads a short window: zeros behind the features, not behind the audio.
const PADDING: &str = "features";

static CLIPS: LazyLock<Clips> = LazyLock::new(Clips::load);
static BASE: LazyLock<Transcriber> = LazyLock::new(|| transcriber("base"));
static TINY_EN: LazyLock<Transcriber> = LazyLock::new(|| transcriber("tiny.en"));

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A clip of `clips.json` in -1 … 1.
pub(crate) fn clip(name: &str) -> Vec<f32> {
    CLIPS.samples_of(name)
}

/// Chords with a beat, a bass and a falling melody.
pub(crate) fn chords(seconds: usize) -> Vec<f32> {
    let sample = |index: usize| {
        let t = index as f64 / SAMPLE_RATE as f64;
        let tone = |hertz: f64| (std::f64::consts::TAU * hertz * t).sin();
        let chord = 0.2 * (tone(440.0) + tone(554.0) + tone(659.0)) * (-4.0 * (t % 0.5)).exp();
        (chord + 0.3 * tone(110.0) + 0.2 * tone(880.0 - 100.0 * (t % 4.0))) as f32
    };
    (0..seconds * SAMPLE_RATE).map(sample).map(|sample: f32| sample.clamp(-1.0, 1.0)).collect()
}

/// The base model.
pub(crate) fn base() -> &'static Transcriber {
    &BASE
}

/// The folder of model files.
pub(crate) fn models() -> PathBuf {
    std::env::var_os("MODELS_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models"), PathBuf::from)
}

fn transcriber(name: &str) -> Transcriber {
    let model = Model::load(&models().join(name), ComputeType::F32);
    Transcriber::new(model.unwrap_or_else(|error| panic!("{error}; `make models` fetches the models")))
}

fn named(model: &Value) -> &'static Transcriber {
    if model == "base" { &BASE } else { &TINY_EN }
}

/// Calls `check` with every record of a fixture file and its clip's samples. Records whose clip comes out
/// differently here (another espeak-ng or ffmpeg) are passed over with a printed reason; the clips that are
/// plain files or computed must all be there.
fn for_each_record(file: &str, mut check: impl FnMut(&Value, &[f32])) {
    let text = std::fs::read(fixtures().join(file)).unwrap();
    let records: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let mut checked = 0;
    for record in records.iter().filter(|record| record["padding"].as_str().is_none_or(|p| p == PADDING)) {
        let name = record["clip"].as_str().unwrap();
        match CLIPS.samples(name, record["samples_sha256"].as_str().unwrap()) {
            Ok(samples) => {
                checked += 1;
                check(record, &samples);
            }
            Err(reason) => println!("{file}: {name} is passed over: {reason}"),
        }
    }
    println!("{file}: {checked} records compared");
    assert!(checked > 0, "{file}: no clip came out as it did for the fixtures");
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn integers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as u32).collect()
}

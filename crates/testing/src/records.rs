//! Fixture files: lists of records, each with reference numbers for one clip.

use std::path::Path;

use serde_json::Value;

use crate::clips::Clips;
use crate::skip;

/// The padding of the records that are compared: zeros after the features, as the engine pads a short window, not
/// after the audio.
const PADDING: &str = "features";

/// Calls `check` with every record of a fixture file and the samples of its clip. Skips a record, and prints the
/// reason, if another version of espeak-ng or ffmpeg builds another clip here. Clips that are plain files or computed
/// must not differ.
///
/// # Panics
/// If the file cannot be read, or if every record was skipped.
pub fn for_each_record(file: &Path, mut check: impl FnMut(&Value, &[f32])) {
    let name = file.file_name().unwrap_or_default().display();
    let text = std::fs::read(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let records: Vec<Value> = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut checked = 0;
    for record in records.iter().filter(|record| record["padding"].as_str().is_none_or(|p| p == PADDING)) {
        match samples(record) {
            Ok(samples) => {
                checked += 1;
                check(record, &samples);
            }
            Err(reason) => skip(&format!("{name}: {} is passed over: {reason}", record["clip"])),
        }
    }
    println!("{name}: {checked} records compared");
    assert!(checked > 0, "{name}: no clip came out as it did for the fixtures");
}

/// The clip of a record, in -1 … 1; or the reason why the one built here differs from the record's.
pub fn samples(record: &Value) -> Result<Vec<f32>, String> {
    let text = |key: &str| record[key].as_str().unwrap_or_else(|| panic!("the record has no {key}"));
    Clips::shared().samples(text("clip"), text("samples_sha256"))
}

/// The numbers of a JSON list.
pub fn floats(value: &Value) -> Vec<f32> {
    let numbers = value.as_array().into_iter().flatten();
    numbers.map(|number| number.as_f64().unwrap_or(f64::NAN) as f32).collect()
}

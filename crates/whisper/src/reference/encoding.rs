//! Mel, encoder and language.

use serde_json::Value;

use verbatim_speech::{SAMPLE_RATE, Window};
use verbatim_testing::{floats, samples};

use super::{BASE, for_each_record, integers, named};
use crate::network::mel::{FRAMES, MelExtractor};

#[test]
fn log_mel_is_within_a_thousandth() {
    for_each_record("mel.json", |record, samples| {
        let n_mels = record["mels"].as_u64().unwrap() as usize;
        let mel = MelExtractor::new(n_mels).extract(samples, FRAMES);
        let step = record["frame_step"].as_u64().unwrap() as usize;
        for (index, expected) in record["values"].as_array().unwrap().iter().enumerate() {
            for (band, expected) in floats(expected).into_iter().enumerate() {
                let value = mel.values[band * FRAMES + index * step];
                let clip = &record["clip"];
                assert!(
                    (value - expected).abs() < 1e-3,
                    "{clip}: frame {}, band {band}: {value} for {expected}",
                    index * step
                );
            }
        }
        let mean = mel.values.iter().map(|value| f64::from(*value)).sum::<f64>() / mel.values.len() as f64;
        assert!((mean - record["mean"].as_f64().unwrap()).abs() < 1e-4);
    });
}

#[test]
fn log_mel_of_128_bands_is_within_a_thousandth() {
    // The reference appended its zeros to the audio, which is the same clip 30 s long.
    let text = std::fs::read(super::fixtures().join("mel.json")).unwrap();
    let records: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let record = records.iter().find(|record| record["mels"] == 128).unwrap();
    let mut samples = samples(record).unwrap();
    samples.resize(30 * SAMPLE_RATE, 0.0);
    let mel = MelExtractor::new(128).extract(&samples, FRAMES);
    let step = record["frame_step"].as_u64().unwrap() as usize;
    for (index, expected) in record["values"].as_array().unwrap().iter().enumerate() {
        for (band, expected) in floats(expected).into_iter().enumerate() {
            assert!((mel.values[band * FRAMES + index * step] - expected).abs() < 1e-3);
        }
    }
}

/// Of the encoder's output `[1500, width]`, at the rows and columns of the record.
pub(super) fn relative_error(record: &Value, states: &[f32]) -> f64 {
    let width = states.len() / 1500;
    let (mut difference, mut total) = (0.0, 0.0);
    for (row, expected) in integers(&record["rows"]).into_iter().zip(record["values"].as_array().unwrap()) {
        for (column, expected) in integers(&record["columns"]).into_iter().zip(floats(expected)) {
            let value = states[row as usize * width + column as usize];
            difference += f64::from(value - expected).powi(2);
            total += f64::from(expected).powi(2);
        }
    }
    (difference / total).sqrt()
}

#[test]
fn encoder_output_is_within_a_thousandth_relative() {
    for_each_record("encoder.json", |record, samples| {
        let model = named(&record["model"]).model();
        let states = model.encoder.forward(&model.spectrogram(samples));
        let error = relative_error(record, &states);
        println!("{} {}: relative error {error:.2e}", record["model"], record["clip"]);
        assert!(error < 1e-3);
    });
}

#[test]
fn states_are_as_many_as_their_spectrogram_has() {
    for_each_record("encoder.json", |record, samples| {
        let encoder = &named(&record["model"]).model().encoder;
        let extractor = MelExtractor::new(80);
        let states = |frames: usize| encoder.forward(&extractor.extract(samples, frames));
        let (whole, half) = (states(FRAMES), states(FRAMES / 2));
        assert_eq!(half.len(), whole.len() / 2);
        assert!(half.iter().all(|state| state.is_finite()));
    });
}

#[test]
fn language_probabilities_are_within_a_hundredth() {
    for_each_record("language.json", |record, samples| {
        let encoded = BASE.encode(&Window::new(0, 0.0, samples.to_vec()));
        let probabilities = &BASE.detect_language(&encoded);
        assert_eq!(probabilities.iter().count(), 99);
        assert!((probabilities.iter().map(|(_, p)| p).sum::<f32>() - 1.0).abs() < 1e-4);
        for (language, probability) in probabilities.iter() {
            let expected = record["probabilities"][language.code()].as_f64().unwrap() as f32;
            assert!(
                (probability - expected).abs() < 0.01,
                "{}: {language} {probability} for {expected}",
                record["clip"]
            );
        }
    });
}

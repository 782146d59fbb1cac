//! What stored windows were made with: windows of another model, of other options or of another cutter are not mixed.

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use verbatim_speech::DecodeOptions;
use verbatim_vad::CUTTER_VERSION;

use super::analysis::Analysis;
use crate::recognizer::RecognizerModel;
use crate::store::PAYLOAD_VERSION;

#[derive(Serialize)]
struct MadeWith<'a> {
    model_hash: &'a str,
    options: &'a DecodeOptions,
    cutter: u32,
    payload: u32,
    /// Without any, fingerprints are as they were before there were analyses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    analyses: Vec<(&'a str, &'a str)>,
}

/// The model's name and a hash. `options` are the job's over the service's.
pub(super) fn fingerprint(
    model: &RecognizerModel,
    options: &DecodeOptions,
    analyses: &[Arc<dyn Analysis>],
) -> Result<String, serde_json::Error> {
    let analyses = analyses.iter().map(|analysis| (analysis.kind(), analysis.fingerprint())).collect();
    let RecognizerModel { name, fingerprint, .. } = model;
    let made_with = MadeWith {
        model_hash: fingerprint,
        options,
        cutter: CUTTER_VERSION,
        payload: PAYLOAD_VERSION,
        analyses,
    };
    Ok(format!("{name} {:x}", Sha256::digest(serde_json::to_vec(&made_with)?)))
}

/// The name of the model that a fingerprint was made of.
pub(super) fn model_of(fingerprint: &str) -> &str {
    fingerprint.rsplit_once(' ').map_or(fingerprint, |(model, _)| model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_words_or_times_changes_the_fingerprint() {
        let of = |fingerprint: &str, options: &DecodeOptions| {
            let model = RecognizerModel {
                name: "a model".to_owned(),
                fingerprint: fingerprint.to_owned(),
                languages: Arc::new([]),
            };
            super::fingerprint(&model, options, &[]).unwrap()
        };
        let options = DecodeOptions::default();
        let expected = of("base", &options);
        assert_eq!(expected, of("base", &options.clone()));
        assert_eq!(model_of(&expected), "a model");
        for (model, options) in [
            ("tiny.en", options.clone()),
            ("base", DecodeOptions { beam_size: 1, ..options.clone() }),
            ("base", DecodeOptions { word_timestamps: false, ..options.clone() }),
            ("base", DecodeOptions { hotwords: Some("Dashwood".to_owned()), ..options.clone() }),
            ("base", DecodeOptions { temperatures: vec![0.4], ..options }),
        ] {
            assert_ne!(of(model, &options), expected, "{model} {options:?}");
        }
    }
}

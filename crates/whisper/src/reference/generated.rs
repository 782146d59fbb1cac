//! A model of large-v3's vocabulary and mel bands and with fewer layers in the decoder than in the encoder, as
//! distilled models have; its weights are made up. `scripts/fixtures/generated.py` is its twin.

use std::path::Path;

use half::f16;
use serde_json::{Value, json};

use super::encoding::relative_error;
use super::{for_each_record, integers, models};
use crate::{ComputeType, DecodeRequest, Model, Transcriber};
use verbatim_speech::{DecodeOptions, Language, Window};

const MELS: usize = 128;
const VOCABULARY: usize = 51866;
const WIDTH: usize = 128;
const HEADS: u8 = 2;
const HIDDEN: usize = 512;
/// Name, layers and positions of both halves.
const HALVES: [(&str, usize, usize); 2] = [("encoder", 4, 1500), ("decoder", 2, 448)];

/// What the reference's logits can differ from ours by.
const NEAR_TIE: f64 = 1e-3;

/// The `model.bin` as it is written.
struct ModelBin {
    variables: u32,
    bytes: Vec<u8>,
    /// A linear congruential generator's.
    state: u32,
}

impl ModelBin {
    fn write(path: &Path) {
        let mut model = Self { variables: 0, bytes: Vec::new(), state: 1 };
        model.tensors();
        for (name, value) in
            [("encoder/num_heads", HEADS), ("decoder/num_heads", HEADS), ("decoder/activation", 3)]
        {
            // Rank 0, an i8 of one byte.
            model.head(name, &[], 1, 1);
            model.bytes.push(value);
        }
        let mut file = 6u32.to_le_bytes().to_vec();
        let name = |file: &mut Vec<u8>, name: &str| {
            file.extend((name.len() as u16 + 1).to_le_bytes());
            file.extend(name.as_bytes());
            file.push(0);
        };
        name(&mut file, "WhisperSpec");
        file.extend([3, model.variables].iter().flat_map(|number| number.to_le_bytes()));
        file.extend(model.bytes);
        file.extend(1u32.to_le_bytes());
        name(&mut file, "decoder/projection/weight");
        name(&mut file, "decoder/embeddings/weight");
        std::fs::write(path, file).unwrap();
    }

    fn tensors(&mut self) {
        self.linear("encoder/conv1", &[WIDTH, MELS, 3], 13);
        self.linear("encoder/conv2", &[WIDTH, WIDTH, 3], 13);
        for (half, layers, positions) in HALVES {
            self.tensor(&format!("{half}/position_encodings/encodings"), &[positions, WIDTH], 10, 11, 0.0);
            for layer in 0..layers {
                let name = |part: &str| format!("{half}/layer_{layer}/{part}");
                self.norm(&name("self_attention"));
                self.linear(&name("self_attention/linear_0"), &[3 * WIDTH, WIDTH], 11);
                self.linear(&name("self_attention/linear_1"), &[WIDTH, WIDTH], 11);
                if half == "decoder" {
                    self.norm(&name("attention"));
                    self.linear(&name("attention/linear_0"), &[WIDTH, WIDTH], 11);
                    self.linear(&name("attention/linear_1"), &[2 * WIDTH, WIDTH], 11);
                    self.linear(&name("attention/linear_2"), &[WIDTH, WIDTH], 11);
                }
                self.norm(&name("ffn"));
                self.linear(&name("ffn/linear_0"), &[HIDDEN, WIDTH], 11);
                self.linear(&name("ffn/linear_1"), &[WIDTH, HIDDEN], 12);
            }
            self.norm(half);
        }
        self.tensor("decoder/embeddings/weight", &[VOCABULARY, WIDTH], 10, 12, 0.0);
    }

    fn linear(&mut self, name: &str, shape: &[usize], shift: i32) {
        self.tensor(&format!("{name}/weight"), shape, 10, shift, 0.0);
        self.tensor(&format!("{name}/bias"), &shape[..1], 10, 13, 0.0);
    }

    fn norm(&mut self, name: &str) {
        self.tensor(&format!("{name}/layer_norm/gamma"), &[WIDTH], 5, 6, 1.0);
        self.tensor(&format!("{name}/layer_norm/beta"), &[WIDTH], 5, 8, 0.0);
    }

    /// Elements are `offset` and a signed number of so many bits, shifted to the right.
    fn tensor(&mut self, name: &str, shape: &[usize], bits: u32, shift: i32, offset: f32) {
        let count = shape.iter().product::<usize>();
        self.head(name, shape, 4, 2 * count as u32);
        for _ in 0..count {
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let steps = (self.state >> (32 - bits)) as i32 - (1 << (bits - 1));
            let value = f16::from_f32(offset + steps as f32 * 0.5f32.powi(shift));
            self.bytes.extend(value.to_le_bytes());
        }
    }

    fn head(&mut self, name: &str, shape: &[usize], kind: u8, length: u32) {
        self.variables += 1;
        self.bytes.extend((name.len() as u16 + 1).to_le_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.extend([0, shape.len() as u8]);
        self.bytes.extend(shape.iter().flat_map(|size| (*size as u32).to_le_bytes()));
        self.bytes.push(kind);
        self.bytes.extend(length.to_le_bytes());
    }
}

/// The base model's tokenizer with one language more, and the name that large-v3 has for silence.
fn tokenizer() -> Value {
    let text = std::fs::read_to_string(models().join("base/tokenizer.json")).unwrap();
    let mut described: Value = serde_json::from_str(&text.replace("nocaptions", "nospeech")).unwrap();
    let added = described["added_tokens"].as_array_mut().unwrap();
    let last = added.iter().position(|token| token["content"] == "<|su|>").unwrap();
    let mut cantonese = added[last].clone();
    cantonese["content"] = json!("<|yue|>");
    added.insert(last + 1, cantonese);
    for token in &mut added[last + 1..] {
        token["id"] = json!(token["id"].as_u64().unwrap() + 1);
    }
    described
}

fn transcriber(compute: ComputeType) -> Transcriber {
    let dir = tempfile::tempdir().unwrap();
    ModelBin::write(&dir.path().join("model.bin"));
    // As of the model that it would be distilled from: there are no such layers.
    let config = json!({"suppress_ids": [], "alignment_heads": [[7, 0], [25, 6]]});
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer().to_string()).unwrap();
    Transcriber::new(Model::load(dir.path(), compute).unwrap())
}

#[test]
fn a_model_of_another_shape_computes_what_the_reference_does() {
    let transcriber = transcriber(ComputeType::F32);
    let mut compared = 0;
    for_each_record("generated.json", |record, samples| {
        let model = transcriber.model();
        let error = relative_error(record, &model.encoder.forward(&model.spectrogram(samples)));
        assert!(error < 1e-3, "{}: relative error {error}", record["clip"]);

        let encoded = &transcriber.encode(&Window::new(0, 0.0, samples.to_vec()));
        let probabilities = transcriber.detect_language(encoded);
        assert_eq!(probabilities.iter().count(), 100);
        for (language, probability) in probabilities.iter() {
            let expected = record["probabilities"][language.code()].as_f64().unwrap() as f32;
            assert!((probability - expected).abs() < 1e-3, "{language} {probability} for {expected}");
        }

        for expected in record["decoded"].as_array().unwrap() {
            let options = DecodeOptions {
                language: Some(Language::ENGLISH),
                timestamps: expected["timestamps"].as_bool().unwrap(),
                temperatures: vec![0.0],
                beam_size: 1,
                whole_windows: false,
                ..DecodeOptions::default()
            };
            let (prompt, decoded) =
                transcriber.decode_tokens(&[DecodeRequest { encoded, options: &options }]).remove(0);
            assert_eq!(prompt, integers(&expected["prompt"]));
            let margins = expected["margins"].as_array().unwrap();
            let sure = margins.iter().take_while(|margin| margin.as_f64().unwrap() > NEAR_TIE).count();
            assert_eq!(decoded.tokens[..sure], integers(&expected["tokens"])[..sure]);
            compared += sure;
        }
    });
    assert!(compared > 50, "{compared} tokens compared");
}

#[test]
fn what_its_configuration_leaves_out_follows_from_its_shape() {
    let transcriber = transcriber(ComputeType::Auto);
    let model = transcriber.model();
    assert!(model.is_multilingual() && model.knows(Language::parse("yue").unwrap()));
    assert_eq!(model.alignment_heads, [(1, 0), (1, 1)]);
    // What noise makes of noise has no meaning, but it has an end.
    let window = Window::new(0, 0.0, super::clip("cards-001"));
    transcriber.transcribe(&[window], &DecodeOptions::default()).unwrap();
}

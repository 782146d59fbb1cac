//! whisper.cpp's files of a model against the CTranslate2 folder that they were made from
//! (`scripts/ggml/convert.py`).

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::{BASE, TINY_EN, clip, models};
use crate::config::{Config, ConfigFile, Heads};
use crate::text::tokenizer::Tokenizer;
use crate::weights::Weights;
use crate::{ComputeType, Error, Model, Transcriber};
use verbatim_speech::{DecodeOptions, Window};

/// Speech of the fixtures that every machine has.
const SPEECH: [&str; 9] = [
    "austen-0870",
    "austen-0880",
    "austen-0890",
    "austen-0920",
    "austen-0930",
    "cards-001",
    "cards-005",
    "goforward",
    "something",
];

/// Words in a hundred that weights of five bits may change.
const FIVE_BIT_ERRORS: usize = 3;

/// The model's CTranslate2 folder, and its vocabulary from a ggml file.
struct Pair {
    weights: Weights,
    folder: Tokenizer,
    ggml: Tokenizer,
}

static OF_BASE: LazyLock<Pair> = LazyLock::new(|| Pair::load("base", "ggml-base-q8_0.bin"));
static OF_TINY_EN: LazyLock<Pair> = LazyLock::new(|| Pair::load("tiny.en", "ggml-tiny.en.bin"));

impl Pair {
    fn load(name: &str, file: &str) -> Self {
        let weights = Weights::open(&models().join(name).join("model.bin")).unwrap();
        let vocabulary = weights.shape("decoder/embeddings/weight").unwrap()[0];
        let folder = Tokenizer::load(&models().join(name).join("tokenizer.json"), vocabulary).unwrap();
        let file = models().join(file);
        let ggml =
            Weights::open_ggml(&file).unwrap_or_else(|error| panic!("{error}; `make setup` writes it")).1;
        let ggml = Tokenizer::of_tokens(&ggml.tokens, vocabulary, &file).unwrap();
        Self { weights, folder, ggml }
    }
}

fn transcriber(file: &str) -> Transcriber {
    let model = Model::load(&models().join(file), ComputeType::F32);
    Transcriber::new(model.unwrap_or_else(|error| panic!("{error}; `make setup` writes it")))
}

fn greedy() -> DecodeOptions {
    DecodeOptions { temperatures: vec![0.0], beam_size: 1, ..DecodeOptions::default() }
}

fn speech() -> Vec<Window> {
    SPEECH.iter().enumerate().map(|(index, name)| Window::new(index, 0.0, clip(name))).collect()
}

/// The words of every window, in lower case and without punctuation.
fn words(transcriber: &Transcriber) -> Vec<Vec<String>> {
    let transcripts = transcriber.transcribe(&speech(), &greedy()).unwrap();
    let plain = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    transcripts
        .iter()
        .map(|transcript| {
            let text: String = transcript.segments.iter().map(|segment| segment.text.as_str()).collect();
            text.split_whitespace().map(plain).filter(|word| !word.is_empty()).collect()
        })
        .collect()
}

/// Words to insert, delete and replace to make `a` of `b`.
fn edits(a: &[String], b: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (done, word) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], done + 1);
        for (at, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(word != other);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[b.len()]
}

#[test]
fn floats_hold_the_very_weights_of_the_folder() {
    let expected = Weights::open(&models().join("tiny.en/model.bin")).unwrap();
    for file in ["ggml-tiny.en.bin", "ggml-tiny.en-f32.bin"] {
        let (found, _) = Weights::open_ggml(&models().join(file)).unwrap();
        let mut compared = 0;
        for (name, shape) in expected.shapes().filter(|(_, shape)| !shape.is_empty()) {
            assert!(
                found.tensor(name, shape).unwrap() == expected.tensor(name, shape).unwrap(),
                "{file}: {name}"
            );
            compared += 1;
        }
        for half in ["encoder", "decoder"] {
            let name = format!("{half}/num_heads");
            assert_eq!(found.integer(&name).unwrap(), expected.integer(&name).unwrap());
        }
        assert_eq!(compared + 2, found.shapes().count(), "nothing else is in {file}");
    }
}

#[test]
fn floats_give_the_transcripts_of_the_folder() {
    let expected = TINY_EN.transcribe(&speech(), &greedy()).unwrap();
    for file in ["ggml-tiny.en.bin", "ggml-tiny.en-f32.bin"] {
        assert_eq!(transcriber(file).transcribe(&speech(), &greedy()).unwrap(), expected, "{file}");
    }
}

#[test]
fn quantised_weights_give_the_words_of_the_folder_or_nearly() {
    let expected = words(&BASE);
    let count: usize = expected.iter().map(Vec::len).sum();
    assert!(count > 80, "{count} words");
    for (file, tolerated) in
        [("ggml-base-q8_0.bin", 0), ("ggml-base-q5_1.bin", count * FIVE_BIT_ERRORS / 100)]
    {
        let found = words(&transcriber(file));
        let wrong: usize = found.iter().zip(&expected).map(|(found, expected)| edits(found, expected)).sum();
        assert!(wrong <= tolerated, "{file}: {wrong} of {count} words differ:\n{found:?}\n{expected:?}");
    }
}

#[test]
fn what_the_folders_configuration_says_follows_from_the_model() {
    for (name, pair) in [("base", &*OF_BASE), ("tiny.en", &*OF_TINY_EN)] {
        let file = ConfigFile::load(&models().join(name).join("config.json")).unwrap();
        let heads = Heads::of(&pair.weights).unwrap();
        let stored = Config::new(file, &pair.folder, heads).unwrap();
        let derived = Config::new(ConfigFile::default(), &pair.ggml, heads).unwrap();
        assert_eq!(derived, stored, "{name}");
    }
}

/// Text of words and whatever else can be typed, and pieces of the vocabulary one after another, which
/// put bytes together as no text does.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(0u32..50_256, 1..12).prop_map(|tokens| OF_BASE.folder.decode(&tokens));
    prop_oneof!["( ?[A-Za-z']{1,12}[ .,?!\\-]?){0,12}", "\\PC{0,40}", any::<String>(), pieces]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn text_becomes_the_tokens_of_the_folders_tokenizer_and_back(text in text()) {
        for pair in [&*OF_BASE, &*OF_TINY_EN] {
            let tokens = pair.ggml.encode(&text).unwrap();
            prop_assert_eq!(&tokens, &pair.folder.encode(&text).unwrap(), "{:?}", text);
            prop_assert_eq!(pair.ggml.decode(&tokens), pair.folder.decode(&tokens));
        }
    }
}

#[test]
fn control_tokens_are_those_of_the_folders_tokenizer() {
    for pair in [&*OF_BASE, &*OF_TINY_EN] {
        assert_eq!(pair.ggml.languages(), pair.folder.languages());
        assert_eq!(pair.ggml.steering(), pair.folder.steering());
        assert_eq!(pair.ggml.first_timestamp(), pair.folder.first_timestamp());
        assert_eq!(pair.ggml.end_of_text, pair.folder.end_of_text);
        let text = "<|endoftext|> <|en|><|su|><|translate|><|nocaptions|><|notimestamps|>";
        assert_eq!(pair.ggml.encode(text).unwrap(), pair.folder.encode(text).unwrap());
    }
}

#[test]
fn a_folder_with_one_ggml_file_is_a_model_and_with_several_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let sentence = |path: &Path| Model::load(path, ComputeType::F32).unwrap_err().to_string();
    assert!(sentence(dir.path()).contains("nor a ggml-*.bin"));
    assert!(sentence(&dir.path().join("nowhere")).contains("cannot read"));
    let link = |name: &str| {
        std::os::unix::fs::symlink(models().join("ggml-tiny.en.bin"), dir.path().join(name)).unwrap();
    };
    link("ggml-tiny.en.bin");
    assert!(!Model::load(dir.path(), ComputeType::F32).unwrap().is_multilingual());
    link("ggml-other.bin");
    assert!(sentence(dir.path()).contains("several ggml-*.bin"));
    let of_folder = sentence(&models().join("tiny.en/model.bin"));
    assert!(of_folder.contains("name its folder"), "{of_folder}");
}

#[test]
fn a_file_cut_off_is_refused_with_the_tensor_at_which_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ggml-tiny.en.bin");
    let whole = std::fs::read(models().join("ggml-tiny.en.bin")).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let sentence = Model::load(&path, ComputeType::F32).unwrap_err().to_string();
    assert!(sentence.contains("ggml-tiny.en.bin is not a usable model file: tensor `"), "{sentence}");
    assert!(sentence.contains("the file ends at byte"), "{sentence}");
}

/// A copy of the file in which some bytes are others.
struct Damaged {
    dir: tempfile::TempDir,
    whole: Vec<u8>,
}

impl Damaged {
    fn new(file: &str) -> Self {
        let whole = std::fs::read(models().join(file)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ggml-damaged.bin"), &whole).unwrap();
        Self { dir, whole }
    }

    /// What becomes of the model with `bytes` at this place.
    fn load(&self, at: usize, bytes: &[u8]) -> Result<Model, Error> {
        let path = self.dir.path().join("ggml-damaged.bin");
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(bytes, at as u64).unwrap();
        let model = Model::load(&path, ComputeType::Auto);
        file.write_all_at(&self.whole[at..at + bytes.len()], at as u64).unwrap();
        model
    }
}

#[test]
fn a_header_with_any_byte_changed_is_refused_or_makes_no_difference() {
    let damaged = Damaged::new("ggml-tiny.en.bin");
    // The numbers of the model and the shape of its mel filters; at 44 is the format, which each tensor has of its own.
    for at in 0..56 {
        for value in [0, 1, 0x7f, 0xff] {
            if damaged.whole[at] != value
                && let Ok(model) = damaged.load(at, &[value])
            {
                assert!((44..48).contains(&at), "byte {at} was changed to {value}: {model:?}");
            }
        }
    }
}

#[test]
fn weights_that_are_no_numbers_give_no_panic() {
    let damaged = Damaged::new("ggml-tiny.en.bin");
    let infinite = [0x00, 0x7c].repeat(1000);
    let not_a_number = [0xff; 2000];
    for bytes in [&infinite[..], &not_a_number] {
        let name = b"decoder.blocks.0.mlp.0.weight";
        let at = damaged.whole.windows(name.len()).position(|window| window == name).unwrap() + name.len();
        let transcriber = Transcriber::new(damaged.load(at, bytes).unwrap());
        transcriber.transcribe(&[Window::new(0, 0.0, clip("cards-001"))], &DecodeOptions::default()).unwrap();
    }
}

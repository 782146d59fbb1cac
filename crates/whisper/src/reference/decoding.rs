//! Tokenizer and greedy decoding.

use serde_json::Value;

use super::{BASE, fixtures, for_each_record, integers, named};
use crate::transcriber::DecodeRequest;
use crate::{Language, Options, Task, Window};

/// What the reference's logits can differ from ours by: where its first and second choice lie closer together,
/// either may win.
const NEAR_TIE: f64 = 0.02;

#[test]
fn texts_become_the_same_tokens_and_back() {
    let text = std::fs::read(fixtures().join("tokenizer.json")).unwrap();
    let records: Vec<Value> = serde_json::from_slice(&text).unwrap();
    for record in &records {
        let tokenizer = named(&record["model"]).model().tokenizer();
        let (text, tokens) = (record["text"].as_str().unwrap(), integers(&record["tokens"]));
        assert_eq!(tokenizer.encode(text).unwrap(), tokens, "{text:?}");
        assert_eq!(tokenizer.decode(&tokens), record["decoded"].as_str().unwrap(), "{tokens:?}");
    }
    assert!(records.len() > 20);
}

/// The options that the reference decoded with: greedy, and no second try.
fn options(record: &Value) -> Options {
    Options {
        language: Language::parse(record["language"].as_str().unwrap()),
        task: if record["task"] == "translate" { Task::Translate } else { Task::Transcribe },
        timestamps: record["timestamps"].as_bool().unwrap(),
        initial_prompt: record["initial_prompt"].as_str().map(String::from),
        temperatures: vec![0.0],
        whole_windows: false,
        ..Options::default()
    }
}

#[test]
fn greedy_tokens_are_those_of_the_reference() {
    let (mut same, mut ties) = (0, Vec::new());
    for_each_record("decode.json", |record, samples| {
        let name = format!(
            "{} {} {} timestamps {}",
            record["model"], record["clip"], record["task"], record["timestamps"]
        );
        let transcriber = named(&record["model"]);
        let encoded = transcriber.encode(&[&Window::new(0, 0.0, samples.to_vec())]);
        let options = options(record);
        let (prompt, decoded) =
            transcriber.decode_tokens(DecodeRequest { encoded: &encoded[0], options: &options });
        assert_eq!(prompt, integers(&record["prompt"]), "{name}");
        let expected = integers(&record["tokens"]);
        let differ = decoded.tokens.iter().zip(&expected).position(|(token, expected)| token != expected);
        let differ = differ.or_else(|| {
            (decoded.tokens.len() != expected.len()).then(|| decoded.tokens.len().min(expected.len()))
        });
        let Some(at) = differ else {
            same += 1;
            // Other zlibs find other matches, and differ by a few bytes.
            for (figure, expected, tolerance) in [
                (decoded.avg_logprob, &record["avg_logprob"], 2e-3),
                (decoded.no_speech_prob, &record["no_speech_prob"], 2e-3),
                (decoded.compression_ratio, &record["compression_ratio"], 0.1),
            ] {
                let expected = expected.as_f64().unwrap() as f32;
                assert!(
                    (figure - expected).abs() <= tolerance * expected.abs().max(1.0),
                    "{name}: {figure} for {expected}"
                );
            }
            return;
        };
        let margin = record["margins"][at].as_f64().unwrap();
        assert!(
            margin < NEAR_TIE,
            "{name}: token {at} differs, and its margin is {margin}:\n{:?}\n{expected:?}",
            decoded.tokens
        );
        ties.push(format!("{name}: token {at} fell the other way; the reference's margin is {margin}"));
    });
    println!("{same} records the same; near ties: {ties:#?}");
    assert!(ties.len() * 20 <= same, "too many near ties: {ties:#?}");
}

#[test]
fn a_windows_transcript_does_not_depend_on_its_batch() {
    let windows: Vec<Window> = ["austen-0870", "cards-005", "austen-joined", "silence", "cards-001"]
        .iter()
        .enumerate()
        .map(|(index, name)| Window::new(index, 10.0 * index as f64, super::clip(name)))
        .collect();
    for options in [Options::default(), Options { temperatures: vec![0.7], ..Options::default() }] {
        let together = BASE.transcribe(&windows, &options).unwrap();
        for (window, together) in windows.iter().zip(together) {
            let alone = BASE.transcribe(std::slice::from_ref(window), &options).unwrap();
            assert_eq!(alone, [together]);
        }
    }
}

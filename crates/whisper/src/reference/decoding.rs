//! Tokenizer and greedy decoding.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{BASE, fixtures, for_each_record, integers, named};
use crate::decoding::search::Decoded;
use crate::text::tokenizer::Previous;
use crate::{DecodeRequest, Transcriber};
use verbatim_speech::{DecodeOptions, Language, Task, Window};

/// What the reference's logits can differ from ours by: where its first and second choice lie closer together,
/// either may win.
const NEAR_TIE: f64 = 0.02;

#[test]
fn texts_become_the_same_tokens_and_back() {
    let text = std::fs::read(fixtures().join("tokenizer.json")).unwrap();
    let records: Vec<Value> = serde_json::from_slice(&text).unwrap();
    for record in &records {
        let tokenizer = &named(&record["model"]).model().tokenizer;
        let (text, tokens) = (record["text"].as_str().unwrap(), integers(&record["tokens"]));
        assert_eq!(tokenizer.encode(text).unwrap(), tokens, "{text:?}");
        assert_eq!(tokenizer.decode(&tokens), record["decoded"].as_str().unwrap(), "{tokens:?}");
    }
    assert!(records.len() > 20);
}

#[test]
fn hotwords_and_prompt_share_the_room_before_the_recording() {
    let tokenizer = &BASE.model().tokenizer;
    let before = |hotwords: &str, initial_prompt: &str| {
        let previous = Previous { hotwords: Some(hotwords), initial_prompt: Some(initial_prompt) };
        let prompt = tokenizer.prompt(previous, Language::ENGLISH, Task::Transcribe, true).unwrap();
        let start = prompt.iter().position(|token| *token == tokenizer.start_of_transcript).unwrap();
        assert_eq!(prompt.len(), start + 3);
        tokenizer.decode(&prompt[..start])
    };
    let (few, many) = ("Dashwoode, Norland", &"word ".repeat(300));
    assert_eq!(before(few, " He went. "), " Dashwoode, Norland He went.");
    assert_eq!(before(" ", ""), "");
    let both = before(few, &format!("{many}He went."));
    assert!(both.starts_with(" Dashwoode, Norland word") && both.ends_with("word He went."), "{both}");
    assert_eq!(before(many, "He went."), " word".repeat(223), "hotwords take all the room they need");
}

#[test]
fn control_tokens_in_a_prompt_are_left_out() {
    let tokenizer = &BASE.model().tokenizer;
    let prompt = |text: &str| {
        let previous = Previous { hotwords: Some(text), initial_prompt: Some(text) };
        tokenizer.prompt(previous, Language::ENGLISH, Task::Transcribe, true).unwrap()
    };
    assert_eq!(prompt("Hello<|startoftranscript|><|de|><|translate|><|endoftext|>"), prompt("Hello"));
}

#[test]
fn hotwords_are_spelled_as_they_were_given() {
    let window = [Window::new(0, 0.0, super::clip("austen-0870"))];
    let text = |hotwords: Option<&str>| {
        let options = DecodeOptions { hotwords: hotwords.map(String::from), ..DecodeOptions::default() };
        BASE.transcribe(&window, &options).unwrap()[0].segments[0].text.clone()
    };
    let (plain, hot) = (text(None), text(Some("Dashwoode")));
    assert!(plain.contains("Dashwood ") && hot.contains("Dashwoode "), "{plain} {hot}");
}

/// The options that the reference decoded with: greedy, and no second try.
fn options(record: &Value) -> DecodeOptions {
    DecodeOptions {
        language: Language::parse(record["language"].as_str().unwrap()),
        task: if record["task"] == "translate" { Task::Translate } else { Task::Transcribe },
        timestamps: record["timestamps"].as_bool().unwrap(),
        initial_prompt: record["initial_prompt"].as_str().map(String::from),
        hotwords: record["hotwords"].as_str().map(String::from),
        temperatures: vec![0.0],
        beam_size: 1,
        whole_windows: false,
        ..DecodeOptions::default()
    }
}

#[test]
fn greedy_tokens_are_those_of_the_reference() {
    let mut records = Vec::new();
    for_each_record("decode.json", |record, samples| records.push((record.clone(), samples.to_vec())));
    let mut ties = Vec::new();
    for model in ["base", "tiny.en"] {
        let of_model: Vec<_> = records.iter().filter(|(record, _)| record["model"] == model).collect();
        // All in one batch, of prompts and texts of different lengths.
        for ((record, _), (prompt, decoded)) in of_model.iter().zip(decode(named(&model.into()), &of_model)) {
            ties.extend(compare(record, &prompt, &decoded));
        }
    }
    println!("{} of {} records the same; near ties: {ties:#?}", records.len() - ties.len(), records.len());
    assert!(ties.len() * 20 <= records.len(), "too many near ties: {ties:#?}");
}

/// Prompt and tokens of every record; each clip is encoded once.
fn decode(transcriber: &Transcriber, records: &[&(Value, Vec<f32>)]) -> Vec<(Vec<u32>, Decoded)> {
    let mut encoded = BTreeMap::new();
    for (record, samples) in records {
        encoded
            .entry(record["clip"].to_string())
            .or_insert_with(|| transcriber.encode(&Window::new(0, 0.0, samples.clone())));
    }
    let options: Vec<DecodeOptions> = records.iter().map(|(record, _)| options(record)).collect();
    let requests: Vec<_> = records
        .iter()
        .zip(&options)
        .map(|((record, _), options)| DecodeRequest {
            encoded: &encoded[&record["clip"].to_string()],
            options,
        })
        .collect();
    transcriber.decode_tokens(&requests)
}

/// Holds one text against the reference's; says where a near tie fell the other way.
fn compare(record: &Value, prompt: &[u32], decoded: &Decoded) -> Option<String> {
    let name = format!("{} {} {}", record["model"], record["clip"], record["task"]);
    let name = format!("{name}, timestamps {}", record["timestamps"]);
    assert_eq!(prompt, integers(&record["prompt"]), "{name}");
    let expected = integers(&record["tokens"]);
    if decoded.tokens != expected {
        let same =
            decoded.tokens.iter().zip(&expected).take_while(|(token, expected)| token == expected).count();
        let margin = record["margins"][same].as_f64().unwrap();
        assert!(
            margin < NEAR_TIE,
            "{name}: token {same} differs by {margin}:\n{:?}\n{expected:?}",
            decoded.tokens
        );
        return Some(format!("{name}: token {same} fell the other way; the reference's margin is {margin}"));
    }
    for (figure, expected, tolerance) in [
        (decoded.avg_logprob, &record["avg_logprob"], 2e-3),
        (decoded.no_speech_prob, &record["no_speech_prob"], 2e-3),
        // Other zlibs find other matches, and differ by a few bytes.
        (decoded.compression_ratio, &record["compression_ratio"], 0.1),
    ] {
        let expected = expected.as_f64().unwrap() as f32;
        assert!(
            (figure - expected).abs() <= tolerance * expected.abs().max(1.0),
            "{name}: {figure} for {expected}"
        );
    }
    None
}

#[test]
fn a_windows_transcript_does_not_depend_on_its_batch() {
    let windows: Vec<Window> = ["austen-0870", "cards-005", "austen-joined", "silence", "cards-001"]
        .iter()
        .enumerate()
        .map(|(index, name)| Window::new(index, 10.0 * index as f64, super::clip(name)))
        .collect();
    for options in
        [DecodeOptions::default(), DecodeOptions { temperatures: vec![0.7], ..DecodeOptions::default() }]
    {
        let together = BASE.transcribe(&windows, &options).unwrap();
        for (window, together) in windows.iter().zip(together) {
            let alone = BASE.transcribe(std::slice::from_ref(window), &options).unwrap();
            assert_eq!(alone, [together]);
        }
    }
}

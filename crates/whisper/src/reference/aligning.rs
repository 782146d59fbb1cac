//! When words were said.

use std::sync::Arc;

use serde_json::Value;

use super::{TINY_EN, floats, for_each_record, integers, models, named};
use crate::align::{Aligner, Text, TokenTimes};
use crate::network::decoder::Memory;
use crate::text::segments::TextSegment;
use crate::text::tokenizer::Previous;
use crate::{ComputeType, Model, Transcriber};
use verbatim_speech::{Language, Task, Word};

/// A fixture's text and sound, ready to be aligned.
struct Given<'t> {
    transcriber: &'t Transcriber,
    memory: Arc<Memory>,
    language: Language,
    task: Task,
    samples: usize,
    segments: Vec<TextSegment>,
}

impl<'t> Given<'t> {
    fn new(record: &Value, samples: &[f32], transcriber: &'t Transcriber) -> Self {
        let model = transcriber.model();
        let states = model.encoder.forward(&model.spectrogram(samples));
        let segment = |segment: &Value| TextSegment {
            start: segment["start"].as_f64().unwrap(),
            end: segment["end"].as_f64().unwrap(),
            tokens: integers(&segment["tokens"]),
        };
        Self {
            transcriber,
            memory: Arc::new(model.decoder.memory(&states)),
            language: Language::parse(record["language"].as_str().unwrap()).unwrap(),
            task: if record["task"] == "translate" { Task::Translate } else { Task::Transcribe },
            samples: samples.len(),
            segments: record["segments"].as_array().unwrap().iter().map(segment).collect(),
        }
    }

    fn text(&self) -> Text<'_> {
        let tokenizer = &self.transcriber.model().tokenizer;
        let prompt = tokenizer.prompt(Previous::default(), self.language, self.task, false).unwrap();
        Text {
            memory: &self.memory,
            prompt,
            language: self.language,
            task: self.task,
            samples: self.samples,
            segments: &self.segments,
        }
    }

    fn tokens(&self) -> TokenTimes {
        self.transcriber.model().aligner().tokens(&[self.text()]).remove(0).unwrap()
    }

    fn words(&self) -> Vec<Word> {
        self.transcriber.model().aligner().words(&[self.text()]).remove(0).concat()
    }
}

#[test]
fn tokens_start_where_the_reference_finds_them() {
    let (mut total, mut apart) = (0, Vec::new());
    for_each_record("align.json", |record, samples| {
        let TokenTimes { starts, probabilities } =
            Given::new(record, samples, named(&record["model"])).tokens();
        let name = format!("{} {} {}", record["model"], record["clip"], record["task"]);
        let expected = integers(&record["first_frames"]);
        assert_eq!(starts.len(), expected.len(), "{name}");
        for (token, (start, expected)) in starts.iter().zip(expected).enumerate() {
            let expected = f64::from(expected) * 0.02;
            total += 1;
            if (start - expected).abs() > 0.021 {
                apart.push(format!("{name}: token {token} starts at {start:.2}, not {expected:.2}"));
            }
        }
        for (token, (probability, expected)) in
            probabilities.iter().zip(floats(&record["probabilities"])).enumerate()
        {
            assert!(
                (probability - expected).abs() < 1e-2,
                "{name}: token {token}: {probability} for {expected}"
            );
        }
    });
    println!("{} of {total} tokens start elsewhere: {apart:#?}", apart.len());
    assert!(apart.len() * 100 <= total, "{apart:#?}");
}

/// The words of a record, each with what the reference has for it: start, end and probability. The last is
/// missing where we have one word for several, for the reference cuts "ill-disposed" in two.
fn beside_the_reference(words: Vec<Word>, record: &Value) -> Vec<(Word, f64, f64, Option<f64>)> {
    let segments = record["words"].as_array().unwrap();
    let mut expected = segments.iter().flat_map(|segment| segment.as_array().unwrap());
    let mut compared = Vec::new();
    for word in words {
        let first = expected.next().unwrap();
        let (mut text, mut last) = (first[0].as_str().unwrap().to_owned(), first);
        while text.len() < word.word.len() {
            last = expected.next().unwrap();
            text.push_str(last[0].as_str().unwrap());
        }
        assert_eq!(text, word.word);
        let number = |word: &Value, index: usize| word[index].as_f64().unwrap();
        let probability = (first == last).then(|| number(first, 3));
        compared.push((word, number(first, 1), number(last, 2), probability));
    }
    assert_eq!(expected.next(), None, "{}", record["clip"]);
    compared
}

/// Median and 90th percentile of how far starts and ends are apart, in seconds.
fn distances(compared: &[(Word, f64, f64, Option<f64>)]) -> (f64, f64) {
    let apart = |(word, start, end, _): &(Word, f64, f64, Option<f64>)| {
        [(word.start - start).abs(), (word.end - end).abs()]
    };
    let mut apart: Vec<f64> = compared.iter().flat_map(apart).collect();
    apart.sort_by(f64::total_cmp);
    let share = |share: f64| apart[((apart.len() - 1) as f64 * share) as usize];
    println!("starts and ends of {} words are {:.3} s apart at most", compared.len(), share(1.0));
    (share(0.5), share(0.9))
}

#[test]
fn words_are_timed_as_by_the_reference() {
    let mut compared = Vec::new();
    for_each_record("align.json", |record, samples| {
        let words = Given::new(record, samples, named(&record["model"])).words();
        compared.extend(beside_the_reference(words, record));
    });
    let (median, ninetieth) = distances(&compared);
    assert!(median <= 0.02 && ninetieth <= 0.02, "{median} s, {ninetieth} s");
    for (word, .., probability) in compared {
        let probability = probability.unwrap_or(word.probability.into());
        assert!((f64::from(word.probability) - probability).abs() < 1e-2, "{word:?}: {probability}");
    }
}

#[test]
fn in_bytes_words_are_hardly_timed_otherwise() {
    let base = Transcriber::new(Model::load(&models().join("base"), ComputeType::Int8).unwrap());
    let mut compared = Vec::new();
    for_each_record("align.json", |record, samples| {
        // Of noise the model writes what the last bit decides.
        let is_speech = !["noise", "sweep", "silence"].contains(&record["clip"].as_str().unwrap());
        if record["model"] == "base" && is_speech {
            compared.extend(beside_the_reference(Given::new(record, samples, &base).words(), record));
        }
    });
    let (median, ninetieth) = distances(&compared);
    println!("int8: {median:.3} s (median), {ninetieth:.3} s (90 %)");
    assert!(median <= 0.02 && ninetieth <= 0.06, "{median} s, {ninetieth} s");
}

#[test]
fn the_upper_half_of_the_layers_does_where_nobody_knows_the_heads() {
    let layers_and_heads = (2..4).flat_map(|layer| (0..6).map(move |head| (layer, head)));
    let upper: Vec<(usize, usize)> = layers_and_heads.collect();
    let mut differences = Vec::new();
    for_each_record("align.json", |record, samples| {
        if record["model"] == "tiny.en" && record["clip"] == "austen-joined" {
            let given = Given::new(record, samples, &TINY_EN);
            let aligner = Aligner { heads: &upper, ..given.transcriber.model().aligner() };
            let by_upper = aligner.words(&[given.text()]).remove(0).concat();
            differences.extend(given.words().iter().zip(by_upper).map(|(a, b)| (a.start - b.start).abs()));
        }
    });
    differences.sort_by(f64::total_cmp);
    assert!(differences.len() > 40);
    let median = differences[differences.len() / 2];
    assert!(median < 0.2, "{median} s");
}

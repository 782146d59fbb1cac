//! Summarises a topic by one or two of its sentences.

use crate::embedder::{Embedding, dot};
use crate::words::{Word, words};

/// The maximum length of a summary, in characters.
const MAX_LENGTH: usize = 200;

/// A second sentence must be at least this share as central as the first.
const SECOND: f64 = 0.8;

/// The weight of a second sentence's similarity to the first, which counts against it.
const REDUNDANCY: f64 = 0.5;

/// A sentence with fewer words says little, however central. With `n` words, its score is multiplied by `n` over
/// this.
const ENOUGH_WORDS: usize = 6;

/// Measures the similarity of two sentences, from -1 or 0 to 1.
#[derive(Debug)]
pub(super) enum Closeness<'a> {
    Vectors(&'a [Embedding]),
    /// By the words that two sentences share.
    Words(&'a [Vec<Word>]),
}

impl Closeness<'_> {
    fn between(&self, a: usize, b: usize) -> f64 {
        match self {
            Self::Vectors(vectors) => f64::from(dot(&vectors[a], &vectors[b])),
            Self::Words(words) => shared(&words[a], &words[b]),
        }
    }
}

/// The cosine of two bags of stems. Short words count less, because most are function words.
fn shared(a: &[Word], b: &[Word]) -> f64 {
    let weight = |word: &Word| (word.stem().chars().count() as f64).powi(2);
    let square = |words: &[Word]| words.iter().map(weight).sum::<f64>();
    let common = a.iter().filter(|word| b.iter().any(|other| other.stem() == word.stem())).map(weight);
    let lengths = (square(a) * square(b)).sqrt();
    if lengths > 0.0 { (common.sum::<f64>() / lengths).min(1.0) } else { 0.0 }
}

/// The most central sentence, and a second one if there is room for it and it adds to the first; in their order in
/// the text, together at most 200 characters. The most central sentence is the one most similar to all others (degree
/// centrality, as in LexRank: Erkan and Radev 2004). If no sentence is short enough, the most central one is cut
/// after a word.
pub(super) fn summary(sentences: &[&str], words: &[Vec<Word>], closeness: &Closeness<'_>) -> String {
    let scores: Vec<f64> =
        (0..sentences.len()).map(|i| score(i, &words[i], sentences.len(), closeness)).collect();
    let length = |i: usize| sentences[i].chars().count();
    let best = |candidates: &mut dyn Iterator<Item = usize>, score: &dyn Fn(usize) -> f64| {
        candidates.map(|i| (i, score(i))).reduce(|a, b| if b.1 > a.1 { b } else { a })
    };
    let Some((central, _)) = best(&mut (0..sentences.len()), &|i| scores[i]) else { return String::new() };
    let Some((first, top)) =
        best(&mut (0..sentences.len()).filter(|i| length(*i) <= MAX_LENGTH), &|i| scores[i])
    else {
        return cut(sentences[central]);
    };
    let adds = |i: usize| scores[i] - REDUNDANCY * top.abs() * closeness.between(first, i).max(0.0);
    let mut others = (0..sentences.len()).filter(|i| {
        *i != first && length(*i) + 1 + length(first) <= MAX_LENGTH && scores[*i] >= SECOND * top
    });
    match best(&mut others, &adds) {
        Some((second, gain)) if gain > 0.0 && sentences[second] != sentences[first] => {
            format!("{} {}", sentences[first.min(second)], sentences[first.max(second)])
        }
        _ => sentences[first].to_owned(),
    }
}

/// The mean similarity of a sentence to the others. In a long topic, only some of the others count, evenly spread.
fn score(sentence: usize, words: &[Word], count: usize, closeness: &Closeness<'_>) -> f64 {
    const SAMPLE: usize = 200;
    let step = count.div_ceil(SAMPLE);
    let others = (0..count).step_by(step).filter(|other| *other != sentence);
    let (sum, compared) = others
        .fold((0.0, 0), |(sum, compared), other| (sum + closeness.between(sentence, other), compared + 1));
    let fullness = words.len().min(ENOUGH_WORDS) as f64 / ENOUGH_WORDS as f64;
    fullness * if compared == 0 { 1.0 } else { sum / f64::from(compared) }
}

/// The start of a sentence, with as many words as fit, and an ellipsis.
fn cut(sentence: &str) -> String {
    let fits = |text: &str| text.chars().count() < MAX_LENGTH;
    let end =
        words(sentence).iter().map(|word| word.range.end).take_while(|end| fits(&sentence[..*end])).last();
    format!("{}…", &sentence[..end.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(sentences: &[&str]) -> String {
        let words: Vec<_> = sentences.iter().map(|sentence| words(sentence)).collect();
        summary(sentences, &words, &Closeness::Words(&words))
    }

    #[test]
    fn the_most_central_sentence_is_the_summary() {
        let text = [
            "Nobody was hurt in the end, as far as anybody knew.",
            "The surveyor measured the river from a boat in the spring.",
            "Boats on the river were old, and the river was high.",
            "In the spring the surveyor lost a boat on the river.",
            "It rained.",
        ];
        let summary = of(&text);
        assert!(
            summary.contains("river") && !summary.contains("rained") && !summary.contains("Nobody"),
            "{summary}"
        );
    }

    #[test]
    fn a_sentence_that_is_too_long_is_cut_behind_a_word() {
        let long = "river ".repeat(60);
        let summary = of(&[long.trim()]);
        assert!(summary.ends_with("river…") && summary.chars().count() <= MAX_LENGTH, "{summary}");
        assert_eq!(of(&["x".repeat(300).as_str()]), "…");
    }

    #[test]
    fn no_sentence_is_repeated() {
        let text = "The survey of the river began in the spring.";
        assert_eq!(of(&[text, text, text]), text);
        assert_eq!(of(&[]), "");
    }

    proptest! {
        #[test]
        fn a_summary_is_short_and_made_of_sentences(
            sentences in prop::collection::vec("[a-e][a-e ]{0,119}", 1..12),
        ) {
            let sentences: Vec<&str> = sentences.iter().map(|sentence| sentence.trim()).collect();
            let summary = of(&sentences);
            prop_assert!(summary.chars().count() <= MAX_LENGTH);
            prop_assert!(sentences.iter().any(|sentence| summary.starts_with(sentence)));
        }
    }
}

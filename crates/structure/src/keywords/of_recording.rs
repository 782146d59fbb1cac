//! The keywords of a whole recording: its noun phrases, with all mentions of each.

use std::collections::HashMap;

use super::phrase::{Forms, score};
use crate::english::NounPhrase;
use crate::structure::Keyword;
use crate::transcript::TimedText;

/// The maximum number of keywords of a recording.
const MAX_KEYWORDS: usize = 50;

/// A phrase with all its forms and mentions.
#[derive(Debug, Default)]
struct Mentions {
    lemmas: Vec<String>,
    forms: Forms,
    /// The range of each mention, in bytes of the text.
    places: Vec<std::ops::Range<usize>>,
    is_name: bool,
}

/// The noun phrases with the highest scores, in order of score. Phrases with the same lemmas are one.
pub(crate) fn keywords(text: &TimedText, phrases: &[NounPhrase]) -> Vec<Keyword> {
    let mut numbers: HashMap<Vec<String>, usize> = HashMap::new();
    let mut all: Vec<Mentions> = Vec::new();
    let mut frequencies: HashMap<String, usize> = HashMap::new();
    for phrase in phrases {
        let lemmas: Vec<String> = phrase.lemmas().collect();
        lemmas.iter().for_each(|lemma| *frequencies.entry(lemma.clone()).or_default() += 1);
        let number = *numbers.entry(lemmas.clone()).or_insert_with(|| {
            all.push(Mentions { lemmas, ..Mentions::default() });
            all.len() - 1
        });
        all[number].add(&text.text, phrase);
    }
    let mut ranked: Vec<(f64, Mentions)> = all
        .into_iter()
        .map(|phrase| {
            // The geometric mean of the frequencies of the phrase and of each word: a phrase that occurs once does
            // not get a high score for words that are frequent in other phrases.
            let count = phrase.places.len();
            let weights = phrase.lemmas.iter().map(|lemma| ((frequencies[lemma] * count) as f64).sqrt());
            (score(weights, count, phrase.is_name), phrase)
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.truncate(MAX_KEYWORDS);
    ranked.into_iter().map(|(_, phrase)| phrase.keyword(text)).collect()
}

impl Mentions {
    fn add(&mut self, text: &str, phrase: &NounPhrase) {
        self.forms.add(&text[phrase.range()]);
        self.places.push(phrase.range());
        self.is_name |= phrase.words.iter().any(|word| word.is_name);
    }

    fn keyword(self, text: &TimedText) -> Keyword {
        Keyword {
            phrase: self.forms.most_frequent(),
            lemma: self.lemmas.join(" "),
            count: self.places.len(),
            seconds: self.places.into_iter().map(|place| text.seconds(place).0).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::english::NounWord;
    use crate::structure::Sentence;

    /// The noun phrases with these texts. A lemma is the word without its final “s”.
    fn phrases(text: &str, texts: &[&str]) -> Vec<NounPhrase> {
        let mut from = 0;
        let mut place = |phrase: &str| -> Range<usize> {
            let start = from + text[from..].find(phrase).expect("the phrase is in the text");
            from = start + phrase.len();
            start..from
        };
        let phrase = |phrase: &&str| {
            let range = place(phrase);
            let mut at = range.start;
            let word = |word: &str| {
                let range = at..at + word.len();
                at = range.end + 1;
                NounWord { range, lemma: word.trim_end_matches('s').into(), is_noun: true, is_name: false }
            };
            NounPhrase { words: phrase.split(' ').map(word).collect() }
        };
        texts.iter().map(phrase).collect()
    }

    #[test]
    fn phrases_of_one_lemma_are_counted_and_timed_together() {
        let sentences = [
            ("River surveys are rare.", 0.0, 4.0),
            ("Old boats sank, and a boat burned.", 10.0, 14.0),
            ("The river survey needs boats.", 20.0, 24.0),
        ];
        let sentences = sentences.map(|(text, start, end)| Sentence { text: text.to_owned(), start, end });
        let (text, _) = TimedText::of_sentences(&sentences);
        let texts = ["River surveys", "Old boats", "boat", "river survey", "boats"];
        let found = keywords(&text, &phrases(&text.text, &texts));
        let expected =
            [("River surveys", "river survey", 2), ("boat", "boat", 2), ("Old boats", "old boat", 1)];
        let counts: Vec<_> =
            found.iter().map(|each| (each.phrase.as_str(), each.lemma.as_str(), each.count)).collect();
        assert_eq!(counts, expected);
        assert_eq!(found[0].seconds[0], 0.0);
        assert!(found[0].seconds[1] > 20.0 && found[0].seconds[1] < 22.0, "{found:?}");
    }
}

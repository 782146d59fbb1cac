//! Keywords and title of a topic: phrases that tell a stretch of sentences from the rest of its text.
//!
//! Candidates are noun phrases where a parser has found them, and else runs of content words without a mark between them, as in
//! RAKE (Rose et al. 2010). They are weighed by how often their words are said within, and how rarely outside (tf-idf,
//! with the topic as one document).

use std::collections::{HashMap, HashSet};

use super::phrase::{Forms, score};
use crate::english::NounPhrase;
use crate::words::Word;

/// Words of a phrase.
const LONGEST: usize = 3;

/// How many keywords a topic has at most.
const KEYWORDS: usize = 8;

/// How many of them are its title.
const TITLE: usize = 3;

/// Characters of a title.
const LONGEST_TITLE: usize = 60;

/// In languages whose function words are not listed, a word that is in more than this share of all sentences says
/// nothing of a subject, if there are enough sentences to tell.
const COMMON: f64 = 0.08;
const ENOUGH_SENTENCES: usize = 25;

/// And neither does one of fewer letters, in a script whose words have many.
const SHORTEST: usize = 4;

/// A text's sentences, and in how many of them each word is.
#[derive(Debug)]
pub(crate) struct Phrases<'t> {
    sentences: &'t [&'t str],
    words: &'t [Vec<Word>],
    english: bool,
    /// Of each sentence, as places in it.
    nouns: Option<&'t [Vec<NounPhrase>]>,
    /// By stem.
    in_sentences: HashMap<&'t str, usize>,
    /// Words that are somewhere written small.
    small: HashSet<&'t str>,
}

/// What a phrase is like within a topic.
#[derive(Debug)]
struct Candidate<'t> {
    stems: Vec<&'t str>,
    forms: Forms,
    count: usize,
}

impl<'t> Phrases<'t> {
    pub(crate) fn new(
        sentences: &'t [&'t str],
        words: &'t [Vec<Word>],
        english: bool,
        nouns: Option<&'t [Vec<NounPhrase>]>,
    ) -> Self {
        let mut in_sentences = HashMap::new();
        for words in words {
            for stem in words.iter().map(Word::stem).collect::<HashSet<_>>() {
                *in_sentences.entry(stem).or_default() += 1;
            }
        }
        let written =
            sentences.iter().zip(words).flat_map(|(text, words)| words.iter().map(move |word| (text, word)));
        let is_small =
            |(text, word): &(&&str, &Word)| text[word.range.clone()].starts_with(char::is_lowercase);
        let small = written.filter(is_small).map(|(_, word)| word.lower.as_str()).collect();
        Self { sentences, words, english, nouns, in_sentences, small }
    }

    /// Those of some sentences of the text, the most telling first. None has a word with another one in common.
    pub(crate) fn keywords(&self, range: std::ops::Range<usize>) -> Vec<String> {
        let mut said: HashMap<&str, (usize, usize)> = HashMap::new();
        for words in &self.words[range.clone()] {
            let mut here = HashSet::new();
            for word in words {
                let (times, sentences) = said.entry(word.stem()).or_default();
                *times += 1;
                *sentences += usize::from(here.insert(word.stem()));
            }
        }
        let weight = |stem: &str| {
            let (times, sentences) = said.get(stem).copied().unwrap_or_default();
            let outside = self.in_sentences.get(stem).map_or(0, |all| all - sentences);
            times as f64 * ((1 + self.words.len()) as f64 / (1 + outside) as f64).ln()
        };
        let mut candidates: Vec<(f64, Candidate<'_>)> = self
            .candidates(range)
            .into_iter()
            .map(|candidate| {
                let weights = candidate.stems.iter().map(|stem| weight(stem));
                (score(weights, candidate.count, candidate.is_name()), candidate)
            })
            .collect();
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut used, mut keywords) = (HashSet::new(), Vec::new());
        for (_, candidate) in candidates {
            if keywords.len() < KEYWORDS && candidate.stems.iter().all(|stem| !used.contains(stem)) {
                used.extend(candidate.stems.iter().copied());
                keywords.push(candidate.forms.most_frequent());
            }
        }
        keywords
    }

    /// Every phrase of up to three words in runs of content words, in order of appearance. It ends with a noun where nouns
    /// are known.
    fn candidates(&self, range: std::ops::Range<usize>) -> Vec<Candidate<'t>> {
        let mut numbers: HashMap<Vec<&str>, usize> = HashMap::new();
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        for index in range {
            let (text, words) = (self.sentences[index], &self.words[index]);
            for run in self.runs(index) {
                for from in 0..run.len() {
                    let ends = (from + 1..=run.len().min(from + LONGEST)).map(|to| &run[from..to]);
                    for phrase in ends.filter(|phrase| self.may_end(index, phrase)) {
                        let stems: Vec<&str> = phrase.iter().map(Word::stem).collect();
                        let number = *numbers.entry(stems.clone()).or_insert_with(|| {
                            candidates.push(Candidate { stems, forms: Forms::default(), count: 0 });
                            candidates.len() - 1
                        });
                        // A capital at a sentence's start says nothing of a word that has none elsewhere.
                        let starts = phrase.first() == words.first()
                            && phrase.first().is_some_and(|word| self.small.contains(word.lower.as_str()));
                        candidates[number].add(&form(text, phrase, starts));
                    }
                }
            }
        }
        candidates
    }

    /// Content words that follow each other with nothing but a space or a hyphen between; within one noun phrase where those
    /// are known.
    fn runs(&self, index: usize) -> Vec<&'t [Word]> {
        let (text, words) = (self.sentences[index], &self.words[index]);
        let mut runs = Vec::new();
        let mut from = 0;
        for to in 1..=words.len() {
            let joined = words.get(to).is_some_and(|word| {
                let between = &text[words[to - 1].range.end..word.range.start];
                let one_phrase = self.noun_phrase(index, word) == self.noun_phrase(index, &words[to - 1]);
                matches!(between, " " | "-") && one_phrase && self.is_content(word)
            });
            if !joined || !self.is_content(&words[to - 1]) {
                runs.push(&words[from..to]);
                from = to;
            }
        }
        let is_noun_phrase = |word| self.nouns.is_none() || self.noun_phrase(index, word).is_some();
        runs.retain(|run| run.iter().all(|word| self.is_content(word) && is_noun_phrase(word)));
        runs
    }

    /// The number of the noun phrase that holds a word of a sentence.
    fn noun_phrase(&self, index: usize, word: &Word) -> Option<usize> {
        let phrases = self.nouns?[index].iter();
        phrases.map(NounPhrase::range).position(|range| range.contains(&word.range.start))
    }

    fn may_end(&self, index: usize, phrase: &[Word]) -> bool {
        let Some(nouns) = self.nouns else { return true };
        let words = nouns[index].iter().flat_map(|phrase| &phrase.words);
        let mut nouns = words.filter(|word| word.is_noun);
        phrase.last().is_some_and(|last| nouns.any(|noun| last.range.contains(&noun.range.start)))
    }

    fn is_content(&self, word: &Word) -> bool {
        if word.lower.chars().all(|c| c.is_numeric() || c.is_ascii_punctuation()) {
            return false;
        }
        if self.english {
            return !word.is_english_function_word();
        }
        let count = self.words.len();
        let common = count >= ENOUGH_SENTENCES
            && self.in_sentences.get(word.stem()).is_some_and(|all| *all as f64 > COMMON * count as f64);
        let is_spelt = word.lower.chars().all(|c| (c as u32) < 0x0E00);
        let is_short =
            if is_spelt { word.lower.chars().count() < SHORTEST } else { word.lower.chars().count() < 2 };
        !common && !is_short
    }
}

impl Candidate<'_> {
    fn add(&mut self, form: &str) {
        self.count += 1;
        self.forms.add(form);
    }

    fn is_name(&self) -> bool {
        self.forms.iter().any(|form| form.starts_with(char::is_uppercase))
    }
}

/// The phrase as it stands in the text, but for an “'s” at its end; `small` where its first word's capital is
/// only that of its sentence.
fn form(text: &str, phrase: &[Word], small: bool) -> String {
    let (Some(first), Some(last)) = (phrase.first(), phrase.last()) else { return String::new() };
    let said = &text[first.range.start..last.range.end];
    let said = ["'s", "’s"].iter().find_map(|ending| said.strip_suffix(ending)).unwrap_or(said);
    let mut letters = said.chars();
    match letters.next() {
        Some(letter) if small => letter.to_lowercase().chain(letters).collect(),
        _ => said.to_owned(),
    }
}

/// The first keywords, as a heading.
pub(crate) fn title(keywords: &[String]) -> String {
    let mut title = String::new();
    for keyword in keywords.iter().take(TITLE) {
        let separator = if title.is_empty() { "" } else { ", " };
        if !title.is_empty() && title.chars().count() + 2 + keyword.chars().count() > LONGEST_TITLE {
            break;
        }
        title = format!("{title}{separator}{keyword}");
    }
    let mut letters = title.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words;

    fn keywords(sentences: &[&str], range: std::ops::Range<usize>, english: bool) -> Vec<String> {
        let words: Vec<_> = sentences.iter().map(|sentence| words(sentence)).collect();
        Phrases::new(sentences, &words, english, None).keywords(range)
    }

    const TEXT: [&str; 6] = [
        "The river survey began in May.",
        "A river survey needs boats, and the boats were old.",
        "Mr. Dashwood led the river survey from Norland.",
        "Bread begins with flour.",
        "The baker kneads the dough, and the dough rests.",
        "The dough of the baker is bread.",
    ];

    #[test]
    fn a_topic_is_told_by_what_is_said_in_it_alone() {
        let river = keywords(&TEXT, 0..3, true);
        assert_eq!(river[..2], ["river survey", "boats"]);
        assert!(river.contains(&"Dashwood".to_owned()) && river.contains(&"Norland".to_owned()), "{river:?}");
        let bread = keywords(&TEXT, 3..6, true);
        assert_eq!(
            bread[..3].iter().map(String::as_str).collect::<HashSet<_>>(),
            ["dough", "bread", "baker"].into()
        );
        assert_eq!(title(&river), "River survey, boats, Dashwood");
    }

    #[test]
    fn languages_without_a_list_of_function_words_have_keywords() {
        let german =
            ["Die Vermessung des Flusses begann.", "Die Vermessung brauchte Boote.", "Der Teig ruht."];
        assert_eq!(keywords(&german, 0..2, false)[0], "Vermessung");
        assert!(!keywords(&["今日は東京の天気がいいです。", "東京は晴れです。"], 0..2, false).is_empty());
    }

    #[test]
    fn capitals_stay_where_they_are_the_words_own() {
        let text = [
            "Norland was sold.",
            "Boats were lost.",
            "The boats were old.",
            "Columbia's lost crew",
            "iPhones, too.",
        ];
        assert_eq!(keywords(&text, 0..1, true), ["Norland", "sold"]);
        assert_eq!(keywords(&text, 1..3, true)[0], "boats");
        assert_eq!(keywords(&["Columbia’s is Columbia’s."], 0..1, true), ["Columbia"]);
        assert_eq!(keywords(&text, 4..5, true), ["iPhones"]);
    }

    #[test]
    fn nothing_to_say_is_no_title() {
        assert_eq!(keywords(&["And so on.", "It is."], 0..2, true), [""; 0]);
        assert_eq!(title(&[]), "");
    }
}

//! The keywords and the title of a topic: phrases that distinguish its sentences from the rest of the text.
//!
//! Candidates are noun phrases if a parser has found them; otherwise runs of content words without punctuation
//! between them, as in RAKE (Rose et al. 2010). A candidate's score is high if its words are frequent in the topic
//! and rare in the other sentences (tf-idf, with the topic as one document).

use std::collections::{HashMap, HashSet};

use super::phrase::{Forms, score};
use crate::english::NounPhrase;
use crate::words::Word;

/// The maximum number of words in a phrase.
const MAX_WORDS: usize = 3;

/// The maximum number of keywords of a topic.
const MAX_KEYWORDS: usize = 8;

/// The number of keywords in a title.
const TITLE_KEYWORDS: usize = 3;

/// The maximum length of a title of several keywords, in characters.
const MAX_TITLE: usize = 60;

/// In languages other than English, a word that is in more than this share of all sentences counts as a function
/// word, if there are at least [`ENOUGH_SENTENCES`].
const COMMON: f64 = 0.08;
const ENOUGH_SENTENCES: usize = 25;

/// In these languages, a word with fewer letters counts as a function word too, unless its script has short words.
const MIN_LETTERS: usize = 4;

/// The sentences of a text, and in how many of them each word occurs.
#[derive(Debug)]
pub(crate) struct Phrases<'t> {
    sentences: &'t [&'t str],
    words: &'t [Vec<Word>],
    english: bool,
    /// The noun phrases of each sentence, as places in it.
    nouns: Option<&'t [Vec<NounPhrase>]>,
    /// The number of sentences that a stem occurs in.
    sentence_counts: HashMap<&'t str, usize>,
    /// Words that occur in lower case somewhere.
    lower_case: HashSet<&'t str>,
}

/// A phrase that occurs in a topic.
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
        let mut sentence_counts = HashMap::new();
        for words in words {
            for stem in words.iter().map(Word::stem).collect::<HashSet<_>>() {
                *sentence_counts.entry(stem).or_default() += 1;
            }
        }
        let written =
            sentences.iter().zip(words).flat_map(|(text, words)| words.iter().map(move |word| (text, word)));
        let is_lower_case =
            |(text, word): &(&&str, &Word)| text[word.range.clone()].starts_with(char::is_lowercase);
        let lower_case = written.filter(is_lower_case).map(|(_, word)| word.lower.as_str()).collect();
        Self { sentences, words, english, nouns, sentence_counts, lower_case }
    }

    /// The keywords of a range of the sentences, in order of score. No two share a word.
    pub(crate) fn keywords(&self, range: std::ops::Range<usize>) -> Vec<String> {
        let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
        for words in &self.words[range.clone()] {
            let mut in_sentence = HashSet::new();
            for word in words {
                let (times, sentences) = counts.entry(word.stem()).or_default();
                *times += 1;
                *sentences += usize::from(in_sentence.insert(word.stem()));
            }
        }
        let weight = |stem: &str| {
            let (times, sentences) = counts.get(stem).copied().unwrap_or_default();
            let outside = self.sentence_counts.get(stem).map_or(0, |all| all - sentences);
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
            if keywords.len() < MAX_KEYWORDS && candidate.stems.iter().all(|stem| !used.contains(stem)) {
                used.extend(candidate.stems.iter().copied());
                keywords.push(candidate.forms.most_frequent());
            }
        }
        keywords
    }

    /// All phrases of up to three words in runs of content words, in order of appearance. If nouns are known, a
    /// phrase ends with one.
    fn candidates(&self, range: std::ops::Range<usize>) -> Vec<Candidate<'t>> {
        let mut numbers: HashMap<Vec<&str>, usize> = HashMap::new();
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        for index in range {
            let (text, words) = (self.sentences[index], &self.words[index]);
            for run in self.runs(index) {
                for from in 0..run.len() {
                    let ends = (from + 1..=run.len().min(from + MAX_WORDS)).map(|to| &run[from..to]);
                    for phrase in ends.filter(|phrase| self.ends_with_noun(index, phrase)) {
                        let stems: Vec<&str> = phrase.iter().map(Word::stem).collect();
                        let number = *numbers.entry(stems.clone()).or_insert_with(|| {
                            candidates.push(Candidate { stems, forms: Forms::default(), count: 0 });
                            candidates.len() - 1
                        });
                        // The capital letter at the start of a sentence is ignored if the word occurs in lower case
                        // elsewhere.
                        let starts = phrase.first() == words.first()
                            && phrase
                                .first()
                                .is_some_and(|word| self.lower_case.contains(word.lower.as_str()));
                        candidates[number].add(&form(text, phrase, starts));
                    }
                }
            }
        }
        candidates
    }

    /// Runs of content words with only a space or a hyphen between them, and within one noun phrase if those are
    /// known.
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

    /// The index of the noun phrase that holds a word of a sentence.
    fn noun_phrase(&self, index: usize, word: &Word) -> Option<usize> {
        let phrases = self.nouns?[index].iter();
        phrases.map(NounPhrase::range).position(|range| range.contains(&word.range.start))
    }

    /// Whether a phrase ends with a noun, or nouns are not known.
    fn ends_with_noun(&self, index: usize, phrase: &[Word]) -> bool {
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
            && self.sentence_counts.get(word.stem()).is_some_and(|all| *all as f64 > COMMON * count as f64);
        let is_alphabetic = word.lower.chars().all(|c| (c as u32) < 0x0E00);
        let is_short = if is_alphabetic {
            word.lower.chars().count() < MIN_LETTERS
        } else {
            word.lower.chars().count() < 2
        };
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

/// The phrase as in the text, without “'s” at its end. With `lower_case`, its first letter is put in lower case.
fn form(text: &str, phrase: &[Word], lower_case: bool) -> String {
    let (Some(first), Some(last)) = (phrase.first(), phrase.last()) else { return String::new() };
    let form = &text[first.range.start..last.range.end];
    let form = ["'s", "’s"].iter().find_map(|ending| form.strip_suffix(ending)).unwrap_or(form);
    let mut letters = form.chars();
    match letters.next() {
        Some(letter) if lower_case => letter.to_lowercase().chain(letters).collect(),
        _ => form.to_owned(),
    }
}

/// The first keywords, as a title.
pub(crate) fn title(keywords: &[String]) -> String {
    let mut title = String::new();
    for keyword in keywords.iter().take(TITLE_KEYWORDS) {
        let separator = if title.is_empty() { "" } else { ", " };
        if !title.is_empty() && title.chars().count() + 2 + keyword.chars().count() > MAX_TITLE {
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
    fn keywords_are_phrases_that_only_the_topic_has() {
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
    fn only_capitals_of_sentence_starts_are_removed() {
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
    fn sentences_without_content_words_have_no_title() {
        assert_eq!(keywords(&["And so on.", "It is."], 0..2, true), [""; 0]);
        assert_eq!(title(&[]), "");
    }
}

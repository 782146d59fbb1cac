//! Words to the form that stands in a dictionary, by spaCy's rules for English: endings are replaced, and what that makes is
//! looked up in a list of words; exceptions come first. Rules, words and exceptions are the pipeline's, from its file
//! `lemmatizer/lookups/lookups.bin`.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rmpv::ValueRef;

use crate::doc::{Doc, Label};
use crate::error::LoadError;
use crate::msgpack;
use crate::words::lookups::{Lookups, LookupsFile};
use crate::words::unicode;

/// Parts of speech that the tables may have something for, as a token has them and as the tables do.
const PARTS_OF_SPEECH: [(&str, &str); 17] = [
    ("ADJ", "adj"),
    ("ADP", "adp"),
    ("ADV", "adv"),
    ("AUX", "aux"),
    ("CONJ", "conj"),
    ("CCONJ", "cconj"),
    ("DET", "det"),
    ("INTJ", "intj"),
    ("NOUN", "noun"),
    ("NUM", "num"),
    ("PART", "part"),
    ("PRON", "pron"),
    ("PROPN", "propn"),
    ("PUNCT", "punct"),
    ("SCONJ", "sconj"),
    ("SYM", "sym"),
    ("VERB", "verb"),
];

/// Finds lemmas.
#[derive(Debug, Default)]
pub(crate) struct Lemmatizer {
    /// By part of speech, as a token has it.
    tables: HashMap<&'static str, Table>,
}

/// What is known of one part of speech.
#[derive(Debug, Default)]
struct Table {
    /// Endings and what takes their place.
    rules: Vec<(Box<str>, Box<str>)>,
    /// Lemmas by word.
    exceptions: HashMap<Box<str>, Vec<Box<str>>>,
    /// Words that are lemmas.
    index: HashSet<Box<str>>,
}

impl Lemmatizer {
    /// Reads the component's folder in the pipeline's.
    pub(crate) fn load(folder: &Path) -> Result<Self, LoadError> {
        let file = LookupsFile::read(folder.join("lemmatizer").join("lookups").join("lookups.bin"))?;
        let lookups = file.tables()?;
        let mut tables = HashMap::new();
        for (pos, name) in PARTS_OF_SPEECH {
            let table = Table::read(&lookups, name)?;
            if !(table.rules.is_empty() && table.exceptions.is_empty() && table.index.is_empty()) {
                tables.insert(pos, table);
            }
        }
        Ok(Self { tables })
    }

    /// Gives a lemma to every token that has none.
    pub(crate) fn apply(&self, doc: &mut Doc) {
        let text = &doc.text;
        let mut known: HashMap<(&str, Label, bool), Label> = HashMap::new();
        for token in doc.tokens.iter_mut().filter(|token| token.lemma.is_empty()) {
            let word = &text[token.start..token.end];
            let is_base = is_base_form(&token.pos, &token.morph);
            let lemma = known.entry((word, token.pos.clone(), is_base));
            token.lemma = lemma.or_insert_with(|| self.lemma(word, &token.pos, is_base).into()).clone();
        }
    }

    /// The lemma of a word; `is_base` says that it is not inflected.
    fn lemma(&self, word: &str, pos: &str, is_base: bool) -> String {
        let lower = word.to_lowercase();
        match self.tables.get(pos) {
            _ if is_base => lower,
            Some(table) => table.lemma(&lower).unwrap_or_else(|| word.to_owned()),
            None if pos == "PROPN" => word.to_owned(),
            None => lower,
        }
    }
}

impl Table {
    fn read(lookups: &Lookups<'_>, pos: &str) -> Result<Self, LoadError> {
        let mut table = Self::default();
        if let Some(words) = lookups.entry("lemma_index", pos)? {
            table.index = lookups.strings("lemma_index", words)?.into_iter().map(Into::into).collect();
        }
        if let Some(exceptions) = lookups.entry("lemma_exc", pos)? {
            for (word, lemmas) in msgpack::entries(exceptions) {
                let lemmas = lookups.strings("lemma_exc", lemmas)?.into_iter().map(Into::into);
                table.exceptions.insert(word.into(), lemmas.collect());
            }
        }
        if let Some(ValueRef::Array(rules)) = lookups.entry("lemma_rules", pos)? {
            for rule in rules {
                let [old, new] = lookups.strings("lemma_rules", rule)?[..] else {
                    return Err(
                        lookups.damaged("a rule of table `lemma_rules` is not of two endings".to_owned())
                    );
                };
                table.rules.push((old.into(), new.into()));
            }
        }
        Ok(table)
    }

    /// The lemma of a word in lower case, where anything is known of it: its last exception that no rule makes; else
    /// the last of what rules make that is a known word; else the first that is no mere letters; else the first
    /// that they make at all.
    fn lemma(&self, lower: &str) -> Option<String> {
        let (mut words, mut others, mut unknown) = (Vec::new(), Vec::new(), None);
        for (old, new) in &self.rules {
            let Some(stem) = lower.strip_suffix(&**old) else { continue };
            let form = format!("{stem}{new}");
            if self.index.contains(form.as_str()) {
                words.push(form);
            } else if form.chars().any(|character| !unicode::is_letter(character)) {
                others.push(form);
            } else if !form.is_empty() {
                unknown.get_or_insert(form);
            }
        }
        let exceptions = self.exceptions.get(lower).into_iter().flatten();
        let new = exceptions.rev().find(|form| !words.iter().chain(&others).any(|known| **known == ***form));
        new.map(ToString::to_string).or_else(|| words.pop()).or_else(|| others.into_iter().next()).or(unknown)
    }
}

/// Whether a token's features say that its word is not inflected.
fn is_base_form(pos: &str, morph: &str) -> bool {
    let feature =
        |name: &str| morph.split('|').find_map(|feature| feature.strip_prefix(name)?.strip_prefix('='));
    let (number, form) = (feature("Number"), feature("VerbForm"));
    matches!(form, Some("Inf" | "None"))
        || feature("Degree") == Some("Pos")
        || pos == "NOUN" && number == Some("Sing")
        || pos == "VERB" && form == Some("Fin") && feature("Tense") == Some("Pres") && number.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_say_what_is_not_inflected() {
        assert!(is_base_form("NOUN", "Number=Sing"));
        assert!(!is_base_form("PROPN", "Number=Sing"));
        assert!(is_base_form("AUX", "VerbForm=Inf"));
        assert!(is_base_form("VERB", "Tense=Pres|VerbForm=Fin"));
        assert!(!is_base_form("VERB", "Number=Sing|Person=3|Tense=Pres|VerbForm=Fin"));
        assert!(!is_base_form("ADJ", "Degree=Cmp"));
        assert!(!is_base_form("", ""));
    }

    #[test]
    fn known_words_come_before_made_ones() {
        let pair = |old: &str, new: &str| (old.into(), new.into());
        let table = Table {
            rules: vec![pair("s", ""), pair("ies", "y"), pair("es", "e"), pair("ed", "e"), pair("ed", "")],
            exceptions: HashMap::from([("went".into(), vec!["go".into()])]),
            index: HashSet::from(["try".into(), "bake".into(), "walk".into()]),
        };
        let cases =
            [("tries", "try"), ("baked", "bake"), ("walked", "walk"), ("went", "go"), ("zorped", "zorpe")];
        for (word, lemma) in cases {
            assert_eq!(table.lemma(word).as_deref(), Some(lemma), "{word}");
        }
        assert_eq!(table.lemma("so"), None);
        assert_eq!(table.lemma("s"), None);
    }
}

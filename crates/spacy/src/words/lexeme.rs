//! What a word looks like, regardless of where it stands: the features that the networks read.

use std::collections::HashMap;
use std::path::Path;

use crate::doc::Doc;
use crate::error::LoadError;
use crate::msgpack;
use crate::words::lookups::LookupsFile;
use crate::words::{strings, unicode};

/// A word from so many characters on has the shape [`LONG`].
const LONG_FROM: usize = 100;
const LONG: &str = "LONG";

/// A shape shows at most so many equal characters in a row.
const LONGEST_RUN: usize = 4;

/// Normal forms of marks and currencies, which spaCy has for all languages alike.
const BASE_NORMS: [(&str, &[&str]); 10] = [
    ("'s", &["'s", "'S", "’s", "’S"]),
    ("'", &["’", "‘", "´", "`"]),
    ("\"", &["”", "“", "''", "``", "´´", "„", "»", "«", "‘‘", "’’"]),
    ("?", &["？"]),
    ("!", &["！"]),
    (",", &["，"]),
    (";", &["；"]),
    (":", &["："]),
    (".", &["。", "।"]),
    ("...", &["…"]),
];
const DASHES: [&str; 5] = ["—", "–", "--", "---", "——"];
const CURRENCIES: [&str; 14] = ["€", "£", "¥", "฿", "US$", "C$", "A$", "₺", "₹", "৳", "₩", "Mex$", "₣", "E£"];

/// A word's features; strings are hashes ([`strings::hash`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lexeme {
    /// Its normal form: lower case, American spelling, one kind of quote.
    pub(crate) norm: u64,
    /// Its first character.
    pub(crate) prefix: u64,
    /// Its last three characters.
    pub(crate) suffix: u64,
    /// What kinds of characters it is made of: “Xxxx”, “dd”.
    pub(crate) shape: u64,
    /// Whether it is nothing but white space.
    pub(crate) is_space: bool,
}

/// Makes lexemes, with the normal forms that the pipeline lists.
#[derive(Debug)]
pub(crate) struct Lexicon {
    /// From a word's hash to that of its normal form.
    norms: HashMap<u64, u64>,
}

impl Lexicon {
    /// Reads `vocab/lookups.bin` of the pipeline's folder.
    pub(crate) fn load(folder: &Path) -> Result<Self, LoadError> {
        let marks = BASE_NORMS.iter().flat_map(|(norm, words)| words.iter().map(move |word| (*word, *norm)));
        let dashes = DASHES.iter().map(|dash| (*dash, "-"));
        let currencies = CURRENCIES.iter().map(|sign| (*sign, "$"));
        let base = marks.chain(dashes).chain(currencies);
        let mut norms: HashMap<u64, u64> =
            base.map(|(word, norm)| (strings::hash(word), strings::hash(norm))).collect();

        let file = LookupsFile::read(folder.join("vocab").join("lookups.bin"))?;
        let tables = file.tables()?;
        for (word, norm) in tables.table("lexeme_norm")? {
            let norm = msgpack::string(norm);
            let norm = norm.ok_or_else(|| tables.damaged("a normal form in it is no string".to_owned()))?;
            norms.insert(word, strings::hash(norm));
        }
        Ok(Self { norms })
    }

    /// The features of a word by itself.
    pub(crate) fn lexeme(&self, word: &str) -> Lexeme {
        let norm = match self.norms.get(&strings::hash(word)) {
            Some(norm) => *norm,
            None => strings::hash(&word.to_lowercase()),
        };
        let mut characters = word.char_indices();
        let prefix = characters.next().map_or("", |(_, first)| &word[..first.len_utf8()]);
        let suffix = word.char_indices().rev().take(3).last().map_or("", |(at, _)| &word[at..]);
        Lexeme {
            norm,
            prefix: strings::hash(prefix),
            suffix: strings::hash(suffix),
            shape: strings::hash(&shape(word)),
            is_space: is_space(word),
        }
    }

    /// The features of each token of a document, with the normal forms that the tokenizer's exceptions give.
    pub(crate) fn lexemes(&self, doc: &Doc) -> Vec<Lexeme> {
        let mut known: HashMap<&str, Lexeme> = HashMap::new();
        let lexemes = doc.tokens.iter().map(|token| {
            let word = &doc.text[token.start..token.end];
            let lexeme = *known.entry(word).or_insert_with(|| self.lexeme(word));
            match token.norm.as_deref() {
                Some(norm) if !norm.is_empty() => Lexeme { norm: strings::hash(norm), ..lexeme },
                _ => lexeme,
            }
        });
        lexemes.collect()
    }
}

/// Whether a word is nothing but white space, and not nothing at all.
pub(crate) fn is_space(word: &str) -> bool {
    !word.is_empty() && word.chars().all(unicode::is_space)
}

/// Letters become `x` or `X`, digits `d`, anything else stays; of more than four in a row only four.
fn shape(word: &str) -> String {
    if word.chars().nth(LONG_FROM - 1).is_some() {
        return LONG.to_owned();
    }
    let (mut shape, mut last, mut run) = (String::with_capacity(word.len()), None, 0);
    for character in word.chars() {
        let kind = if unicode::is_letter(character) {
            if character.is_uppercase() { 'X' } else { 'x' }
        } else if unicode::is_digit(character) {
            'd'
        } else {
            character
        };
        run = if last == Some(kind) { run + 1 } else { 1 };
        last = Some(kind);
        if run <= LONGEST_RUN {
            shape.push(kind);
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_show_four_of_a_kind() {
        assert_eq!(shape("Understanding"), "Xxxxx");
        assert_eq!(shape("McDonald's"), "XxXxxxx'x");
        assert_eq!(shape("12,345.678²"), "dd,ddd.dddd");
        assert_eq!(shape("......"), "....");
        assert_eq!(shape(&"a".repeat(99)), "xxxx");
        assert_eq!(shape(&"a".repeat(100)), "LONG");
    }

    #[test]
    fn prefixes_and_suffixes_are_whole_characters() {
        let lexicon = Lexicon { norms: HashMap::new() };
        let lexeme = lexicon.lexeme("Übermäßig");
        assert_eq!(lexeme.prefix, strings::hash("Ü"));
        assert_eq!(lexeme.suffix, strings::hash("ßig"));
        assert_eq!(lexeme.norm, strings::hash("übermäßig"));
        assert_eq!(lexicon.lexeme("é").suffix, strings::hash("é"));
    }
}

//! Words that the tokenizer does not cut by rule: “don't” is “do” and “n't”, “U.S.” is one.

use std::collections::HashMap;

use rmpv::ValueRef;

use crate::doc::Label;
use crate::msgpack;

/// The attributes of a part, as spaCy numbers them: its text, and its normal form.
const ORTH: u64 = 65;
const NORM: u64 = 67;

/// A token as a part of the word that it was cut from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// In bytes.
    pub(super) length: usize,
    pub(super) norm: Option<Label>,
}

impl Part {
    pub(super) fn plain(text: &str) -> Self {
        Self { length: text.len(), norm: None }
    }
}

/// What each exceptional word is cut into.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    words: HashMap<Box<str>, Vec<Part>>,
}

impl Exceptions {
    /// Reads the map from words to lists of parts; the error says what is wrong with it.
    pub(super) fn read(map: &ValueRef<'_>) -> Result<Self, String> {
        let ValueRef::Map(entries) = map else { return Err("its exceptions are no map".to_owned()) };
        let words = entries.iter().map(|(word, parts)| {
            let word = msgpack::string(word).ok_or("one of its exceptions is no word")?;
            let parts = read_parts(word, parts)
                .ok_or_else(|| format!("its exception for “{word}” is not a list of that word's parts"))?;
            Ok((word.into(), parts))
        });
        Ok(Self { words: words.collect::<Result<_, String>>()? })
    }

    /// The parts of a word, where it is an exception.
    pub(super) fn get(&self, word: &str) -> Option<&[Part]> {
        self.words.get(word).map(Vec::as_slice)
    }

    /// All exceptional words.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.words.keys().map(AsRef::as_ref)
    }
}

/// The parts of `word`, which together must be that word; nothing where they are not.
fn read_parts(word: &str, parts: &ValueRef<'_>) -> Option<Vec<Part>> {
    let ValueRef::Array(parts) = parts else { return None };
    let mut rest = word;
    let parts = parts.iter().map(|part| {
        let ValueRef::Map(attributes) = part else { return None };
        let attribute = |number: u64| attributes.iter().find(|(key, _)| key.as_u64() == Some(number));
        let text = msgpack::string(&attribute(ORTH)?.1)?;
        rest = rest.strip_prefix(text)?;
        let norm = match attribute(NORM) {
            Some((_, norm)) => Some(Label::from(msgpack::string(norm)?)),
            None => None,
        };
        Some(Part { length: text.len(), norm })
    });
    let parts: Vec<_> = parts.collect::<Option<_>>()?;
    (rest.is_empty() && parts.iter().all(|part| part.length > 0)).then_some(parts)
}

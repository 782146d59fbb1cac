//! Strings as numbers, the way spaCy's string store makes them: what its networks and lookup tables know words by.
//!
//! A string is its MurmurHash64A (Austin Appleby, public domain) with seed 1, unless it is the name of one of
//! spaCy's own symbols: those have small fixed numbers, so that the word “agent” is 401.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Symbols that come in one piece: the number of the first, and all names in the order of their numbers.
const SYMBOLS: [(u64, &[&str]); 4] = [
    (
        1,
        &[
            "IS_ALPHA",
            "IS_ASCII",
            "IS_DIGIT",
            "IS_LOWER",
            "IS_PUNCT",
            "IS_SPACE",
            "IS_TITLE",
            "IS_UPPER",
            "LIKE_URL",
            "LIKE_NUM",
            "LIKE_EMAIL",
            "IS_STOP",
            "IS_OOV_DEPRECATED",
            "IS_BRACKET",
            "IS_QUOTE",
            "IS_LEFT_PUNCT",
            "IS_RIGHT_PUNCT",
            "IS_CURRENCY",
        ],
    ),
    (
        64,
        &[
            "ID",
            "ORTH",
            "LOWER",
            "NORM",
            "SHAPE",
            "PREFIX",
            "SUFFIX",
            "LENGTH",
            "CLUSTER",
            "LEMMA",
            "POS",
            "TAG",
            "DEP",
            "ENT_IOB",
            "ENT_TYPE",
            "HEAD",
            "SENT_START",
            "SPACY",
            "PROB",
            "LANG",
            "ADJ",
            "ADP",
            "ADV",
            "AUX",
            "CONJ",
            "CCONJ",
            "DET",
            "INTJ",
            "NOUN",
            "NUM",
            "PART",
            "PRON",
            "PROPN",
            "PUNCT",
            "SCONJ",
            "SYM",
            "VERB",
            "X",
            "EOL",
            "SPACE",
        ],
    ),
    (
        380,
        &[
            "PERSON",
            "NORP",
            "FACILITY",
            "ORG",
            "GPE",
            "LOC",
            "PRODUCT",
            "EVENT",
            "WORK_OF_ART",
            "LANGUAGE",
            "LAW",
            "DATE",
            "TIME",
            "PERCENT",
            "MONEY",
            "QUANTITY",
            "ORDINAL",
            "CARDINAL",
            "acomp",
            "advcl",
            "advmod",
            "agent",
            "amod",
            "appos",
            "attr",
            "aux",
            "auxpass",
            "cc",
            "ccomp",
            "complm",
            "conj",
            "cop",
            "csubj",
            "csubjpass",
            "dep",
            "det",
            "dobj",
            "expl",
            "hmod",
            "hyph",
            "infmod",
            "intj",
            "iobj",
            "mark",
            "meta",
            "neg",
            "nmod",
            "nn",
            "npadvmod",
            "nsubj",
            "nsubjpass",
            "num",
            "number",
            "oprd",
            "obj",
            "obl",
            "parataxis",
            "partmod",
            "pcomp",
            "pobj",
            "poss",
            "possessive",
            "preconj",
            "prep",
            "prt",
            "punct",
            "quantmod",
            "relcl",
            "rcmod",
            "root",
            "xcomp",
            "acl",
        ],
    ),
    (452, &["ENT_KB_ID", "MORPH", "ENT_ID", "IDX", "_"]),
];

/// Symbols that are counted: what their names start with, how many digits follow, the number of the first, and
/// which counts there are.
const COUNTED: [(&str, usize, u64, std::ops::RangeInclusive<u64>); 2] =
    [("FLAG", 2, 19, 19..=63), ("DEPRECATED", 3, 104, 1..=276)];

/// The longest name of a symbol, in bytes: what is longer needs no look at the table.
const LONGEST_SYMBOL: usize = 17;

/// The number that spaCy knows a string by.
pub(crate) fn hash(string: &str) -> u64 {
    if string.is_empty() {
        return 0;
    }
    symbol(string).unwrap_or_else(|| murmur(string.as_bytes(), 1))
}

/// The numbers of [`SYMBOLS`].
static LISTED: LazyLock<HashMap<&str, u64>> = LazyLock::new(|| {
    let numbered = SYMBOLS.iter().flat_map(|(first, names)| (*first..).zip(names.iter().copied()));
    numbered.map(|(number, name)| (name, number)).collect()
});

fn symbol(string: &str) -> Option<u64> {
    if string.len() > LONGEST_SYMBOL || !string.is_ascii() {
        return None;
    }
    LISTED.get(string).copied().or_else(|| {
        COUNTED.iter().find_map(|(name, digits, first, counts)| {
            let count = string.strip_prefix(name).filter(|rest| rest.len() == *digits)?;
            let count =
                count.bytes().all(|byte| byte.is_ascii_digit()).then(|| count.parse::<u64>().ok())??;
            counts.contains(&count).then(|| first + count - counts.start())
        })
    })
}

/// MurmurHash64A on a little-endian machine.
fn murmur(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> R;
        hash = (hash ^ word.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, &byte| tail << 8 | u64::from(byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ hash >> R).wrapping_mul(M);
    hash ^ hash >> R
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that spaCy's documentation and the English pipeline's lookup tables show.
    #[test]
    fn strings_have_the_numbers_of_spacy() {
        assert_eq!(hash("coffee"), 3_197_928_453_018_144_401);
        assert_eq!(hash("noun"), 16_833_663_260_455_505_849);
        assert_eq!(hash("adj"), 12_401_032_943_472_870_168);
        assert_eq!(hash("verb"), 6_360_137_228_241_296_794);
        assert_eq!(hash(""), 0);
    }

    #[test]
    fn symbols_have_their_own_numbers() {
        let symbols = [
            ("IS_CURRENCY", 18),
            ("FLAG19", 19),
            ("FLAG63", 63),
            ("ID", 64),
            ("SPACE", 103),
            ("DEPRECATED001", 104),
            ("DEPRECATED276", 379),
            ("LAW", 390),
            ("agent", 401),
            ("punct", 445),
            ("acl", 451),
            ("_", 456),
        ];
        for (name, number) in symbols {
            assert_eq!(hash(name), number, "{name}");
        }
        for none in ["FLAG18", "FLAG64", "FLAG+9", "DEPRECATED277", "DEPRECATED000", "Agent"] {
            assert!(hash(none) > 1000, "{none}");
        }
    }
}

//! What a model's decoding needs besides its weights and its vocabulary.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::Error;
use crate::text::tokenizer::Tokenizer;
use crate::weights::Weights;

/// Which tokens are never sampled, and which attention follows the speech.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// Tokens never to be sampled: symbols that are not speech, and control tokens.
    pub(crate) suppress_ids: Vec<u32>,
    /// Tokens not to be sampled first: a blank, the end of the text.
    pub(crate) suppress_ids_begin: Vec<u32>,
    /// Layers of the decoder and heads of their cross attention that look at the moment at which a token is said.
    pub(crate) alignment_heads: Vec<(usize, usize)>,
}

/// CTranslate2's `config.json`. Converters leave out or leave empty what they did not know.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConfigFile {
    suppress_ids: Vec<u32>,
    suppress_ids_begin: Vec<u32>,
    alignment_heads: Vec<(usize, usize)>,
}

impl ConfigFile {
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
        serde_json::from_slice(&text).map_err(|error| Error::Model {
            path: path.into(),
            reason: format!("it is no Whisper configuration: {error}"),
        })
    }
}

/// Layers of the decoder and heads of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(crate) layers: usize,
    pub(crate) heads: usize,
}

impl Heads {
    pub(crate) fn of(weights: &Weights) -> Result<Self, Error> {
        let is_layer =
            |layer: &usize| weights.contains(&format!("decoder/layer_{layer}/ffn/linear_0/weight"));
        let heads = usize::try_from(weights.integer("decoder/num_heads")?).unwrap_or(0);
        Ok(Self { layers: (0..).take_while(is_layer).count(), heads })
    }

    fn contain(self, (layer, head): (usize, usize)) -> bool {
        layer < self.layers && head < self.heads
    }
}

impl Config {
    /// What the file says; what it does not say follows from the vocabulary and the size of the model.
    pub(crate) fn new(file: ConfigFile, tokenizer: &Tokenizer, heads: Heads) -> Result<Self, Error> {
        let or = |stored: Vec<u32>, derived: Vec<u32>| if stored.is_empty() { derived } else { stored };
        // Some distilled models carry the heads of the deeper model that they were distilled from.
        let are_there = file.alignment_heads.iter().all(|head| heads.contain(*head));
        let alignment_heads = if are_there && !file.alignment_heads.is_empty() {
            file.alignment_heads
        } else {
            alignment_heads(tokenizer, heads)
        };
        Ok(Self {
            suppress_ids: or(file.suppress_ids, suppressed(tokenizer)?),
            suppress_ids_begin: or(file.suppress_ids_begin, suppressed_first(tokenizer)?),
            alignment_heads,
        })
    }
}

/// Symbols that are written for something that was not said: notes, brackets around the name of a speaker.
const SYMBOLS: &str = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 << >> <<< >>> -- --- -( -[ (' (\" \
                       (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪";

/// Of these the first token is suppressed even where they are written with several.
const NOTES: &str = "♩ ♪ ♫ ♬ ♭ ♮ ♯";

/// The control tokens, and `SYMBOLS` at the start of a word or within it, as in OpenAI's reference decoder
/// (`non_speech_tokens`). Hyphen and apostrophe are suppressed only before a word.
fn suppressed(tokenizer: &Tokenizer) -> Result<Vec<u32>, Error> {
    let mut ids = BTreeSet::from_iter(tokenizer.steering());
    for start in [" -", " '"] {
        ids.extend(tokenizer.encode(start)?.first());
    }
    for symbol in SYMBOLS.split_whitespace().chain(NOTES.split_whitespace()) {
        for text in [symbol.to_owned(), format!(" {symbol}")] {
            let tokens = tokenizer.encode(&text)?;
            if tokens.len() == 1 || NOTES.contains(symbol) {
                ids.extend(tokens.first());
            }
        }
    }
    Ok(ids.into_iter().collect())
}

/// A text begins neither with a blank nor with its end.
fn suppressed_first(tokenizer: &Tokenizer) -> Result<Vec<u32>, Error> {
    let mut ids = tokenizer.encode(" ")?;
    ids.push(tokenizer.end_of_text);
    Ok(ids)
}

/// The heads that OpenAI publishes for its models; for others all of the upper half of the layers, which is what
/// OpenAI takes where it does not know better.
fn alignment_heads(tokenizer: &Tokenizer, heads: Heads) -> Vec<(usize, usize)> {
    let size = (tokenizer.languages().len(), heads.layers, heads.heads);
    match PUBLISHED_HEADS.iter().find(|(published, _)| *published == size) {
        Some((_, published)) => published.to_vec(),
        None => (heads.layers / 2..heads.layers)
            .flat_map(|layer| (0..heads.heads).map(move |head| (layer, head)))
            .collect(),
    }
}

/// Languages (none for English-only models), layers of the decoder and heads of a layer; then the heads that align.
type ModelHeads = ((usize, usize, usize), &'static [(usize, usize)]);

/// `_ALIGNMENT_HEADS` of openai-whisper 20250625. Of two models of one size, large-v1 and large-v2, the later.
#[rustfmt::skip]
const PUBLISHED_HEADS: [ModelHeads; 11] = [
    // tiny.en, tiny, base.en, base
    ((0, 4, 6), &[(1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)]),
    ((99, 4, 6), &[(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)]),
    ((0, 6, 8), &[(3, 3), (4, 7), (5, 1), (5, 5), (5, 7)]),
    ((99, 6, 8), &[(3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)]),
    // small.en, small
    ((0, 12, 12), &[
        (6, 6), (7, 0), (7, 3), (7, 8), (8, 2), (8, 5), (8, 7), (9, 0), (9, 4), (9, 8), (9, 10), (10, 0), (10, 1),
        (10, 2), (10, 3), (10, 6), (10, 11), (11, 2), (11, 4),
    ]),
    ((99, 12, 12), &[(5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5)]),
    // medium.en, medium
    ((0, 24, 16), &[
        (11, 4), (14, 1), (14, 12), (14, 14), (15, 4), (16, 0), (16, 4), (16, 9), (17, 12), (17, 14), (18, 7),
        (18, 10), (18, 15), (20, 0), (20, 3), (20, 9), (20, 14), (21, 12),
    ]),
    ((99, 24, 16), &[(13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4)]),
    // large-v2, large-v3, large-v3-turbo
    ((99, 32, 20), &[
        (10, 12), (13, 17), (16, 11), (16, 12), (16, 13), (17, 15), (17, 16), (18, 4), (18, 11), (18, 19), (19, 11),
        (21, 2), (21, 3), (22, 3), (22, 9), (22, 12), (23, 5), (23, 7), (23, 13), (25, 5), (26, 1), (26, 12), (27, 15),
    ]),
    ((100, 32, 20), &[
        (7, 0), (10, 17), (12, 18), (13, 12), (16, 1), (17, 14), (19, 11), (21, 4), (24, 1), (25, 6),
    ]),
    ((100, 4, 20), &[(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)]),
];

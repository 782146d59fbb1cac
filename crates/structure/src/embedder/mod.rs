//! Embeds sentences: turns them into vectors whose cosine says how similar two sentences are in meaning. The model is
//! all-MiniLM-L6-v2 (Wang et al. 2020, “MiniLM”; trained as in Reimers and Gurevych 2019, “Sentence-BERT”).
//!
//! The matrix products are `rten-gemm`'s, as in the speech engine. A framework such as candle would bring a second
//! set of kernels and dozens of crates for one network, which is written out in [`network`].

mod files;
mod network;
mod vector;
mod weights;

use std::path::Path;

use rayon::prelude::*;
use tokenizers::{Tokenizer, TruncationParams};

pub use self::files::EmbedderError;
use self::files::{damaged, read};
use self::network::Network;
pub use self::vector::Embedding;
pub(crate) use self::vector::dot;
use self::weights::Weights;

/// Tokens that go through the network together: enough to be worth loading its weights into the cache, few enough for
/// several threads to have work.
const BLOCK: usize = 256;

/// Longer sentences are truncated, as the model's publishers do.
const MAX_TOKENS: usize = 256;

/// The loaded model, which any number of threads may use.
#[derive(Debug)]
pub struct Embedder {
    tokenizer: Tokenizer,
    network: Network,
}

impl Embedder {
    /// Its name in `models_used`.
    pub const NAME: &str = "all-MiniLM-L6-v2";

    /// Loads a folder of `config.json`, `tokenizer.json` and `model.safetensors`, as published.
    pub fn load(dir: &Path) -> Result<Self, EmbedderError> {
        let network = Network::load(&Weights::load(dir)?)?;
        let file = dir.join("tokenizer.json");
        let tokenizer = tokenizer(&read(&file)?, network.positions().min(MAX_TOKENS));
        let tokenizer = tokenizer.map_err(damaged(&file))?;
        let tokens = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        if tokens > network.vocabulary() {
            let reason = format!("it has {tokens} tokens, but the network {}", network.vocabulary());
            return Err(EmbedderError::Damaged { file, reason });
        }
        Ok(Self { tokenizer, network })
    }

    /// A vector for every text, in their order. Computes in the rayon pool that it is called in.
    pub fn embed<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Vec<Embedding> {
        let mut tokens: Vec<(usize, Vec<u32>)> =
            texts.par_iter().map(|text| self.tokens(text.as_ref())).enumerate().collect();
        // Blocks of texts of similar length take similar time.
        tokens.sort_by_key(|(_, tokens)| std::cmp::Reverse(tokens.len()));
        let blocks: Vec<&[(usize, Vec<u32>)]> = blocks(&tokens);
        let embedded: Vec<Vec<Embedding>> = blocks
            .par_iter()
            .map(|block| {
                self.network.forward(&block.iter().map(|(_, tokens)| &tokens[..]).collect::<Vec<_>>())
            })
            .collect();
        let mut vectors = vec![Embedding::new(); texts.len()];
        for ((index, _), vector) in tokens.iter().zip(embedded.into_iter().flatten()) {
            vectors[*index] = vector;
        }
        vectors
    }

    /// The tokens of a text, with `[CLS]` before and `[SEP]` after them.
    fn tokens(&self, text: &str) -> Vec<u32> {
        let encoding = self.tokenizer.encode_fast(text, true);
        encoding.expect("WordPiece knows a token for whatever it does not know").get_ids().to_vec()
    }
}

/// Splits texts into blocks of at most [`BLOCK`] tokens, or of one text if that is longer.
fn blocks(texts: &[(usize, Vec<u32>)]) -> Vec<&[(usize, Vec<u32>)]> {
    let mut blocks = Vec::new();
    let mut rest = texts;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = |(_, text): &&(usize, Vec<u32>)| {
            tokens += text.len();
            tokens <= BLOCK
        };
        let (block, remaining) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        blocks.push(block);
        rest = remaining;
    }
    blocks
}

/// Loads the tokenizer. The published file pads and truncates to 128 tokens, which sentence-transformers ignores.
fn tokenizer(bytes: &[u8], max_length: usize) -> Result<Tokenizer, String> {
    let mut tokenizer =
        Tokenizer::from_bytes(bytes).map_err(|error| format!("it is no tokenizer: {error}"))?;
    for token in ["[CLS]", "[SEP]", "[UNK]"] {
        tokenizer.token_to_id(token).ok_or_else(|| format!("it has no token {token}"))?;
    }
    let truncation = TruncationParams { max_length, ..Default::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(|error| error.to_string())?;
    tokenizer.with_padding(None);
    tokenizer.encode_fast("", true).map_err(|error| error.to_string())?;
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use serde::Deserialize;

    use super::*;

    /// A vector that sentence-transformers computed; see `scripts/fixtures/embeddings.py`.
    #[derive(Deserialize)]
    struct Reference {
        text: String,
        repeated: usize,
        vector: Embedding,
    }

    fn references() -> Vec<Reference> {
        serde_json::from_str(include_str!("../../tests/fixtures/embeddings.json")).unwrap()
    }

    fn dir() -> PathBuf {
        crate::testing::model_folder("all-minilm-l6-v2")
    }

    #[test]
    fn vectors_are_those_of_sentence_transformers() {
        let references = references();
        let texts: Vec<String> = references
            .iter()
            .map(|reference| vec![reference.text.as_str(); reference.repeated].join(" "))
            .collect();
        let embedder = Embedder::load(&dir()).unwrap();
        let vectors = embedder.embed(&texts);
        assert_eq!(vectors.len(), references.len());
        for (reference, vector) in references.iter().zip(&vectors) {
            let cosine = dot(&reference.vector, vector);
            assert!((0.9999..1.0001).contains(&cosine), "{cosine}: {}", reference.text);
        }
        // The vector does not depend on the other texts in its block.
        for (text, vector) in texts.iter().zip(&vectors).rev().take(4) {
            let alone = &embedder.embed(&[text])[0];
            assert!(dot(alone, vector) > 0.99999, "{text}");
        }
        assert!(embedder.embed(&[""; 0]).is_empty());
    }

    /// Loads the model from a copy of its files, which `change` may change: it gets the name and the bytes of each.
    fn changed(change: impl Fn(&str, &mut Vec<u8>)) -> Result<Embedder, String> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            let mut bytes = fs::read(dir().join(name)).unwrap();
            change(name, &mut bytes);
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Embedder::load(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_damaged_file_is_refused_by_its_name() {
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            let halved = |file: &str, bytes: &mut Vec<u8>| {
                bytes.truncate(if file == name { bytes.len() / 2 } else { bytes.len() })
            };
            let error = changed(halved).unwrap_err();
            assert!(error.contains(name) && error.contains("damaged"), "{error}");
        }
        let missing = Embedder::load(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/config.json") && missing.contains("models fetch"), "{missing}");
    }

    #[test]
    fn a_config_that_does_not_match_the_tensors_is_refused() {
        for (from, to) in [
            ("\"hidden_size\": 384", "\"hidden_size\": 385"),
            ("\"num_attention_heads\": 12", "\"num_attention_heads\": 0"),
            ("\"num_attention_heads\": 12", "\"num_attention_heads\": 7"),
            ("\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7"),
            ("\"vocab_size\": 30522", "\"vocab_size\": 30521"),
            ("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"relu\""),
        ] {
            let change = |file: &str, bytes: &mut Vec<u8>| {
                if file == "config.json" {
                    let text = String::from_utf8(bytes.clone()).unwrap();
                    assert!(text.contains(from));
                    *bytes = text.replace(from, to).into_bytes();
                }
            };
            assert!(changed(change).is_err(), "{to}");
        }
    }

    #[test]
    fn blocks_hold_every_text_and_few_tokens() {
        let texts: Vec<_> = [300, 256, 200, 56, 1, 255].into_iter().map(|n| (0, vec![0; n])).collect();
        let lengths: Vec<Vec<usize>> =
            blocks(&texts).iter().map(|block| block.iter().map(|(_, text)| text.len()).collect()).collect();
        assert_eq!(lengths, [vec![300], vec![256], vec![200, 56], vec![1, 255]]);
    }
}

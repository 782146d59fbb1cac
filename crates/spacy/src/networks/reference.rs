//! The networks against spaCy's own numbers. `scripts/fixtures/spacy_networks.py` says what each number is.

use std::path::PathBuf;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::networks::layers::{Matrix, hash};
use crate::networks::model::Network;
use crate::networks::ner::Ner;
use crate::networks::parser::Parser;
use crate::networks::tagger::Tagger;
use crate::networks::tok2vec::{Tok2Vec, TokenAttributes};
use crate::words::lexeme::Lexeme;

#[derive(Deserialize)]
struct Fixture {
    hashes: Vec<Hashes>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Hashes {
    key: u64,
    seed: u32,
    hashes: [u32; 4],
}

#[derive(Deserialize)]
struct Text {
    text: String,
    tokens: Vec<[u64; 6]>,
    tags: Vec<String>,
    heads: Vec<usize>,
    deps: Vec<String>,
    sentence_starts: Vec<bool>,
    entities: Vec<(usize, usize, String)>,
    tok2vec: Option<Vec<Vec<f32>>>,
    ner_tok2vec: Option<Vec<Vec<f32>>>,
}

impl Text {
    fn attributes(&self) -> Vec<TokenAttributes> {
        let attributes =
            self.tokens.iter().map(|[norm, prefix, suffix, shape, spacy, is_space]| TokenAttributes {
                lexeme: Lexeme {
                    norm: *norm,
                    prefix: *prefix,
                    suffix: *suffix,
                    shape: *shape,
                    is_space: *is_space == 1,
                },
                spacy: *spacy == 1,
            });
        attributes.collect()
    }
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/networks.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
});

static TOK2VEC: LazyLock<Tok2Vec> =
    LazyLock::new(|| Tok2Vec::load(&Network::read(&pipeline().join("tok2vec/model")).unwrap()).unwrap());

/// The folder of the published pipeline.
pub(crate) fn pipeline() -> PathBuf {
    let models = std::env::var_os("MODELS_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models"), PathBuf::from);
    let folder = models.join("en_core_web_sm");
    assert!(folder.join("config.cfg").exists(), "{} is missing; `make models` fetches it", folder.display());
    folder
}

fn assert_near(found: &Matrix, expected: &Option<Vec<Vec<f32>>>, text: &str) {
    let Some(expected) = expected else { return };
    assert_eq!(found.rows(), expected.len());
    for (row, expected) in expected.iter().enumerate() {
        for (found, expected) in found.row(row).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{text:?}: token {row} has {found} for {expected}");
        }
    }
}

#[test]
fn hashes_are_those_of_thinc() {
    for Hashes { key, seed, hashes } in &FIXTURE.hashes {
        assert_eq!(hash(*key, *seed), *hashes, "{key} with seed {seed}");
    }
}

#[test]
fn vectors_are_those_of_spacy() {
    let ner = Tok2Vec::load(&Network::read(&pipeline().join("ner/model")).unwrap()).unwrap();
    for text in &FIXTURE.texts {
        assert_near(&TOK2VEC.vectors(&text.attributes()), &text.tok2vec, &text.text);
        assert_near(&ner.vectors(&text.attributes()), &text.ner_tok2vec, &text.text);
    }
}

#[test]
fn tags_are_those_of_spacy() {
    let tagger = Tagger::load(&pipeline().join("tagger"), TOK2VEC.width()).unwrap();
    for text in &FIXTURE.texts {
        let tags = tagger.tags(&TOK2VEC.vectors(&text.attributes()));
        let tags: Vec<&str> = tags.into_iter().map(|tag| &*tagger.labels()[tag]).collect();
        assert_eq!(tags, text.tags, "{:?}", text.text);
    }
}

#[test]
fn trees_and_sentences_are_those_of_spacy() {
    let parser = Parser::load(&pipeline().join("parser"), TOK2VEC.width()).unwrap();
    for text in &FIXTURE.texts {
        let attributes = text.attributes();
        let is_space: Vec<bool> = attributes.iter().map(|token| token.lexeme.is_space).collect();
        let parse = parser.parse(&TOK2VEC.vectors(&attributes), &is_space);
        let deps: Vec<&str> = parse.labels.iter().map(|label| &**parser.label(*label)).collect();
        assert_eq!(parse.heads, text.heads, "{:?}", text.text);
        assert_eq!(deps, text.deps, "{:?}", text.text);
        assert_eq!(parse.sentence_starts, text.sentence_starts, "{:?}", text.text);
    }
}

#[test]
fn entities_are_those_of_spacy() {
    let ner = Ner::load(&pipeline().join("ner")).unwrap();
    for text in &FIXTURE.texts {
        let entities = ner.entities(&text.attributes(), &text.sentence_starts);
        let entities: Vec<_> =
            entities.iter().map(|one| (one.start, one.end, ner.labels()[one.label].to_string())).collect();
        assert_eq!(entities, text.entities, "{:?}", text.text);
    }
}

//! The pipeline's networks, in the order in which one builds on another.

mod layers;
pub(crate) mod model;
pub(crate) mod ner;
pub(crate) mod parser;
#[cfg(test)]
pub(crate) mod reference;
pub(crate) mod tagger;
pub(crate) mod tok2vec;
mod transition;

use std::path::Path;

use crate::doc::{Doc, Span};
use crate::error::LoadError;
use crate::networks::model::Network;
use crate::networks::ner::Ner;
use crate::networks::parser::Parser;
use crate::networks::tagger::Tagger;
use crate::networks::tok2vec::{Tok2Vec, TokenAttributes};
use crate::words::lexeme::Lexeme;

/// All that is learned in a pipeline.
#[derive(Debug)]
pub(crate) struct Networks {
    /// The vectors that tagger and parser look at; the entity recogniser has its own.
    tok2vec: Tok2Vec,
    tagger: Tagger,
    parser: Parser,
    ner: Ner,
}

impl Networks {
    /// Reads the components' folders in the pipeline's folder.
    pub(crate) fn load(folder: &Path) -> Result<Self, LoadError> {
        let tok2vec = Tok2Vec::load(&Network::read(&folder.join("tok2vec").join("model"))?)?;
        Ok(Self {
            tagger: Tagger::load(&folder.join("tagger"), tok2vec.width())?,
            parser: Parser::load(&folder.join("parser"), tok2vec.width())?,
            ner: Ner::load(&folder.join("ner"))?,
            tok2vec,
        })
    }

    /// Writes tags, trees, sentence starts and entities into a document; `lexemes` are its tokens'.
    pub(crate) fn annotate(&self, doc: &mut Doc, lexemes: &[Lexeme]) {
        let attributes = doc
            .tokens
            .iter()
            .zip(lexemes)
            .map(|(token, lexeme)| TokenAttributes { lexeme: *lexeme, spacy: token.space });
        let attributes: Vec<TokenAttributes> = attributes.collect();
        let is_space: Vec<bool> = lexemes.iter().map(|lexeme| lexeme.is_space).collect();
        let vectors = self.tok2vec.vectors(&attributes);
        let tags = self.tagger.tags(&vectors);
        let parse = self.parser.parse(&vectors, &is_space);
        let entities = self.ner.entities(&attributes, &parse.sentence_starts);
        for (number, token) in doc.tokens.iter_mut().enumerate() {
            token.tag = self.tagger.labels()[tags[number]].clone();
            token.head = parse.heads[number];
            token.dep = self.parser.label(parse.labels[number]).clone();
            token.sentence_start = parse.sentence_starts[number];
        }
        let spans = entities.into_iter().map(|entity| Span {
            start: entity.start,
            end: entity.end,
            label: self.ner.labels()[entity.label].clone(),
        });
        doc.entities = spans.collect();
    }
}

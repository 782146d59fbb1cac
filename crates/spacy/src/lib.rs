//! spaCy's English pipeline `en_core_web_sm` in Rust: text in; tokens, sentences, tags, lemmas and entities out.
//!
//! [`load`] reads the folder of a pipeline as spaCy 3.8 publishes it, and [`Pipeline::analyze`] makes a [`Doc`] of a
//! text. Everything computes on the calling thread; a [`Pipeline`] can be shared by many. The words are spaCy's:
//! a [`Doc`] has [`Token`]s and [`Span`]s of them.

mod doc;
mod error;
mod msgpack;
mod networks;
#[cfg(test)]
mod parity;
mod rules;
mod words;

use std::path::Path;

pub use doc::{Doc, Label, Span, Token};
pub use error::LoadError;

use networks::Networks;
use rules::attribute_ruler::AttributeRuler;
use rules::lemmatizer::Lemmatizer;
use rules::noun_chunks;
use words::lexeme::Lexicon;
use words::tokenizer::Tokenizer;

/// A pipeline, ready to analyze any number of texts.
#[derive(Debug)]
pub struct Pipeline {
    tokenizer: Tokenizer,
    lexicon: Lexicon,
    networks: Networks,
    attribute_ruler: AttributeRuler,
    lemmatizer: Lemmatizer,
}

/// Loads the pipeline in a folder: the one that holds `config.cfg`.
pub fn load(folder: &Path) -> Result<Pipeline, LoadError> {
    Ok(Pipeline {
        tokenizer: Tokenizer::load(folder)?,
        lexicon: Lexicon::load(folder)?,
        networks: Networks::load(folder)?,
        attribute_ruler: AttributeRuler::load(folder)?,
        lemmatizer: Lemmatizer::load(folder)?,
    })
}

impl Pipeline {
    /// Finds out all that the pipeline can say about a text.
    pub fn analyze(&self, text: &str) -> Doc {
        let mut doc = self.tokenizer.tokenize(text);
        let lexemes = self.lexicon.lexemes(&doc);
        self.networks.annotate(&mut doc, &lexemes);
        self.finish(&mut doc);
        doc
    }

    /// What follows by rule, once tokens have tags, heads and dependencies.
    fn finish(&self, doc: &mut Doc) {
        self.attribute_ruler.apply(doc);
        self.lemmatizer.apply(doc);
        doc.noun_chunks = noun_chunks::find(doc);
    }
}

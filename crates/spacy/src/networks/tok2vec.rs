//! Tokens to vectors: hashed attributes of each token, then its neighbours four layers deep (spaCy's
//! `Tok2Vec.v2` of `MultiHashEmbed.v2` and `MaxoutWindowEncoder.v2`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::error::LoadError;
use crate::networks::layers::{HashEmbed, Matrix, MaxoutNorm};
use crate::networks::model::Network;
use crate::words::lexeme::Lexeme;

/// What the embedding looks at in a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenAttributes {
    pub(crate) lexeme: Lexeme,
    /// Whether a space follows.
    pub(crate) spacy: bool,
}

/// One of the attributes that a model may be trained on.
#[derive(Debug, Clone, Copy)]
enum Column {
    Norm,
    Prefix,
    Suffix,
    Shape,
    Spacy,
    IsSpace,
}

impl Column {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "NORM" => Self::Norm,
            "PREFIX" => Self::Prefix,
            "SUFFIX" => Self::Suffix,
            "SHAPE" => Self::Shape,
            "SPACY" => Self::Spacy,
            "IS_SPACE" => Self::IsSpace,
            _ => return None,
        })
    }

    fn of(self, token: &TokenAttributes) -> u64 {
        match self {
            Self::Norm => token.lexeme.norm,
            Self::Prefix => token.lexeme.prefix,
            Self::Suffix => token.lexeme.suffix,
            Self::Shape => token.lexeme.shape,
            Self::Spacy => token.spacy.into(),
            Self::IsSpace => token.lexeme.is_space.into(),
        }
    }
}

/// Kinds of tokens whose vectors are kept: more than an hour of speech has, in 4 MB.
const MOST_KNOWN: usize = 8192;

/// The network from tokens to vectors.
#[derive(Debug)]
pub(crate) struct Tok2Vec {
    tables: Vec<(Column, HashEmbed)>,
    mix: MaxoutNorm,
    /// Each adds to a token's vector what it makes of it and of its neighbours.
    encoder: Vec<MaxoutNorm>,
    /// Neighbours on each side that a layer of the encoder sees.
    window: usize,
    /// What came of embedding the first kinds of tokens that were met, for the next text.
    known: Mutex<HashMap<TokenAttributes, Box<[f32]>>>,
}

impl Tok2Vec {
    /// Takes the layers from a model that is nothing else, or that has others behind them.
    pub(crate) fn load(network: &Network) -> Result<Self, LoadError> {
        let extract = network.first("extract_features")?;
        let columns = extract.strings("columns")?;
        let columns = columns.iter().map(|name| {
            let unknown =
                || extract.damaged(format!("looks at an attribute `{name}`, which is not known here"));
            Column::from_name(name).ok_or_else(unknown)
        });
        let columns: Vec<Column> = columns.collect::<Result<_, _>>()?;
        let tables: Vec<HashEmbed> =
            network.named("hashembed").map(HashEmbed::load).collect::<Result<_, _>>()?;
        if tables.len() != columns.len() || tables.is_empty() {
            let (tables, columns) = (tables.len(), columns.len());
            return Err(network.damaged(format!("it has {tables} tables for {columns} attributes")));
        }
        let mut layers = network.named("maxout").zip(network.named("layernorm"));
        let (maxout, norm) =
            layers.next().ok_or_else(|| network.damaged("it has no maxout layer with its normalisation"))?;
        let mix = MaxoutNorm::load(maxout, norm)?;
        let embedded = tables.iter().map(HashEmbed::width).sum::<usize>();
        if mix.inputs() != embedded {
            let reason = format!("takes {} numbers a token, but its tables give {embedded}", mix.inputs());
            return Err(maxout.damaged(reason));
        }
        let expand = network.first("expand_window")?;
        let window = usize::try_from(expand.number("window_size")?).ok().filter(|window| *window < 100);
        let window = window.ok_or_else(|| expand.damaged("has a window of more than a hundred tokens"))?;
        let mut encoder = Vec::new();
        for (maxout, norm) in layers {
            let layer = MaxoutNorm::load(maxout, norm)?;
            if layer.width() != mix.width() || layer.inputs() != (2 * window + 1) * mix.width() {
                let (inputs, width) = (layer.inputs(), layer.width());
                return Err(
                    maxout.damaged(format!("is of {inputs} by {width}, which its neighbours are not"))
                );
            }
            encoder.push(layer);
        }
        let tables = columns.into_iter().zip(tables).collect();
        Ok(Self { tables, mix, encoder, window, known: Mutex::default() })
    }

    /// The width of a token's vector.
    pub(crate) fn width(&self) -> usize {
        self.mix.width()
    }

    /// The vectors of a text's tokens, `[tokens, width]`.
    ///
    /// spaCy surrounds the text with as many zero vectors as its layers can see, and computes these along. A
    /// layer's outermost ones are looked at by no token, so that here each layer leaves out a window's width on
    /// both sides, and after the last one the tokens alone are left.
    pub(crate) fn vectors(&self, tokens: &[TokenAttributes]) -> Matrix {
        let padding = self.window * self.encoder.len();
        let width = self.width();
        let mut x = Matrix::zeros(tokens.len() + 2 * padding, width);
        let (kinds, embedded) = self.embed(tokens);
        for (token, kind) in kinds.into_iter().enumerate() {
            x.row_mut(padding + token).copy_from_slice(embedded.row(kind));
        }
        for layer in &self.encoder {
            let rows = x.rows() - 2 * self.window;
            let mut y = Matrix::zeros(rows, width);
            for row in 0..rows {
                y.row_mut(row).copy_from_slice(x.row(row + self.window));
            }
            // A token's neighbours stand beside it already: their rows are one, from the first one's start.
            layer.add_to(x.rows_from(0), width, &mut y);
            x = y;
        }
        x
    }

    /// Which kind each token is of, and the vectors of the kinds: words come again and again.
    fn embed(&self, tokens: &[TokenAttributes]) -> (Vec<usize>, Matrix) {
        let mut numbers = HashMap::new();
        let mut kinds = Vec::new();
        let of_tokens = tokens.iter().map(|token| {
            *numbers.entry(*token).or_insert_with(|| {
                kinds.push(*token);
                kinds.len() - 1
            })
        });
        let of_tokens: Vec<usize> = of_tokens.collect();
        let mut vectors = Matrix::zeros(kinds.len(), self.width());
        let new = self.recall(&kinds, &mut vectors);
        self.mix(&kinds, &new, &mut vectors);
        self.remember(new.into_iter().map(|kind| (kinds[kind], vectors.row(kind))));
        (of_tokens, vectors)
    }

    /// Writes the vectors of the kinds of these numbers.
    fn mix(&self, kinds: &[TokenAttributes], new: &[usize], vectors: &mut Matrix) {
        let mut looked_up = Matrix::zeros(new.len(), self.mix.inputs());
        for (row, kind) in new.iter().enumerate() {
            let mut rest = looked_up.row_mut(row);
            for (column, table) in &self.tables {
                let (vector, behind) = rest.split_at_mut(table.width());
                table.embed(column.of(&kinds[*kind]), vector);
                rest = behind;
            }
        }
        let mut mixed = Matrix::zeros(new.len(), self.width());
        self.mix.add_to(looked_up.rows_from(0), looked_up.columns(), &mut mixed);
        for (row, kind) in new.iter().enumerate() {
            vectors.row_mut(*kind).copy_from_slice(mixed.row(row));
        }
    }

    /// Writes the vectors of the kinds that are known, and gives the numbers of the others.
    fn recall(&self, kinds: &[TokenAttributes], vectors: &mut Matrix) -> Vec<usize> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = Vec::new();
        for (number, kind) in kinds.iter().enumerate() {
            match known.get(kind) {
                Some(vector) => vectors.row_mut(number).copy_from_slice(vector),
                None => new.push(number),
            }
        }
        new
    }

    fn remember<'v>(&self, vectors: impl Iterator<Item = (TokenAttributes, &'v [f32])>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_KNOWN.saturating_sub(known.len());
        known.extend(vectors.take(room).map(|(kind, vector)| (kind, vector.into())));
    }
}

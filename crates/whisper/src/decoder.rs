//! The text decoder: one step of many sequences at once, each with a key/value cache of its own.
//!
//! A batch is a list of [`Feed`]s: some tokens for a sequence, whether its whole prompt or the one token
//! sampled last. Their rows go through every weight matrix together; attention is each sequence's own.

use rayon::prelude::*;
use rten_tensor::{Matrix, MatrixLayout};

use crate::Error;
use crate::encoder::{STATES, heads};
use crate::linear::{Linear, multiply, strided};
use crate::vector::{LayerNorm, add, gelu, softmax_rows};
use crate::weights::Weights;

#[derive(Debug)]
pub(crate) struct Decoder {
    width: usize,
    heads: usize,
    vocabulary: usize,
    /// `[vocabulary, width]`
    embeddings: Vec<f32>,
    /// `[context, width]`
    positions: Vec<f32>,
    layers: Vec<Layer>,
    norm: LayerNorm,
    projection: Linear,
}

#[derive(Debug)]
struct Layer {
    self_norm: LayerNorm,
    /// Query, key and value in one: `[width -> 3 width]`.
    self_in: Linear,
    self_out: Linear,
    cross_norm: LayerNorm,
    cross_query: Linear,
    /// Key and value in one: `[width -> 2 width]`.
    cross_memory: Linear,
    cross_out: Linear,
    ffn_norm: LayerNorm,
    ffn_in: Linear,
    ffn_out: Linear,
}

/// Keys and values of a window's encoder states, `[STATES, 2 width]` a layer: what cross attention looks
/// at. The same for all sequences that write the window down.
#[derive(Debug)]
pub(crate) struct Memory(Vec<Vec<f32>>);

/// Keys and values of a sequence's tokens so far, a layer each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cache {
    length: usize,
    /// `[length, width]` a layer.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

/// What one sequence brings to a step.
#[derive(Debug)]
pub(crate) struct Feed<'a> {
    /// The tokens that follow those in the cache.
    pub(crate) tokens: &'a [u32],
    pub(crate) cache: &'a mut Cache,
    pub(crate) memory: &'a Memory,
    /// For which of `tokens` the logits of the next token are wanted.
    pub(crate) wanted: &'a [usize],
}

impl Decoder {
    pub(crate) fn load(weights: &Weights, width: usize) -> Result<Self, Error> {
        expect(weights, "decoder/pre_norm", 1, "normalises after each block")?;
        expect(weights, "decoder/activation", 3, "uses another activation than GELU")?;
        expect(weights, "decoder/scale_embeddings", 0, "scales its embeddings")?;
        let embeddings = "decoder/embeddings/weight";
        let vocabulary = weights.shape(embeddings)?.first().copied().unwrap_or(0);
        let positions = "decoder/position_encodings/encodings";
        let context = weights.shape(positions)?.first().copied().unwrap_or(0);
        let layers = (0..)
            .take_while(|layer| weights.contains(&format!("decoder/layer_{layer}/ffn/linear_0/weight")))
            .map(|layer| Layer::load(weights, &format!("decoder/layer_{layer}"), width))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            width,
            heads: heads(weights, "decoder", width)?,
            vocabulary,
            embeddings: weights.tensor(embeddings, &[vocabulary, width])?,
            positions: weights.tensor(positions, &[context, width])?,
            layers,
            norm: LayerNorm::load(weights, "decoder/layer_norm", width)?,
            projection: Linear::load(weights, "decoder/projection", width, vocabulary)?,
        })
    }

    pub(crate) fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The most tokens a sequence can have, prompt included.
    pub(crate) fn context(&self) -> usize {
        self.positions.len() / self.width
    }

    /// Prepares a window's encoder states `[STATES, width]` for cross attention.
    pub(crate) fn memory(&self, states: &[f32]) -> Memory {
        Memory(self.layers.iter().map(|layer| layer.cross_memory.apply(states)).collect())
    }

    /// Feeds every sequence its tokens. Gives the logits, `[wanted, vocabulary]`, for all wanted positions of
    /// the first feed, then of the second, and so on.
    pub(crate) fn step(&self, feeds: &mut [Feed<'_>]) -> Vec<f32> {
        let mut x = self.embed(feeds);
        for (index, layer) in self.layers.iter().enumerate() {
            let qkv = layer.self_in.apply(&layer.self_norm.apply(&x));
            self.remember(feeds, index, &qkv);
            let attended = self.self_attention(feeds, index, &qkv);
            add(&mut x, &layer.self_out.apply(&attended));

            let queries = layer.cross_query.apply(&layer.cross_norm.apply(&x));
            let attended = self.cross_attention(feeds, index, &queries);
            add(&mut x, &layer.cross_out.apply(&attended));

            let mut hidden = layer.ffn_in.apply(&layer.ffn_norm.apply(&x));
            gelu(&mut hidden);
            add(&mut x, &layer.ffn_out.apply(&hidden));
        }
        for feed in feeds.iter_mut() {
            feed.cache.length += feed.tokens.len();
        }
        self.projection.apply(&self.norm.apply(&self.wanted_rows(feeds, &x)))
    }

    /// Token and position embeddings, `[rows, width]`.
    fn embed(&self, feeds: &[Feed<'_>]) -> Vec<f32> {
        let mut x = Vec::new();
        for feed in feeds {
            for (offset, token) in feed.tokens.iter().enumerate() {
                let token = &self.embeddings[*token as usize * self.width..][..self.width];
                let position = &self.positions[(feed.cache.length + offset) * self.width..][..self.width];
                x.extend(token.iter().zip(position).map(|(token, position)| token + position));
            }
        }
        x
    }

    fn wanted_rows(&self, feeds: &[Feed<'_>], x: &[f32]) -> Vec<f32> {
        let mut rows = Vec::new();
        let mut first = 0;
        for feed in feeds {
            for wanted in feed.wanted {
                rows.extend_from_slice(&x[(first + wanted) * self.width..][..self.width]);
            }
            first += feed.tokens.len();
        }
        rows
    }

    /// Appends the new rows' keys and values to each sequence's cache.
    fn remember(&self, feeds: &mut [Feed<'_>], layer: usize, qkv: &[f32]) {
        let mut rows = qkv.chunks_exact(3 * self.width);
        for feed in feeds {
            let cache = &mut *feed.cache;
            cache.keys.resize_with(self.layers.len(), Vec::new);
            cache.values.resize_with(self.layers.len(), Vec::new);
            for row in rows.by_ref().take(feed.tokens.len()) {
                cache.keys[layer].extend_from_slice(&row[self.width..2 * self.width]);
                cache.values[layer].extend_from_slice(&row[2 * self.width..]);
            }
        }
    }

    /// Each row attends to its own sequence's tokens up to itself.
    fn self_attention(&self, feeds: &[Feed<'_>], layer: usize, qkv: &[f32]) -> Vec<f32> {
        let size = self.width / self.heads;
        self.attend(feeds, |feed, first_row, head, out| {
            let keys = &feed.cache.keys[layer][head * size..];
            let values = &feed.cache.values[layer][head * size..];
            for (offset, out) in out.chunks_exact_mut(size).enumerate() {
                let length = feed.cache.length + offset + 1;
                let query = &qkv[(first_row + offset) * 3 * self.width + head * size..][..size];
                attend_one_head(
                    strided(query, [1, size], [size, 1]),
                    strided(keys, [size, length], [1, self.width]),
                    strided(values, [length, size], [self.width, 1]),
                    out,
                );
            }
        })
    }

    /// Each row attends to all states of its own window.
    fn cross_attention(&self, feeds: &[Feed<'_>], layer: usize, queries: &[f32]) -> Vec<f32> {
        let size = self.width / self.heads;
        self.attend(feeds, |feed, first_row, head, out| {
            let rows = out.len() / size;
            let memory = &feed.memory.0[layer];
            let queries = &queries[first_row * self.width + head * size..];
            attend_one_head(
                strided(queries, [rows, size], [self.width, 1]),
                strided(&memory[head * size..], [size, STATES], [1, 2 * self.width]),
                strided(&memory[self.width + head * size..], [STATES, size], [2 * self.width, 1]),
                out,
            );
        })
    }

    /// Calls `attend(feed, its first row, head, out)` for every sequence and head, in parallel, where `out`
    /// is `[the feed's rows, width of a head]`, and joins the heads to `[rows, width]`.
    fn attend(
        &self,
        feeds: &[Feed<'_>],
        attend: impl Fn(&Feed<'_>, usize, usize, &mut [f32]) + Sync,
    ) -> Vec<f32> {
        let size = self.width / self.heads;
        let mut tasks = Vec::new();
        let mut rows = 0;
        for feed in feeds {
            tasks.extend((0..self.heads).map(|head| (feed, rows, head)));
            rows += feed.tokens.len();
        }
        let by_task: Vec<Vec<f32>> = tasks
            .par_iter()
            .map(|(feed, first_row, head)| {
                let mut out = vec![0.0; feed.tokens.len() * size];
                attend(feed, *first_row, *head, &mut out);
                out
            })
            .collect();
        let mut joined = vec![0.0; rows * self.width];
        for ((_, first_row, head), out) in tasks.iter().zip(by_task) {
            for (offset, out) in out.chunks_exact(size).enumerate() {
                joined[(first_row + offset) * self.width + head * size..][..size].copy_from_slice(out);
            }
        }
        joined
    }
}

impl Layer {
    fn load(weights: &Weights, name: &str, width: usize) -> Result<Self, Error> {
        let hidden = weights.shape(&format!("{name}/ffn/linear_0/weight"))?.first().copied().unwrap_or(0);
        let norm = |part: &str| LayerNorm::load(weights, &format!("{name}/{part}/layer_norm"), width);
        let linear =
            |part: &str, inputs, outputs| Linear::load(weights, &format!("{name}/{part}"), inputs, outputs);
        Ok(Self {
            self_norm: norm("self_attention")?,
            self_in: linear("self_attention/linear_0", width, 3 * width)?,
            self_out: linear("self_attention/linear_1", width, width)?,
            cross_norm: norm("attention")?,
            cross_query: linear("attention/linear_0", width, width)?,
            cross_memory: linear("attention/linear_1", width, 2 * width)?,
            cross_out: linear("attention/linear_2", width, width)?,
            ffn_norm: norm("ffn")?,
            ffn_in: linear("ffn/linear_0", width, hidden)?,
            ffn_out: linear("ffn/linear_1", hidden, width)?,
        })
    }
}

/// Refuses a model that was built in a way this decoder does not compute.
fn expect(weights: &Weights, name: &str, value: i64, otherwise: &str) -> Result<(), Error> {
    if weights.contains(name) && weights.integer(name)? != value {
        return Err(weights.fault(name, format!("says that the model {otherwise}, which is not supported")));
    }
    Ok(())
}

/// `softmax(q k / √size) v` of `[rows, size]` queries, `[size, length]` keys and `[length, size]` values.
fn attend_one_head(queries: Matrix<'_>, keys: Matrix<'_>, values: Matrix<'_>, out: &mut [f32]) {
    let (rows, size, length) = (queries.rows(), queries.cols(), keys.cols());
    let mut scores = vec![0.0; rows * length];
    multiply(&mut scores, queries, keys);
    let scale = (size as f32).sqrt().recip();
    for score in &mut scores {
        *score *= scale;
    }
    softmax_rows(&mut scores, length);
    multiply(out, strided(&scores, [rows, length], [length, 1]), values);
}

//! The text decoder: one step of many sequences at once.
//!
//! A step takes rows: each a token, its position, and which rows before it belong to its sequence. The rows of
//! all windows go through every weight matrix together. Sequences of one window (beams, samples) share its
//! [`Context`]: they look at the same audio, and at the same keys and values as far as their texts agree.

use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::encoder::{heads, width_and_mels};
use super::layers::{layer_norm, linear};
use super::precision::Precision;
use crate::Error;
use crate::weights::Weights;
use verbatim_kernels::attention::{BLOCK, Heads, KeysValues, Rows, attend_path};
use verbatim_kernels::stages::{Stage, within};
use verbatim_kernels::vector::{add, gelu};
use verbatim_kernels::{LayerNorm, Linear};

const EMBEDDINGS: &str = "decoder/embeddings/weight";

#[derive(Debug)]
pub(crate) struct Decoder {
    precision: Precision,
    pub(super) heads: Heads,
    pub(super) vocabulary: usize,
    /// `[vocabulary, width]`
    embeddings: Vec<f16>,
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

/// Keys and values of a window's encoder states, a layer each: what cross attention looks at.
#[derive(Debug)]
pub(crate) struct Memory(pub(super) Vec<KeysValues>);

/// All that a window's sequences share: the audio, and the keys and values of every row fed so far.
#[derive(Debug)]
pub(crate) struct Context {
    memory: Arc<Memory>,
    rows: u32,
    /// `[rows, width]` a layer.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

impl Context {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        let empty = || memory.0.iter().map(|_| Vec::new()).collect();
        let (keys, values) = (empty(), empty());
        Self { memory, rows: 0, keys, values }
    }

    /// The number that the next row fed will have.
    pub(crate) fn next_row(&self) -> u32 {
        self.rows
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        self.rows = 0;
        self.keys.iter_mut().chain(&mut self.values).for_each(Vec::clear);
    }
}

/// A token to feed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) token: u32,
    /// The rows of its sequence, by their numbers: the row of every token before it, and its own.
    pub(crate) path: &'a [u32],
    /// Whether the logits of the token after it are wanted.
    pub(crate) wanted: bool,
}

/// What one window brings to a step.
#[derive(Debug)]
pub(crate) struct Feed<'a> {
    pub(crate) context: &'a mut Context,
    /// Numbered from [`Context::next_row`] on.
    pub(crate) rows: Vec<Row<'a>>,
}

impl Decoder {
    pub(crate) fn load(weights: &Weights, precision: Precision) -> Result<Self, Error> {
        let (width, _) = width_and_mels(weights)?;
        expect(weights, "decoder/pre_norm", 1, "normalises after each block")?;
        expect(weights, "decoder/activation", 3, "uses another activation than GELU")?;
        expect(weights, "decoder/scale_embeddings", 0, "scales its embeddings")?;
        let vocabulary = Self::vocabulary_of(weights)?;
        let positions = "decoder/position_encodings/encodings";
        let context = weights.shape(positions)?.first().copied().unwrap_or(0);
        let names: Vec<String> = (0..)
            .map(|layer| format!("decoder/layer_{layer}"))
            .take_while(|layer| weights.contains(&format!("{layer}/ffn/linear_0/weight")))
            .collect();
        let layers = names.par_iter().map(|name| Layer::load(weights, precision, name, width));
        let (projection, (embeddings, layers)) = rayon::join(
            || linear(weights, precision.weight, "decoder/projection", width, vocabulary),
            || rayon::join(|| halves(weights, EMBEDDINGS, &[vocabulary, width]), || layers.collect()),
        );
        let layers: Result<_, _> = layers;
        Ok(Self {
            precision,
            heads: heads(weights, "decoder", width)?,
            vocabulary,
            embeddings: embeddings?,
            positions: weights.tensor(positions, &[context, width])?,
            layers: layers?,
            norm: layer_norm(weights, "decoder/layer_norm", width)?,
            projection: projection?,
        })
    }

    /// How many tokens a model knows.
    pub(crate) fn vocabulary_of(weights: &Weights) -> Result<usize, Error> {
        Ok(weights.shape(EMBEDDINGS)?.first().copied().unwrap_or(0))
    }

    pub(crate) fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The most tokens a sequence can have, prompt included.
    pub(crate) fn context(&self) -> usize {
        self.positions.len() / self.heads.width()
    }

    /// Prepares a window's encoder states, `[states, width]`, for cross attention.
    pub(crate) fn memory(&self, states: &[f32]) -> Memory {
        let width = self.heads.width();
        let of_layer = |layer: &Layer| {
            let mut memory = KeysValues::new(self.precision.memory, self.heads, states.len() / width);
            states.par_chunks(BLOCK * width).zip(memory.blocks_mut()).for_each(|(states, mut block)| {
                within(Stage::CrossMemory, || {
                    let rows = layer.cross_memory.apply(states);
                    block.fill(Rows::new(&rows, 2 * width), 0, width);
                });
            });
            memory
        };
        Memory(self.layers.iter().map(of_layer).collect())
    }

    /// Feeds every window its rows. The logits become `[wanted, vocabulary]`, for all wanted rows of the first
    /// window, then of the second, and so on.
    pub(crate) fn step(&self, feeds: &mut [Feed<'_>], logits: &mut Vec<f32>) {
        let x = within(Stage::DecoderProducts, || self.run(feeds, |_, _| ()));
        self.project(&self.wanted_rows(feeds, &x), logits);
    }

    /// Takes the rows through all layers, to `[rows, width]`. Shows `watch` each layer's number and its queries to
    /// the audio, `[rows, width]`.
    pub(super) fn run(&self, feeds: &mut [Feed<'_>], mut watch: impl FnMut(usize, &[f32])) -> Vec<f32> {
        let mut x = self.embed(feeds);
        let (mut wide, mut hidden) = (Vec::new(), Vec::new());
        for (index, layer) in self.layers.iter().enumerate() {
            layer.self_in.apply_to(&layer.self_norm.apply(&x), &mut wide, |_| {});
            self.append_keys_values(feeds, index, &wide);
            add(&mut x, &layer.self_out.apply(&self.self_attention(feeds, index, &wide)));

            layer.cross_query.apply_to(&layer.cross_norm.apply(&x), &mut wide, |_| {});
            watch(index, &wide);
            add(&mut x, &layer.cross_out.apply(&self.cross_attention(feeds, index, &wide)));

            layer.ffn_in.apply_to(&layer.ffn_norm.apply(&x), &mut hidden, gelu);
            add(&mut x, &layer.ffn_out.apply(&hidden));
        }
        for feed in feeds.iter_mut() {
            feed.context.rows += feed.rows.len() as u32;
        }
        x
    }

    /// The logits `[rows, vocabulary]` of what [`Self::run`] gave.
    pub(super) fn project(&self, x: &[f32], logits: &mut Vec<f32>) {
        within(Stage::Logits, || self.projection.apply_to(&self.norm.apply(x), logits, |_| {}));
    }

    /// Token and position embeddings, `[rows, width]`.
    fn embed(&self, feeds: &[Feed<'_>]) -> Vec<f32> {
        let width = self.heads.width();
        let rows = feeds.iter().flat_map(|feed| &feed.rows);
        let mut x = vec![0.0; feeds.iter().map(|feed| feed.rows.len()).sum::<usize>() * width];
        for (row, x) in rows.zip(x.chunks_exact_mut(width)) {
            self.embeddings[row.token as usize * width..][..width].convert_to_f32_slice(x);
            add(x, &self.positions[(row.path.len() - 1) * width..][..width]);
        }
        x
    }

    pub(super) fn wanted_rows(&self, feeds: &[Feed<'_>], x: &[f32]) -> Vec<f32> {
        let rows = feeds.iter().flat_map(|feed| &feed.rows).zip(x.chunks_exact(self.heads.width()));
        rows.filter(|(row, _)| row.wanted).flat_map(|(_, x)| x).copied().collect()
    }

    /// Appends the new rows' keys and values to those of their windows.
    fn append_keys_values(&self, feeds: &mut [Feed<'_>], layer: usize, qkv: &[f32]) {
        let width = self.heads.width();
        let mut rows = qkv.chunks_exact(3 * width);
        for feed in feeds {
            for row in rows.by_ref().take(feed.rows.len()) {
                feed.context.keys[layer].extend_from_slice(&row[width..2 * width]);
                feed.context.values[layer].extend_from_slice(&row[2 * width..]);
            }
        }
    }

    /// Each row attends to its own sequence's tokens up to itself.
    fn self_attention(&self, feeds: &[Feed<'_>], layer: usize, qkv: &[f32]) -> Vec<f32> {
        let width = self.heads.width();
        let rows: Vec<(&Context, &[u32])> =
            feeds.iter().flat_map(|feed| feed.rows.iter().map(|row| (&*feed.context, row.path))).collect();
        let mut out = vec![0.0; rows.len() * width];
        out.par_chunks_mut(width).zip(qkv.par_chunks(3 * width)).zip(rows).with_min_len(4).for_each(
            |((out, qkv), (context, path))| {
                let (keys, values) = (&context.keys[layer], &context.values[layer]);
                within(Stage::SelfAttention, || {
                    attend_path(self.heads, &qkv[..width], keys, values, path, out);
                });
            },
        );
        out
    }

    /// Each row attends to all states of its own window.
    fn cross_attention(&self, feeds: &[Feed<'_>], layer: usize, queries: &[f32]) -> Vec<f32> {
        let (width, size) = (self.heads.width(), self.heads.size);
        let mut tasks = Vec::new();
        let mut first = 0;
        for feed in feeds {
            tasks.extend((0..self.heads.count).map(|head| (feed, first, head)));
            first += feed.rows.len();
        }
        let by_task: Vec<Vec<f32>> = tasks
            .par_iter()
            .map(|&(feed, first, head)| {
                let count = feed.rows.len();
                let data = &queries[first * width + head * size..];
                let mut out = vec![0.0; count * size];
                let memory = &feed.context.memory.0[layer];
                within(Stage::CrossAttention, || {
                    memory.attend(head, Rows { data, stride: width, count }, &mut out, size);
                });
                out
            })
            .collect();
        let mut joined = vec![0.0; first * width];
        for ((_, first, head), out) in tasks.into_iter().zip(by_task) {
            for (offset, out) in out.chunks_exact(size).enumerate() {
                joined[(first + offset) * width + head * size..][..size].copy_from_slice(out);
            }
        }
        joined
    }
}

impl Layer {
    fn load(weights: &Weights, precision: Precision, name: &str, width: usize) -> Result<Self, Error> {
        let hidden = weights.shape(&format!("{name}/ffn/linear_0/weight"))?.first().copied().unwrap_or(0);
        let norm = |part: &str| layer_norm(weights, &format!("{name}/{part}/layer_norm"), width);
        let linear = |part: &str, inputs, outputs| {
            linear(weights, precision.weight, &format!("{name}/{part}"), inputs, outputs)
        };
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

fn halves(weights: &Weights, name: &str, shape: &[usize]) -> Result<Vec<f16>, Error> {
    let mut halves = Vec::with_capacity(shape.iter().product());
    weights.read(name, shape, |rows| {
        let start = halves.len();
        halves.resize(start + rows.len(), f16::ZERO);
        halves[start..].convert_from_f32_slice(rows);
    })?;
    Ok(halves)
}

//! The audio encoder: log-mel in, a state for every 20 ms out.
//!
//! Two convolutions, then transformer blocks with pre-normalisation (Radford et al. 2022, section 2.2).

use rayon::prelude::*;

use super::layers::{Weight, layer_norm, linear};
use super::mel::{FRAMES, LogMel, STATE_FRAMES};
use super::precision::{Convolution, Precision};
use crate::Error;
use crate::weights::Weights;
use verbatim_kernels::attention::{BLOCK, Block, HEAD, Heads, KeysValues, Rows};
use verbatim_kernels::stages::{Stage, within};
use verbatim_kernels::vector::{add, gelu};
use verbatim_kernels::{LayerNorm, Linear};

/// States that the encoder gives for 30 s, the longest window: one for every 20 ms.
pub(crate) const STATES: usize = FRAMES / STATE_FRAMES;

/// Width of both convolutions' kernels.
const KERNEL: usize = 3;

/// Blocks of rows that go through a layer together, which reads its weights, keys and values once for all of them. Fewer
/// where more threads want a share of a window.
const MOST_BLOCKS: usize = 3;

#[derive(Debug)]
pub(crate) struct Encoder {
    precision: Precision,
    n_mels: usize,
    heads: Heads,
    conv1: Linear,
    conv2: Linear,
    /// `[STATES, width]`
    positions: Vec<f32>,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

#[derive(Debug)]
struct Layer {
    attention_norm: LayerNorm,
    /// Query, key and value in one: `[width -> 3 width]`.
    attention_in: Linear,
    attention_out: Linear,
    ffn_norm: LayerNorm,
    ffn_in: Linear,
    ffn_out: Linear,
}

impl Encoder {
    pub(crate) fn load(weights: &Weights, precision: Precision) -> Result<Self, Error> {
        let (width, n_mels) = width_and_mels(weights)?;
        let names: Vec<String> = (0..)
            .map(|layer| format!("encoder/layer_{layer}"))
            .take_while(|layer| weights.contains(&format!("{layer}/ffn/linear_0/weight")))
            .collect();
        let layers = names.par_iter().map(|name| Layer::load(weights, precision.weight, name, width));
        Ok(Self {
            precision,
            n_mels,
            heads: heads(weights, "encoder", width)?,
            conv1: convolution(weights, precision.convolution, "encoder/conv1", n_mels, width)?,
            conv2: convolution(weights, precision.convolution, "encoder/conv2", width, width)?,
            positions: weights.tensor("encoder/position_encodings/encodings", &[STATES, width])?,
            layers: layers.collect::<Result<_, _>>()?,
            norm: layer_norm(weights, "encoder/layer_norm", width)?,
        })
    }

    pub(crate) fn n_mels(&self) -> usize {
        self.n_mels
    }

    /// Width of a state, the model's dimension.
    pub(crate) fn width(&self) -> usize {
        self.heads.width()
    }

    /// One window's states, `[states, width]`: one for every two frames of its spectrogram.
    ///
    /// A few rows at a time go through all that is done row by row, so that they stay in the cache; only
    /// attention needs those of all others, as keys and values.
    pub(crate) fn forward(&self, mel: &LogMel) -> Vec<f32> {
        let width = self.width();
        assert!(mel.frames().is_multiple_of(STATE_FRAMES));
        let states = mel.frames() / STATE_FRAMES;
        let mut x = self.convolve(mel);
        add(&mut x, &self.positions[..states * width]);
        let mut queries = vec![0.0; x.len()];
        let mut memory = KeysValues::new(self.precision.attention, self.heads, states);
        let blocks = (states.div_ceil(BLOCK) / rayon::current_num_threads()).clamp(1, MOST_BLOCKS);
        let at_once = blocks * BLOCK * width;
        for layer in &self.layers {
            let rows = x.par_chunks(at_once).zip(queries.par_chunks_mut(at_once));
            rows.zip(memory.blocks_mut().par_chunks_mut(blocks)).for_each(|((x, queries), blocks)| {
                within(Stage::EncoderProducts, || self.project(layer, x, queries, blocks));
            });
            let rows = x.par_chunks_mut(at_once).zip(queries.par_chunks(at_once));
            rows.for_each(|(x, queries)| {
                let attended = within(Stage::EncoderAttention, || self.attend(&memory, queries));
                within(Stage::EncoderProducts, || {
                    add(x, &layer.attention_out.apply(&attended));
                    let mut hidden = Vec::new();
                    layer.ffn_in.apply_to(&layer.ffn_norm.apply(x), &mut hidden, gelu);
                    add(x, &layer.ffn_out.apply(&hidden));
                });
            });
        }
        self.norm.apply(&x)
    }

    /// The queries of some rows of `x`, and their keys and values as blocks of the memory.
    fn project(&self, layer: &Layer, x: &[f32], queries: &mut [f32], blocks: &mut [Block<'_>]) {
        let width = self.width();
        let qkv = layer.attention_in.apply(&layer.attention_norm.apply(x));
        for (qkv, query) in qkv.chunks_exact(3 * width).zip(queries.chunks_exact_mut(width)) {
            query.copy_from_slice(&qkv[..width]);
        }
        for (block, qkv) in blocks.iter_mut().zip(qkv.chunks(BLOCK * 3 * width)) {
            block.fill(Rows::new(qkv, 3 * width), width, 2 * width);
        }
    }

    /// What all heads make of some rows of queries.
    fn attend(&self, memory: &KeysValues, queries: &[f32]) -> Vec<f32> {
        let (width, size) = (self.width(), self.heads.size);
        let mut attended = vec![0.0; queries.len()];
        for at in (0..self.heads.count).map(|head| head * size) {
            let queries = Rows { data: &queries[at..], stride: width, count: queries.len() / width };
            memory.attend(at / size, queries, &mut attended[at..], width);
        }
        attended
    }

    /// Both convolutions as matrix products: with time-major rows and one zero row of padding on either
    /// side, the inputs of output `t` are `KERNEL` whole rows that lie side by side in memory.
    fn convolve(&self, mel: &LogMel) -> Vec<f32> {
        let x = self.convolution(&self.conv1, &mel.time_major(), self.n_mels, mel.frames());
        self.convolution(&self.conv2, &x, self.width(), mel.frames() / STATE_FRAMES)
    }

    /// One convolution of rows of `inputs`, with so many outputs, and its GELU.
    fn convolution(&self, layer: &Linear, rows: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
        let stride = rows.len() / outputs;
        let rows = padded(rows, inputs);
        let mut y = vec![0.0; outputs * self.width()];
        y.par_chunks_mut(BLOCK * self.width()).enumerate().for_each(|(block, y)| {
            let rows = &rows[block * BLOCK * stride..];
            within(Stage::Convolutions, || layer.apply_strided(rows, stride, y, gelu));
        });
        y
    }
}

impl Layer {
    fn load(weights: &Weights, kind: Weight, name: &str, width: usize) -> Result<Self, Error> {
        let hidden = weights.shape(&format!("{name}/ffn/linear_0/weight"))?.first().copied().unwrap_or(0);
        let norm = |part: &str| layer_norm(weights, &format!("{name}/{part}/layer_norm"), width);
        let linear =
            |part: &str, inputs, outputs| linear(weights, kind, &format!("{name}/{part}"), inputs, outputs);
        Ok(Self {
            attention_norm: norm("self_attention")?,
            attention_in: linear("self_attention/linear_0", width, 3 * width)?,
            attention_out: linear("self_attention/linear_1", width, width)?,
            ffn_norm: norm("ffn")?,
            ffn_in: linear("ffn/linear_0", width, hidden)?,
            ffn_out: linear("ffn/linear_1", hidden, width)?,
        })
    }
}

/// The width of the model, as its first convolution has it, and the number of mel bands of its input.
pub(crate) fn width_and_mels(weights: &Weights) -> Result<(usize, usize), Error> {
    let name = "encoder/conv1/weight";
    match weights.shape(name)? {
        &[width, n_mels, KERNEL] => Ok((width, n_mels)),
        _ => Err(weights.fault(name, format!("is not [width, mels, {KERNEL}]"))),
    }
}

/// The attention heads of `encoder` or `decoder`, checked against the width.
pub(crate) fn heads(weights: &Weights, part: &str, width: usize) -> Result<Heads, Error> {
    let name = format!("{part}/num_heads");
    let count = usize::try_from(weights.integer(&name)?).unwrap_or(0);
    if count == 0 || !width.is_multiple_of(count) {
        return Err(weights.fault(&name, format!("is {count}, which does not divide the width {width}")));
    }
    let size = width / count;
    if size > HEAD {
        return Err(weights.fault(&name, format!("makes heads {size} wide; at most {HEAD} can be computed")));
    }
    Ok(Heads { count, size })
}

/// A convolution over time as a linear layer over `KERNEL` rows of input: `[out, in, KERNEL]` becomes
/// `[out, KERNEL * in]`.
fn convolution(
    weights: &Weights,
    kind: Convolution,
    name: &str,
    inputs: usize,
    outputs: usize,
) -> Result<Linear, Error> {
    let weight = weights.tensor(&format!("{name}/weight"), &[outputs, inputs, KERNEL])?;
    let mut by_row = Vec::with_capacity(weight.len());
    for of_output in weight.chunks_exact(inputs * KERNEL) {
        for tap in 0..KERNEL {
            by_row.extend(of_output.iter().skip(tap).step_by(KERNEL));
        }
    }
    let bias = weights.tensor(&format!("{name}/bias"), &[outputs])?;
    Ok(match kind {
        Convolution::F32 => Linear::new(&by_row, Some(bias), KERNEL * inputs, outputs),
        Convolution::Bf16 => Linear::bf16(&by_row, Some(bias), KERNEL * inputs, outputs),
    })
}

/// Rows of `width` with a row of zeros before and after.
fn padded(rows: &[f32], width: usize) -> Vec<f32> {
    let mut padded = vec![0.0; rows.len() + 2 * width];
    padded[width..width + rows.len()].copy_from_slice(rows);
    padded
}

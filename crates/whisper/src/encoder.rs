//! The audio encoder: log-mel in, a state for every 20 ms out.
//!
//! Two convolutions, then transformer blocks with pre-normalisation (Radford et al. 2022, section 2.2).

use rayon::prelude::*;

use crate::Error;
use crate::linear::{Linear, multiply_packed, pack, strided};
use crate::mel::{self, LogMel};
use crate::vector::{LayerNorm, add, gelu, softmax_rows};
use crate::weights::Weights;

/// States that the encoder gives for a window: one for every 20 ms of 30 s.
pub(crate) const STATES: usize = 1500;

/// Width of both convolutions' kernels.
const KERNEL: usize = 3;

/// Query rows whose attention scores are held at once: few enough that they stay in the cache.
const QUERY_BLOCK: usize = 128;

#[derive(Debug)]
pub(crate) struct Encoder {
    n_mels: usize,
    width: usize,
    heads: usize,
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
    pub(crate) fn load(weights: &Weights) -> Result<Self, Error> {
        let conv1_weight = "encoder/conv1/weight";
        let &[width, n_mels, KERNEL] = weights.shape(conv1_weight)? else {
            return Err(weights.fault(conv1_weight, format!("is not [width, mels, {KERNEL}]")));
        };
        let heads = heads(weights, "encoder", width)?;
        let layers = (0..)
            .take_while(|layer| weights.contains(&format!("encoder/layer_{layer}/ffn/linear_0/weight")))
            .map(|layer| Layer::load(weights, &format!("encoder/layer_{layer}"), width))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            n_mels,
            width,
            heads,
            conv1: convolution(weights, "encoder/conv1", n_mels, width)?,
            conv2: convolution(weights, "encoder/conv2", width, width)?,
            positions: weights.tensor("encoder/position_encodings/encodings", &[STATES, width])?,
            layers,
            norm: LayerNorm::load(weights, "encoder/layer_norm", width)?,
        })
    }

    pub(crate) fn n_mels(&self) -> usize {
        self.n_mels
    }

    /// Width of a state, the model's dimension.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// One window's states, `[STATES, width]`.
    pub(crate) fn forward(&self, mel: &LogMel) -> Vec<f32> {
        let mut x = self.convolve(mel);
        add(&mut x, &self.positions);
        for layer in &self.layers {
            let qkv = layer.attention_in.apply(&layer.attention_norm.apply(&x));
            let attended = self_attention(&qkv, self.width, self.heads);
            add(&mut x, &layer.attention_out.apply(&attended));
            let mut hidden = layer.ffn_in.apply(&layer.ffn_norm.apply(&x));
            gelu(&mut hidden);
            add(&mut x, &layer.ffn_out.apply(&hidden));
        }
        self.norm.apply(&x)
    }

    /// Both convolutions as matrix products: with time-major rows and one zero row of padding on either
    /// side, the inputs of output `t` are `KERNEL` whole rows that lie side by side in memory.
    fn convolve(&self, mel: &LogMel) -> Vec<f32> {
        let rows = padded(&mel.time_major(), self.n_mels);
        let x = strided(&rows, [mel::FRAMES, KERNEL * self.n_mels], [self.n_mels, 1]);
        let mut x = self.conv1.apply_matrix(x);
        gelu(&mut x);
        let rows = padded(&x, self.width);
        let x = strided(&rows, [STATES, KERNEL * self.width], [2 * self.width, 1]);
        let mut x = self.conv2.apply_matrix(x);
        gelu(&mut x);
        x
    }
}

impl Layer {
    fn load(weights: &Weights, name: &str, width: usize) -> Result<Self, Error> {
        let hidden = weights.shape(&format!("{name}/ffn/linear_0/weight"))?.first().copied().unwrap_or(0);
        Ok(Self {
            attention_norm: LayerNorm::load(weights, &format!("{name}/self_attention/layer_norm"), width)?,
            attention_in: Linear::load(
                weights,
                &format!("{name}/self_attention/linear_0"),
                width,
                3 * width,
            )?,
            attention_out: Linear::load(weights, &format!("{name}/self_attention/linear_1"), width, width)?,
            ffn_norm: LayerNorm::load(weights, &format!("{name}/ffn/layer_norm"), width)?,
            ffn_in: Linear::load(weights, &format!("{name}/ffn/linear_0"), width, hidden)?,
            ffn_out: Linear::load(weights, &format!("{name}/ffn/linear_1"), hidden, width)?,
        })
    }
}

/// The number of attention heads of `encoder` or `decoder`, checked against the width.
pub(crate) fn heads(weights: &Weights, part: &str, width: usize) -> Result<usize, Error> {
    let name = format!("{part}/num_heads");
    let heads = usize::try_from(weights.integer(&name)?).unwrap_or(0);
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(weights.fault(&name, format!("is {heads}, which does not divide the width {width}")));
    }
    Ok(heads)
}

/// A convolution over time as a linear layer over `KERNEL` rows of input: `[out, in, KERNEL]` becomes
/// `[out, KERNEL * in]`.
fn convolution(weights: &Weights, name: &str, inputs: usize, outputs: usize) -> Result<Linear, Error> {
    let weight = weights.tensor(&format!("{name}/weight"), &[outputs, inputs, KERNEL])?;
    let mut by_row = Vec::with_capacity(weight.len());
    for of_output in weight.chunks_exact(inputs * KERNEL) {
        for tap in 0..KERNEL {
            by_row.extend(of_output.iter().skip(tap).step_by(KERNEL));
        }
    }
    let bias = weights.tensor(&format!("{name}/bias"), &[outputs])?;
    Ok(Linear::new(&by_row, Some(bias), KERNEL * inputs, outputs))
}

/// Rows of `width` with a row of zeros before and after.
fn padded(rows: &[f32], width: usize) -> Vec<f32> {
    let mut padded = vec![0.0; rows.len() + 2 * width];
    padded[width..width + rows.len()].copy_from_slice(rows);
    padded
}

/// Attention of every position to every other. `qkv` is `[rows, 3 width]`; gives `[rows, width]`.
fn self_attention(qkv: &[f32], width: usize, heads: usize) -> Vec<f32> {
    let rows = qkv.len() / (3 * width);
    let size = width / heads;
    let scale = (size as f32).sqrt().recip();
    let by_head: Vec<Vec<f32>> = (0..heads)
        .into_par_iter()
        .map(|head| {
            let part = |which: usize| &qkv[which * width + head * size..];
            let keys = pack(strided(part(1), [size, rows], [1, 3 * width]));
            let values = pack(strided(part(2), [rows, size], [3 * width, 1]));
            let queries: Vec<f32> = (0..rows)
                .flat_map(|row| &part(0)[row * 3 * width..][..size])
                .map(|query| query * scale)
                .collect();
            let mut out = vec![0.0; rows * size];
            let mut scores = vec![0.0; QUERY_BLOCK * rows];
            for (queries, out) in queries.chunks(QUERY_BLOCK * size).zip(out.chunks_mut(QUERY_BLOCK * size)) {
                let block = queries.len() / size;
                let scores = &mut scores[..block * rows];
                multiply_packed(scores, strided(queries, [block, size], [size, 1]), &keys);
                softmax_rows(scores, rows);
                multiply_packed(out, strided(scores, [block, rows], [rows, 1]), &values);
            }
            out
        })
        .collect();
    let mut out = vec![0.0; rows * width];
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        for (head, out) in out.chunks_exact_mut(size).enumerate() {
            out.copy_from_slice(&by_head[head][row * size..][..size]);
        }
    }
    out
}

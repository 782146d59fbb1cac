//! Products of rows with weights that stay the same: packed once for the processor at hand, on the calling
//! thread alone.
//!
//! A pool of threads is no help to the small products of one text, and it is busy with speech. So the kernel is
//! our own: twelve rows (six where there are 16 registers) by two vectors of outputs are added up in registers.

use std::ops::Range;

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

/// Rows that are multiplied at a time: few enough for what goes in and what comes out to stay in cache.
const BLOCK: usize = 96;

/// The weights and bias of `y = x Wᵀ + b`.
pub(crate) struct Weights {
    /// `[panels, inputs, panel]`: as many outputs as two vectors hold, side by side, the last filled with zeros.
    panels: Vec<f32>,
    /// `[panels, panel]`
    bias: Vec<f32>,
    panel: usize,
    inputs: usize,
    outputs: usize,
}

impl Weights {
    /// `weight` gives the row of an output, `inputs` long; `bias` its constant.
    pub(crate) fn new<'w>(
        inputs: usize,
        outputs: usize,
        weight: impl Fn(usize) -> &'w [f32],
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        let panel = 2 * Lanes.dispatch();
        let count = outputs.div_ceil(panel);
        let mut panels = vec![0.0; count * inputs * panel];
        let mut packed_bias = vec![0.0; count * panel];
        for (output, constant) in packed_bias.iter_mut().enumerate().take(outputs) {
            let start = output / panel * inputs * panel + output % panel;
            let places = panels[start..].iter_mut().step_by(panel);
            places.zip(weight(output)).for_each(|(place, value)| *place = *value);
            *constant = bias(output);
        }
        Self { panels, bias: packed_bias, panel, inputs, outputs }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Multiplies `rows` rows that start every `stride` elements of `x` and may overlap; `finish` is given each
    /// row's number and its outputs, in order.
    pub(crate) fn apply(&self, x: &[f32], stride: usize, rows: usize, mut finish: impl FnMut(usize, &[f32])) {
        let width = self.bias.len();
        let most = rows.min(BLOCK).next_multiple_of(MOST_TILE_ROWS);
        let mut packed = vec![0.0; most * self.inputs];
        let mut y = vec![0.0; most * width];
        for first in (0..rows).step_by(BLOCK) {
            let rows = (rows - first).min(BLOCK);
            let x = &x[first * stride..];
            Block { weights: self, x, stride, rows, packed: &mut packed, y: &mut y }.dispatch();
            for (row, y) in y.chunks_exact(width).take(rows).enumerate() {
                finish(first + row, &y[..self.outputs]);
            }
        }
    }
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Weights({} -> {})", self.inputs, self.outputs)
    }
}

/// Weights and bias for products with one row at a time.
pub(crate) struct RowWeights {
    /// `[blocks, inputs, block]`: as many outputs as eight vectors hold, side by side, the last filled with zeros.
    blocks: Vec<f32>,
    /// `[blocks, block]`
    bias: Vec<f32>,
    inputs: usize,
}

/// Vectors of a block: sums that do not wait for each other.
const ROW_VECTORS: usize = 8;

impl RowWeights {
    /// `weight` is `[bias.len(), inputs]`.
    pub(crate) fn new(inputs: usize, weight: &[f32], bias: &[f32]) -> Self {
        let block = ROW_VECTORS * Lanes.dispatch();
        let count = bias.len().div_ceil(block);
        let mut blocks = vec![0.0; count * inputs * block];
        for (output, weight) in weight.chunks_exact(inputs).enumerate() {
            let start = output / block * inputs * block + output % block;
            let places = blocks[start..].iter_mut().step_by(block);
            places.zip(weight).for_each(|(place, value)| *place = *value);
        }
        let mut padded_bias = bias.to_vec();
        padded_bias.resize(count * block, 0.0);
        Self { blocks, bias: padded_bias, inputs }
    }

    /// How many numbers [`Self::multiply`] writes: the outputs, and zeros behind them.
    pub(crate) fn padded_outputs(&self) -> usize {
        self.bias.len()
    }

    /// `y = W x + b`, within an operation of the caller's. `y` has room for [`Self::padded_outputs`].
    #[inline(always)]
    pub(crate) fn multiply<I: Isa>(&self, isa: I, x: &[f32], y: &mut [f32]) {
        let ops = isa.f32();
        let lanes = ops.len();
        let block = ROW_VECTORS * lanes;
        let blocks = self.blocks.chunks_exact(self.inputs * block).zip(self.bias.chunks_exact(block));
        for ((weights, bias), y) in blocks.zip(y.chunks_exact_mut(block)) {
            let mut sums = ops.load_many::<ROW_VECTORS>(bias);
            for (x, weights) in x.iter().zip(weights.chunks_exact(block)) {
                let x = ops.splat(*x);
                for vector in 0..ROW_VECTORS {
                    let weights = ops.load(&weights[vector * lanes..][..lanes]);
                    sums[vector] = ops.mul_add(x, weights, sums[vector]);
                }
            }
            for vector in 0..ROW_VECTORS {
                ops.store(sums[vector], &mut y[vector * lanes..][..lanes]);
            }
        }
    }
}

impl std::fmt::Debug for RowWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowWeights({} inputs)", self.inputs)
    }
}

/// How many `f32` a vector of this processor holds.
struct Lanes;

impl SimdOp for Lanes {
    type Output = usize;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> usize {
        isa.f32().len()
    }
}

/// Rows of the tallest tile.
const MOST_TILE_ROWS: usize = 12;

/// The product of at most [`BLOCK`] rows.
struct Block<'a> {
    weights: &'a Weights,
    x: &'a [f32],
    stride: usize,
    rows: usize,
    /// Room for the rows, in tiles: `[tiles, inputs, rows of a tile]`.
    packed: &'a mut [f32],
    /// `[rows, panels * panel]`, with room for the last tile to be a full one.
    y: &'a mut [f32],
}

impl SimdOp for Block<'_> {
    type Output = ();

    /// In the tallest tiles whose sums the registers hold; what is left, in one that is not much too tall.
    #[inline(always)]
    fn eval<I: Isa>(mut self, isa: I) {
        let rows = self.rows;
        // Vectors of eight are AVX2's, which has 16 registers; the others have 32.
        if isa.f32().len() == 8 {
            let tall = rows - rows % 6;
            self.run::<I, 6>(isa, 0..tall);
            match rows - tall {
                0 => {}
                1..=3 => self.run::<I, 3>(isa, tall..rows),
                _ => self.run::<I, 6>(isa, tall..rows),
            }
        } else {
            let tall = rows - rows % MOST_TILE_ROWS;
            self.run::<I, MOST_TILE_ROWS>(isa, 0..tall);
            match rows - tall {
                0 => {}
                1..=4 => self.run::<I, 4>(isa, tall..rows),
                5..=8 => self.run::<I, 8>(isa, tall..rows),
                _ => self.run::<I, MOST_TILE_ROWS>(isa, tall..rows),
            }
        }
    }
}

impl Block<'_> {
    /// Multiplies the rows of that range in tiles of `ROWS`.
    #[inline(always)]
    fn run<I: Isa, const ROWS: usize>(&mut self, isa: I, rows: Range<usize>) {
        let Weights { panels, bias, panel, inputs, .. } = self.weights;
        let (packed, _) = self.packed.as_chunks_mut::<ROWS>();
        let tiles = rows.len().div_ceil(ROWS);
        for (tile, packed) in packed.chunks_exact_mut(*inputs).take(tiles).enumerate() {
            for in_tile in 0..ROWS {
                // What stands in for rows behind the last is never looked at.
                let row = (rows.start + tile * ROWS + in_tile).min(rows.end - 1);
                let row = &self.x[row * self.stride..][..*inputs];
                packed.iter_mut().zip(row).for_each(|(place, value)| place[in_tile] = *value);
            }
        }
        let width = bias.len();
        let with_bias = panels.chunks_exact(inputs * panel).zip(bias.chunks_exact(*panel));
        for (number, (weights, bias)) in with_bias.enumerate() {
            for (tile, packed) in packed.chunks_exact(*inputs).take(tiles).enumerate() {
                let y = &mut self.y[(rows.start + tile * ROWS) * width + number * panel..];
                multiply_tile(isa, packed, weights, bias, y, width);
            }
        }
    }
}

/// `x` is `[inputs, ROWS]`, `weights` `[inputs, two vectors]`; row `r` of the sums goes to `y[r * stride..]`.
#[inline(always)]
fn multiply_tile<I: Isa, const ROWS: usize>(
    isa: I,
    x: &[[f32; ROWS]],
    weights: &[f32],
    bias: &[f32],
    y: &mut [f32],
    stride: usize,
) {
    let ops = isa.f32();
    let lanes = ops.len();
    // Loops over ROWS, a constant, are unrolled: the sums stay in registers.
    let mut left = [ops.load(bias); ROWS];
    let mut right = [ops.load(&bias[lanes..]); ROWS];
    for (x, weights) in x.iter().zip(weights.chunks_exact(2 * lanes)) {
        let (first, second) = weights.split_at(lanes);
        let (first, second) = (ops.load(first), ops.load(second));
        for row in 0..ROWS {
            let x = ops.splat(x[row]);
            left[row] = ops.mul_add(x, first, left[row]);
            right[row] = ops.mul_add(x, second, right[row]);
        }
    }
    for row in 0..ROWS {
        let (first, second) = y[row * stride..].split_at_mut(lanes);
        ops.store(left[row], first);
        ops.store(right[row], second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that differ from place to place and whose sums are exact.
    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + i / 5) % 23) as f32 - 11.0).collect()
    }

    #[test]
    fn products_are_those_of_the_definition() {
        for (inputs, outputs, stride) in [(1, 1, 1), (5, 3, 5), (96, 50, 96), (12, 106, 4), (7, 33, 9)] {
            for rows in [0, 1, 4, 5, 8, 9, 12, 13, 96, 97, 200] {
                let (weight, bias) = (numbers(inputs * outputs), numbers(outputs));
                let x = numbers(rows * stride + inputs);
                let weights = Weights::new(
                    inputs,
                    outputs,
                    |output| &weight[output * inputs..][..inputs],
                    |output| bias[output],
                );
                let mut seen = 0;
                weights.apply(&x, stride, rows, |row, y| {
                    assert_eq!(row, seen);
                    seen += 1;
                    assert_eq!(y.len(), outputs);
                    for (output, y) in y.iter().enumerate() {
                        let products = (0..inputs).map(|i| x[row * stride + i] * weight[output * inputs + i]);
                        let expected = products.sum::<f32>() + bias[output];
                        assert_eq!(*y, expected, "{inputs} to {outputs}, row {row}, output {output}");
                    }
                });
                assert_eq!(seen, rows);
            }
        }
    }

    struct Row<'a>(&'a RowWeights, &'a [f32], &'a mut [f32]);

    impl SimdOp for Row<'_> {
        type Output = ();

        #[inline(always)]
        fn eval<I: Isa>(self, isa: I) {
            self.0.multiply(isa, self.1, self.2);
        }
    }

    #[test]
    fn products_with_one_row_are_those_of_the_definition() {
        for (inputs, outputs) in [(1, 1), (64, 106), (64, 128), (3, 200)] {
            let (weight, bias, x) = (numbers(inputs * outputs), numbers(outputs), numbers(inputs));
            let weights = RowWeights::new(inputs, &weight, &bias);
            let mut y = vec![f32::NAN; weights.padded_outputs()];
            Row(&weights, &x, &mut y).dispatch();
            for (output, weight) in weight.chunks_exact(inputs).enumerate() {
                let expected = x.iter().zip(weight).map(|(x, weight)| x * weight).sum::<f32>() + bias[output];
                assert_eq!(y[output], expected, "{inputs} to {outputs}, output {output}");
            }
        }
    }
}

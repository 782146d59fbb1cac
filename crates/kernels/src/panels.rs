//! Products of rows with weights that stay the same: packed once for the processor at hand, on the calling thread
//! alone.
//!
//! For networks that run beside others and whose products are small: handing them to a pool of threads would take
//! longer than the products themselves, and the pool is busy with speech. One kernel serves all of them: rows by
//! vectors of outputs are added up in registers. Every sum starts with its bias and takes in one input after another, so
//! that it does not depend on the other rows.

use std::array;
use std::fmt;
use std::ops::Range;

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

use crate::simd;

/// Weights for many rows at once: twelve rows (six where there are 16 registers) by two vectors of outputs.
pub type Batched = Panels<2>;

/// Weights for one row at a time: eight vectors of outputs, whose sums do not wait for each other.
pub type Single = Panels<8>;

/// The weights and bias of `y = x Wᵀ + b`.
pub struct Panels<const VECTORS: usize> {
    /// `[panels, inputs, width]`: as many outputs as so many vectors hold, side by side, the last filled with zeros.
    weights: Vec<f32>,
    /// `[panels, width]`
    bias: Vec<f32>,
    /// Outputs of a panel.
    width: usize,
    inputs: usize,
    outputs: usize,
}

/// Rows that are multiplied at a time: few enough for what goes in and what comes out to stay in cache.
const BLOCK: usize = 96;

/// Rows of the tallest tile.
const MOST_TILE_ROWS: usize = 12;

impl<const VECTORS: usize> Panels<VECTORS> {
    /// `weight` is `[outputs, inputs]`, row-major, `bias` `[outputs]`.
    pub fn new(inputs: usize, weight: &[f32], bias: &[f32]) -> Self {
        Self::from_rows(
            inputs,
            bias.len(),
            |output| &weight[output * inputs..][..inputs],
            |output| bias[output],
        )
    }

    /// `weight` gives the row of an output, `inputs` long; `bias` its constant.
    pub fn from_rows<'w>(
        inputs: usize,
        outputs: usize,
        weight: impl Fn(usize) -> &'w [f32],
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        Self::packed(simd::lanes(), inputs, outputs, weight, bias)
    }

    /// As [`Self::from_rows`], for vectors of so many lanes.
    fn packed<'w>(
        lanes: usize,
        inputs: usize,
        outputs: usize,
        weight: impl Fn(usize) -> &'w [f32],
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        let width = VECTORS * lanes;
        let count = outputs.div_ceil(width);
        let mut weights = vec![0.0; count * inputs * width];
        let mut packed_bias = vec![0.0; count * width];
        for (output, constant) in packed_bias.iter_mut().enumerate().take(outputs) {
            let start = output / width * inputs * width + output % width;
            let places = weights[start..].iter_mut().step_by(width);
            places.zip(weight(output)).for_each(|(place, value)| *place = *value);
            *constant = bias(output);
        }
        Self { weights, bias: packed_bias, width, inputs, outputs }
    }

    /// Elements of a row that goes in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Elements of a row that comes out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Every panel's weights and bias.
    fn panels(&self) -> impl Iterator<Item = (&[f32], &[f32])> {
        self.weights.chunks_exact(self.inputs * self.width).zip(self.bias.chunks_exact(self.width))
    }
}

impl Batched {
    /// Multiplies `rows` rows that start every `stride` elements of `x` and may overlap; `finish` is given each
    /// row's number and its outputs, in order.
    pub fn apply(&self, x: &[f32], stride: usize, rows: usize, mut finish: impl FnMut(usize, &[f32])) {
        let width = self.bias.len();
        let most = rows.min(BLOCK).next_multiple_of(MOST_TILE_ROWS);
        let mut y = vec![0.0; most * width];
        for first in (0..rows).step_by(BLOCK) {
            let rows = (rows - first).min(BLOCK);
            let x = &x[first * stride..];
            Block { weights: self, x, stride, rows, y: &mut y }.dispatch();
            for (row, y) in y.chunks_exact(width).take(rows).enumerate() {
                finish(first + row, &y[..self.outputs]);
            }
        }
    }
}

impl Single {
    /// How many numbers [`Self::multiply`] writes: the outputs, and more behind them up to a whole panel.
    pub fn padded_outputs(&self) -> usize {
        self.bias.len()
    }

    /// `b`, with zeros behind it: [`Self::padded_outputs`] in all.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// `y = start + W x`, within an operation of the caller's. `start`, which is [`Self::bias`] or something else in
    /// place of it, and `y` have [`Self::padded_outputs`].
    #[inline(always)]
    pub fn multiply<I: Isa>(&self, isa: I, x: &[f32], start: &[f32], y: &mut [f32]) {
        let x = &x[..self.inputs];
        let places = start.chunks_exact(self.width).zip(y.chunks_exact_mut(self.width));
        for ((weights, _), (start, y)) in self.panels().zip(places) {
            multiply_tile::<I, 1, 8>(isa, [x], weights, start, y, 0);
        }
    }

    /// As [`Self::multiply`], as an operation of its own.
    pub fn apply(&self, x: &[f32], start: &[f32], y: &mut [f32]) {
        MultiplyRow { weights: self, x, start, y }.dispatch();
    }
}

impl<const VECTORS: usize> fmt::Debug for Panels<VECTORS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Panels({} -> {})", self.inputs, self.outputs)
    }
}

struct MultiplyRow<'a> {
    weights: &'a Single,
    x: &'a [f32],
    start: &'a [f32],
    y: &'a mut [f32],
}

impl SimdOp for MultiplyRow<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        self.weights.multiply(isa, self.x, self.start, self.y);
    }
}

/// The product of at most [`BLOCK`] rows.
struct Block<'a> {
    weights: &'a Batched,
    x: &'a [f32],
    stride: usize,
    rows: usize,
    /// `[rows, panels * width]`, with room for the last tile to be a full one.
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
        let Panels { bias, width, inputs, .. } = self.weights;
        let stride = bias.len();
        // A panel stays in the cache while all the rows go by.
        for (number, (weights, bias)) in self.weights.panels().enumerate() {
            for first in rows.clone().step_by(ROWS) {
                let tile: [&[f32]; ROWS] = array::from_fn(|row| {
                    // What stands in for rows behind the last is never looked at.
                    let row = (first + row).min(rows.end - 1);
                    &self.x[row * self.stride..][..*inputs]
                });
                let y = &mut self.y[first * stride + number * width..];
                multiply_tile::<I, ROWS, 2>(isa, tile, weights, bias, y, stride);
            }
        }
    }
}

/// `weights` is `[inputs, VECTORS vectors]`. Each row of the sums begins with `start`; that of `rows[r]`, `[inputs]`,
/// goes to `y[r * stride..]`.
#[inline(always)]
fn multiply_tile<I: Isa, const ROWS: usize, const VECTORS: usize>(
    isa: I,
    rows: [&[f32]; ROWS],
    weights: &[f32],
    start: &[f32],
    y: &mut [f32],
    stride: usize,
) {
    let ops = isa.f32();
    let lanes = ops.len();
    let width = VECTORS * lanes;
    let inputs = rows[0].len();
    // Of one length, which the compiler then knows; and loops over ROWS and VECTORS, which are constants, are unrolled:
    // the sums stay in registers.
    let rows = rows.map(|row| &row[..inputs]);
    let weights = &weights[..inputs * width];
    let mut sums = [ops.load_many::<VECTORS>(start); ROWS];
    for (input, weights) in (0..inputs).zip(weights.chunks_exact(width)) {
        let weights = ops.load_many::<VECTORS>(weights);
        for row in 0..ROWS {
            let x = ops.splat(rows[row][input]);
            for vector in 0..VECTORS {
                sums[row][vector] = ops.mul_add(x, weights[vector], sums[row][vector]);
            }
        }
    }
    for row in 0..ROWS {
        let y = &mut y[row * stride..][..width];
        for vector in 0..VECTORS {
            ops.store(sums[row][vector], &mut y[vector * lanes..][..lanes]);
        }
    }
}

#[cfg(test)]
mod tests {
    use rten_simd::isa::GenericIsa;

    use super::*;

    /// Numbers that differ from place to place and whose sums are exact.
    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + i / 5) % 23) as f32 - 11.0).collect()
    }

    #[test]
    fn products_are_those_of_the_definition() {
        // Miri is too slow for many rows and inputs: a tile, one row more, and two panels of outputs it can do.
        let shapes: &[_] = if cfg!(miri) {
            &[(3, 9, 3), (2, 5, 1)]
        } else {
            &[(1, 1, 1), (5, 3, 5), (96, 50, 96), (12, 106, 4), (7, 33, 9)]
        };
        let counts: &[_] = if cfg!(miri) { &[0, 5, 13] } else { &[0, 1, 4, 5, 8, 9, 12, 13, 96, 97, 200] };
        for &(inputs, outputs, stride) in shapes {
            for &rows in counts {
                let (weight, bias) = (numbers(inputs * outputs), numbers(outputs));
                let x = numbers(rows * stride + inputs);
                let weights = Batched::new(inputs, &weight, &bias);
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

    #[test]
    fn products_with_one_row_are_those_of_the_definition() {
        let shapes: &[_] = if cfg!(miri) {
            &[(1, 1), (2, 40)]
        } else {
            &[(1, 1), (64, 106), (64, 128), (3, 200), (128, 512)]
        };
        for &(inputs, outputs) in shapes {
            let (weight, bias, x) = (numbers(inputs * outputs), numbers(outputs), numbers(inputs));
            let weights = Single::new(inputs, &weight, &bias);
            let other = numbers(weights.padded_outputs() + 3);
            for start in [weights.bias(), &other[3..]] {
                let mut y = vec![f32::NAN; weights.padded_outputs()];
                weights.apply(&x, start, &mut y);
                for (output, weight) in weight.chunks_exact(inputs).enumerate() {
                    let expected =
                        x.iter().zip(weight).map(|(x, weight)| x * weight).sum::<f32>() + start[output];
                    assert_eq!(y[output], expected, "{inputs} to {outputs}, output {output}");
                }
            }
        }
    }

    /// With instructions of the test's choice, for which the weights are packed.
    fn check_with<I: Isa>(isa: I) {
        let (rows, inputs, outputs) = if cfg!(miri) { (5, 2, 9) } else { (29, 37, 70) };
        let (weight, bias, x) = (numbers(inputs * outputs), numbers(outputs), numbers(rows * inputs));
        let row = |output: usize| &weight[output * inputs..][..inputs];
        let expected = |of: usize, output: usize| {
            let x = &x[of * inputs..][..inputs];
            x.iter().zip(row(output)).map(|(x, weight)| x * weight).sum::<f32>() + bias[output]
        };
        let lanes = isa.f32().len();
        let weights = Batched::packed(lanes, inputs, outputs, row, |output| bias[output]);
        let stride = weights.bias.len();
        let most = rows.next_multiple_of(MOST_TILE_ROWS);
        let mut y = vec![0.0; most * stride];
        Block { weights: &weights, x: &x, stride: inputs, rows, y: &mut y }.eval(isa);
        for (of, y) in y.chunks_exact(stride).take(rows).enumerate() {
            assert!(y[..outputs].iter().enumerate().all(|(output, y)| *y == expected(of, output)));
        }
        let weights = Single::packed(lanes, inputs, outputs, row, |output| bias[output]);
        let mut y = vec![f32::NAN; weights.padded_outputs()];
        weights.multiply(isa, &x[..inputs], weights.bias(), &mut y);
        assert!(y[..outputs].iter().enumerate().all(|(output, y)| *y == expected(0, output)));
    }

    #[test]
    fn every_instruction_set_gives_the_same() {
        check_with(GenericIsa::new());
        #[cfg(target_arch = "x86_64")]
        {
            match rten_simd::isa::Avx2Isa::new() {
                Some(isa) => check_with(isa),
                None => verbatim_testing::skip("the processor has no AVX2"),
            }
            match rten_simd::isa::Avx512Isa::new() {
                Some(isa) => check_with(isa),
                None => verbatim_testing::skip("the processor has no AVX-512"),
            }
        }
        #[cfg(target_arch = "aarch64")]
        check_with(rten_simd::isa::ArmNeonIsa::new().expect("every 64-bit ARM processor has NEON"));
    }

    #[test]
    fn a_row_does_not_depend_on_the_others() {
        // As many as in the model, but in Miri, which would take minutes.
        let inputs = if cfg!(miri) { 5 } else { 129 };
        // Sums of these are not exact.
        let uneven = |count: usize| -> Vec<f32> { numbers(count).iter().map(|x| x / 7.0).collect() };
        let (x, weight, bias) = (uneven(7 * inputs), uneven(64 * inputs), uneven(64));
        let (batched, single) = (Batched::new(inputs, &weight, &bias), Single::new(inputs, &weight, &bias));
        let mut together = Vec::new();
        batched.apply(&x, inputs, 7, |_, y| together.extend_from_slice(y));
        for (x, expected) in x.chunks_exact(inputs).zip(together.chunks_exact(64)) {
            batched.apply(x, inputs, 1, |_, y| assert_eq!(y, expected));
            let mut y = vec![0.0; single.padded_outputs()];
            single.apply(x, single.bias(), &mut y);
            assert_eq!(&y[..64], expected);
        }
    }
}

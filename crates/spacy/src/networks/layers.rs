//! thinc's layers that spaCy's networks are made of, each read from its [`Layer`] of a model file.

use rten_simd::{Isa, SimdOp};

use verbatim_kernels::LayerNorm;
use verbatim_kernels::panels::Batched;
use verbatim_kernels::vector::{add, maximum};

use crate::error::LoadError;
use crate::networks::model::Layer;

/// What thinc adds to the variance before it takes the root.
const EPSILON: f32 = 1e-8;

/// Rows of numbers, `[rows, columns]`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    pub(crate) fn zeros(rows: usize, columns: usize) -> Self {
        Self { columns, values: vec![0.0; rows * columns] }
    }

    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..][..self.columns]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.columns..][..self.columns]
    }

    /// The rows from `row` on, one after another.
    pub(crate) fn rows_from(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..]
    }
}

/// A table that a key finds its vector in by hashing: the sum of the four rows that four hashes of the key name
/// (thinc's `HashEmbed`; Svenstrup, Hansen and Winther 2017, "Hash Embeddings for Efficient Word
/// Representations").
#[derive(Debug)]
pub(crate) struct HashEmbed {
    seed: u32,
    table: Matrix,
}

impl HashEmbed {
    pub(crate) fn load(layer: Layer<'_>) -> Result<Self, LoadError> {
        let [rows, columns] = layer.shape("E")?;
        if rows == 0 || columns == 0 {
            return Err(layer.damaged("has an empty table"));
        }
        let seed = u32::try_from(layer.number("seed")?);
        let seed = seed.map_err(|_| layer.damaged("has a seed that takes more than 32 bits"))?;
        let values = layer.parameter("E", &[rows, columns])?.to_vec();
        Ok(Self { seed, table: Matrix { columns, values } })
    }

    pub(crate) fn width(&self) -> usize {
        self.table.columns
    }

    /// Writes the vector of `key`.
    pub(crate) fn embed(&self, key: u64, vector: &mut [f32]) {
        let rows = self.table.rows();
        let [a, b, c, d] = hash(key, self.seed).map(|hash| self.table.row(hash as usize % rows));
        let sums = a.iter().zip(b).zip(c).zip(d);
        for (vector, (((a, b), c), d)) in vector.iter_mut().zip(sums) {
            *vector = a + b + c + d;
        }
    }
}

/// Four hashes of a key: MurmurHash3 (the variant of 128 bits for 64-bit processors; Austin Appleby) of its eight
/// bytes.
pub(crate) fn hash(key: u64, seed: u32) -> [u32; 4] {
    let mix = |value: u64| {
        let value = (value ^ value >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let value = (value ^ value >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        value ^ value >> 33
    };
    const BYTES: u64 = 8;
    let seed = u64::from(seed);
    let first = key.wrapping_mul(0x87c3_7b91_1142_53d5).rotate_left(31).wrapping_mul(0x4cf5_ad43_2745_937f);
    let (first, second) = (first ^ seed ^ BYTES, seed ^ BYTES);
    let first = first.wrapping_add(second);
    let second = second.wrapping_add(first);
    let (first, second) = (mix(first), mix(second));
    let first = first.wrapping_add(second);
    let second = second.wrapping_add(first);
    [first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32]
}

/// `y = x Wᵀ + b`
#[derive(Debug)]
pub(crate) struct Linear(Batched);

impl Linear {
    pub(crate) fn load(layer: Layer<'_>) -> Result<Self, LoadError> {
        let [outputs, inputs] = layer.shape("W")?;
        if inputs == 0 || outputs == 0 {
            return Err(layer.damaged("has no weights"));
        }
        let weight = layer.parameter("W", &[outputs, inputs])?;
        let bias = layer.parameter("b", &[outputs])?;
        Ok(Self(Batched::new(inputs, weight, bias)))
    }

    pub(crate) fn inputs(&self) -> usize {
        self.0.inputs()
    }

    pub(crate) fn outputs(&self) -> usize {
        self.0.outputs()
    }

    /// The number of each row's greatest output, the first of them where several are.
    pub(crate) fn arg_max(&self, x: &Matrix) -> Vec<usize> {
        let mut best = Vec::with_capacity(x.rows());
        self.0.apply(&x.values, x.columns, x.rows(), |_, scores| best.push(arg_max(scores)));
        best
    }
}

fn arg_max(scores: &[f32]) -> usize {
    let mut best = 0;
    for (number, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = number;
        }
    }
    best
}

/// The greatest of several linear pieces for every output (Goodfellow et al. 2013, "Maxout Networks"), then
/// layer normalisation.
#[derive(Debug)]
pub(crate) struct MaxoutNorm {
    /// Outputs `[pieces, width]`.
    weights: Batched,
    norm: LayerNorm,
}

impl MaxoutNorm {
    /// From the layer `maxout` and the `layernorm` behind it.
    pub(crate) fn load(maxout: Layer<'_>, norm: Layer<'_>) -> Result<Self, LoadError> {
        let [width, pieces, inputs] = maxout.shape("W")?;
        if width == 0 || pieces == 0 || inputs == 0 {
            return Err(maxout.damaged("has no weights"));
        }
        let weight = maxout.parameter("W", &[width, pieces, inputs])?;
        let bias = maxout.parameter("b", &[width, pieces])?;
        // The file keeps an output's pieces side by side; here a piece's outputs are, to be compared as vectors.
        let place = |number: usize| number % width * pieces + number / width;
        Ok(Self {
            weights: Batched::from_rows(
                inputs,
                width * pieces,
                |number| &weight[place(number) * inputs..][..inputs],
                |number| bias[place(number)],
            ),
            norm: LayerNorm::new(
                norm.parameter("G", &[width])?.to_vec(),
                norm.parameter("b", &[width])?.to_vec(),
                EPSILON,
            ),
        })
    }

    pub(crate) fn inputs(&self) -> usize {
        self.weights.inputs()
    }

    pub(crate) fn width(&self) -> usize {
        self.norm.width()
    }

    /// Takes rows of [`Self::inputs`] that start every `stride` elements of `x` and may overlap, and adds what
    /// comes of each to its row of `y` `[rows, width]`.
    pub(crate) fn add_to(&self, x: &[f32], stride: usize, y: &mut Matrix) {
        let mut greatest = vec![0.0; self.width()];
        self.weights.apply(x, stride, y.rows(), |row, pieces| {
            let y = y.row_mut(row);
            AddNorm { layer: self, pieces, greatest: &mut greatest, y }.dispatch();
        });
    }
}

/// `y += norm(max(pieces))`
struct AddNorm<'a> {
    layer: &'a MaxoutNorm,
    /// `[pieces, width]`
    pieces: &'a [f32],
    /// Room for one number of each output.
    greatest: &'a mut [f32],
    y: &'a mut [f32],
}

impl SimdOp for AddNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let MaxoutNorm { norm, .. } = self.layer;
        let (first, others) = self.pieces.split_at(norm.width());
        self.greatest.copy_from_slice(first);
        for piece in others.chunks_exact(norm.width()) {
            maximum(self.greatest, piece);
        }
        norm.apply_to_row(isa, self.greatest);
        add(self.y, self.greatest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_greatest_is_taken() {
        assert_eq!(arg_max(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(arg_max(&[f32::NAN, 3.0]), 0);
    }
}

//! Layers in bfloat16, where the processor multiplies it by itself: as exact as the encoder's attention, twice as fast as
//! `f32` or more. (Unsafe: pointers into rows whose lengths are asserted, and the instructions, for which [`Bf16`] vouches.)

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use crate::amx::Tiles;
use crate::blocks::{Bf16, Bf16Pair, Bf16Tiles, COLUMNS, Strided, multiply_tiles, pair_word, product};

/// Words of 64 inputs of an output.
const PAIRS: usize = COLUMNS / 2;

/// Words of 64 inputs of 64 outputs.
const BLOCK: usize = PAIRS * COLUMNS;

/// Blocks that are multiplied at once where sums are kept in registers: what of them rows share stays in the cache.
const AT_ONCE: usize = 2;

thread_local! {
    /// The activations at hand, in bfloat16. Borrowed while they are multiplied, which waits for no other thread.
    static WORDS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// The weights and bias of a layer.
pub(crate) struct Bf16Weights {
    instructions: Bf16,
    /// `[outputs / 64, blocks, 32, 64]`: pairs of inputs by outputs, filled up with zeros to whole blocks.
    words: Vec<u32>,
    bias: Vec<f32>,
    inputs: usize,
    /// Blocks of 64 inputs.
    blocks: usize,
}

/// Rows that begin every `stride` words, and go on for as many as the blocks of the weights have.
type Words<'a> = Strided<&'a [u32]>;

impl Bf16Weights {
    /// Whether a layer can be computed: by whole blocks of outputs, and by whole words of inputs.
    pub(crate) fn takes(inputs: usize, outputs: usize) -> bool {
        inputs.is_multiple_of(2) && outputs.is_multiple_of(COLUMNS)
    }

    /// `weight` is `[outputs, inputs]`, `bias` `[outputs]`.
    pub(crate) fn new(
        instructions: Bf16,
        weight: &[f32],
        bias: Option<Vec<f32>>,
        [inputs, outputs]: [usize; 2],
    ) -> Self {
        let blocks = inputs.div_ceil(COLUMNS);
        let mut words = vec![0; outputs / COLUMNS * blocks * BLOCK];
        let panels = words.chunks_exact_mut(blocks * BLOCK).zip(weight.chunks_exact(COLUMNS * inputs));
        for (panel, weight) in panels {
            for (output, weight) in weight.chunks_exact(inputs).enumerate() {
                for (words, pair) in panel.chunks_exact_mut(COLUMNS).zip(weight.chunks(2)) {
                    words[output] = pair_word(pair[0], pair.get(1).copied().unwrap_or(0.0));
                }
            }
        }
        let bias = bias.unwrap_or_else(|| vec![0.0; outputs]);
        Self { instructions, words, bias, inputs, blocks }
    }

    /// `y`, `[rows, outputs]`, becomes the products of rows that start every `stride` elements of `x`, an even number,
    /// with the bias.
    pub(crate) fn multiply(&self, x: &[f32], stride: usize, y: &mut [f32]) {
        assert!(stride.is_multiple_of(2));
        let rows = y.len() / self.bias.len();
        let Some(last) = rows.checked_sub(1) else { return };
        let x = &x[..last * stride + self.inputs];
        WORDS.with_borrow_mut(|words| {
            // What is read behind the last row, or by a tile of rows that are not, is multiplied with zeros or thrown
            // away.
            let last = rows.next_multiple_of(Bf16Tiles::ROWS) - 1;
            words.resize(last * (stride / 2) + self.blocks * PAIRS, 0);
            self.instructions.pair().pack(x, words);
            words[x.len().div_ceil(2)..].fill(0);
            let x = Strided { data: &words[..], stride: stride / 2 };
            match self.instructions {
                Bf16::Tiles(tiles) => self.multiply_by_tiles(tiles, x, y),
                // SAFETY: there is a `Bf16Pair` only where the processor has the instructions.
                Bf16::Pair(pair) => unsafe { self.multiply_by_pairs(pair, x, y) },
            }
        });
    }

    /// Blocks of 64 outputs, and their number.
    fn panels(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.words.chunks_exact(self.blocks * BLOCK).enumerate()
    }

    fn multiply_by_tiles(&self, tiles: Bf16Tiles, x: Words<'_>, y: &mut [f32]) {
        let outputs = self.bias.len();
        let tiles = Tiles::new(tiles.amx);
        let mut sums = [0.0; Bf16Tiles::ROWS * COLUMNS];
        for (panel, weights) in self.panels() {
            let bias = &self.bias[panel * COLUMNS..][..COLUMNS];
            for (number, y) in y.chunks_mut(Bf16Tiles::ROWS * outputs).enumerate() {
                let x = Strided { data: &x.data[number * Bf16Tiles::ROWS * x.stride..], ..x };
                let weights = Strided { data: weights, stride: BLOCK };
                let out = Strided { data: &mut sums[..], stride: COLUMNS };
                multiply_tiles(&tiles, x, weights, self.blocks, out);
                for (sums, y) in sums.chunks_exact(COLUMNS).zip(y.chunks_exact_mut(outputs)) {
                    for ((y, sum), bias) in y[panel * COLUMNS..].iter_mut().zip(sums).zip(bias) {
                        *y = sum + bias;
                    }
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,f16c")]
    fn multiply_by_pairs(&self, pair: Bf16Pair, x: Words<'_>, y: &mut [f32]) {
        let outputs = self.bias.len();
        let rows = y.len() / outputs;
        assert!(rows > 0 && x.data.len() >= (rows - 1) * x.stride + self.blocks * PAIRS);
        for y in y.chunks_exact_mut(outputs) {
            y.copy_from_slice(&self.bias);
        }
        for (panel, weights) in self.panels() {
            for (number, weights) in weights.chunks(AT_ONCE * BLOCK).enumerate() {
                // SAFETY: `x` has `rows` rows of all blocks, `y` as many, of which 64 outputs are this panel's.
                unsafe {
                    product(
                        pair.isa(),
                        pair,
                        rows,
                        x.data.as_ptr().add(number * AT_ONCE * PAIRS),
                        x.stride,
                        weights,
                        weights.len(),
                        y.as_mut_ptr().add(panel * COLUMNS),
                        outputs,
                        true,
                    );
                }
            }
        }
    }
}

//! Products of rows of bytes with weights in bytes.

use std::ops::Range;

use rayon::prelude::*;

use super::Amx;
use super::tiles::{Line, Rows, TILE_ROWS, Tiles};
use crate::quantize::{ZERO_POINT, quantize_row};

/// Outputs of a panel: those of two tiles.
const PANEL: usize = 32;

/// Weights that one thread takes at least: fewer are multiplied sooner than another thread is woken.
const LEAST_BYTES: usize = 256 << 10;

/// Weights in bytes as tiles.
pub(crate) struct TiledWeights {
    amx: Amx,
    /// `[panels, steps, 2, 16]`: of 64 inputs and 16 outputs each, four inputs of an output side by side. Filled up with
    /// zeros to whole tiles.
    tiles: Vec<Line>,
    /// What each output's sums start with, so that the zero point of the activations comes out as nothing.
    starts: Vec<i32>,
    outputs: usize,
    /// Tiles of 64 inputs.
    steps: usize,
}

impl TiledWeights {
    /// `weights` is `[outputs, inputs]`.
    pub(crate) fn new(amx: Amx, weights: &[i8], inputs: usize) -> Self {
        let outputs = weights.len() / inputs;
        let steps = inputs.div_ceil(Line::BYTES);
        let panels = outputs.div_ceil(PANEL);
        let mut tiles = vec![Line::ZERO; panels * steps * 2 * TILE_ROWS];
        let mut starts = vec![0; panels * PANEL];
        for (output, weights) in weights.chunks_exact(inputs).enumerate() {
            let panel = &mut tiles[output / PANEL * steps * 2 * TILE_ROWS..][..steps * 2 * TILE_ROWS];
            for (step, weights) in weights.chunks(Line::BYTES).enumerate() {
                let tile = &mut panel[(2 * step + output % PANEL / TILE_ROWS) * TILE_ROWS..][..TILE_ROWS];
                for (line, four) in tile.iter_mut().zip(weights.chunks(4)) {
                    let place = &mut line.0[output % TILE_ROWS * 4..][..four.len()];
                    place.copy_from_slice(bytemuck::cast_slice(four));
                }
            }
            let sum: i32 = weights.iter().map(|weight| i32::from(*weight)).sum();
            starts[output] = -i32::from(ZERO_POINT) * sum;
        }
        Self { amx, tiles, starts, outputs, steps }
    }

    /// `sums`, `[rows, outputs]`, become those of the products with `x`.
    pub(crate) fn multiply(&self, x: &TiledRows, sums: &mut [i32]) {
        assert_eq!(x.steps, self.steps);
        assert_eq!(sums.len(), x.scales.len() * self.outputs);
        let sums = Sums { first: sums.as_mut_ptr(), outputs: self.outputs };
        let of_panel = self.steps * 2 * TILE_ROWS;
        let at_least = LEAST_BYTES.div_ceil(of_panel * Line::BYTES);
        let panels = self.tiles.len() / of_panel;
        if panels < 2 * at_least {
            self.multiply_panels(x, 0..panels, sums);
        } else {
            let pieces = panels.div_ceil(at_least);
            (0..pieces).into_par_iter().for_each(|piece| {
                let panels = piece * at_least..panels.min((piece + 1) * at_least);
                self.multiply_panels(x, panels, sums);
            });
        }
    }

    /// The sums of the outputs in some panels.
    fn multiply_panels(&self, x: &TiledRows, panels: Range<usize>, sums: Sums) {
        let tiles = Tiles::new(self.amx);
        let rows = x.scales.len();
        let of_panel = self.steps * 2 * TILE_ROWS;
        for panel in panels {
            let weights = &self.tiles[panel * of_panel..][..of_panel];
            let starts = &self.starts[panel * PANEL..][..PANEL];
            // A panel stays in the cache while the rows go by.
            for first in (0..rows).step_by(2 * TILE_ROWS) {
                let count = rows - first;
                let place = sums.of_tile(first, panel * PANEL);
                // SAFETY: `x` has whole tiles of rows; the sums of this panel are nobody else's.
                unsafe {
                    if count <= TILE_ROWS {
                        self.multiply_tiles::<1>(&tiles, x.rows_from(first), weights, starts, count, place);
                    } else {
                        self.multiply_tiles::<2>(&tiles, x.rows_from(first), weights, starts, count, place);
                    }
                }
            }
        }
    }

    /// The sums of one or two tiles of rows with a panel. Those of rows or outputs that there are not are computed aside.
    ///
    /// # Safety
    /// From `x` on there are `16 ROW_TILES` rows. The first `count` of them, or as many as there are, have their sums at
    /// `place`.
    #[inline]
    unsafe fn multiply_tiles<const ROW_TILES: usize>(
        &self,
        tiles: &Tiles,
        x: &[Line],
        weights: &[Line],
        starts: &[i32],
        count: usize,
        place: Place,
    ) {
        assert!(x.len() >= ROW_TILES * TILE_ROWS * self.steps);
        assert!(weights.len() == self.steps * 2 * TILE_ROWS && starts.len() == PANEL);
        let rows = count.min(ROW_TILES * TILE_ROWS);
        let outputs = place.outputs.min(PANEL);
        let stride = self.steps * Line::BYTES;
        let mut aside = [Line::ZERO; 2 * TILE_ROWS * 2];
        let is_whole = rows == ROW_TILES * TILE_ROWS && outputs == PANEL;
        let out = if is_whole {
            Rows { first: place.first, stride: self.outputs * size_of::<i32>() }
        } else {
            Rows { first: aside.as_mut_ptr().cast(), stride: PANEL * size_of::<i32>() }
        };
        // SAFETY: lengths are as asserted; what is written goes to whole tiles within the sums or aside.
        unsafe {
            let x = Rows { first: x.as_ptr(), stride };
            tiles.multiply_bytes::<ROW_TILES>(x, weights.as_ptr(), self.steps, starts.as_ptr(), out);
        }
        if !is_whole {
            let aside: &[i32] = bytemuck::cast_slice(&aside);
            for (row, sums) in aside.chunks_exact(PANEL).take(rows).enumerate() {
                // SAFETY: these rows and outputs are among the sums, as the caller vouches.
                unsafe {
                    place.first.add(row * self.outputs).copy_from_nonoverlapping(sums.as_ptr(), outputs);
                }
            }
        }
    }
}

/// Where the sums go, which threads share by outputs.
#[derive(Clone, Copy)]
struct Sums {
    first: *mut i32,
    outputs: usize,
}

// SAFETY: each panel's outputs are written by one thread, and nothing reads them meanwhile.
unsafe impl Send for Sums {}
// SAFETY: as above.
unsafe impl Sync for Sums {}

impl Sums {
    fn of_tile(self, row: usize, output: usize) -> Place {
        let first = self.first.wrapping_add(row * self.outputs + output);
        Place { first, outputs: self.outputs - output }
    }
}

/// Where the sums of one tile go.
#[derive(Clone, Copy)]
struct Place {
    first: *mut i32,
    /// Those of the row from here on.
    outputs: usize,
}

/// Rows of activations as bytes around [`ZERO_POINT`], in whole tiles.
#[derive(Debug, Default)]
pub(crate) struct TiledRows {
    /// `[rows, steps]`, with the zero point behind the last.
    lines: Vec<Line>,
    steps: usize,
    scales: Vec<f32>,
}

impl TiledRows {
    /// Takes in rows of `inputs`.
    pub(crate) fn fill<'x>(&mut self, inputs: usize, rows: impl ExactSizeIterator<Item = &'x [f32]>) {
        self.steps = inputs.div_ceil(Line::BYTES);
        self.scales.clear();
        self.lines.resize(rows.len().next_multiple_of(TILE_ROWS) * self.steps, Line::ZERO);
        for (row, lines) in rows.zip(self.lines.chunks_exact_mut(self.steps)) {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(lines);
            self.scales.push(quantize_row(row, &mut bytes[..inputs]));
        }
    }

    /// What a unit of each row's bytes stands for.
    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }

    fn rows_from(&self, row: usize) -> &[Line] {
        &self.lines[row * self.steps..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amx::emulation;

    /// Numbers that differ from place to place.
    fn number(at: usize, seed: usize) -> i32 {
        (((at + seed) as u32).wrapping_mul(2_654_435_761) >> 16).cast_signed()
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no processor's own instructions")]
    fn sums_are_those_of_the_definition() {
        let amx = emulation::amx();
        for (rows, inputs, outputs) in [
            (1, 1, 1),
            (1, 64, 32),
            (15, 63, 31),
            (16, 65, 33),
            (17, 130, 64),
            (32, 64, 32),
            (33, 512, 96),
            (64, 192, 80),
            (70, 100, 1000),
        ] {
            let weights: Vec<i8> = (0..inputs * outputs).map(|at| number(at, 1) as i8).collect();
            let x: Vec<f32> = (0..rows * inputs).map(|at| (number(at, 7) as i8).into()).collect();
            let packed = TiledWeights::new(amx, &weights, inputs);
            let mut tiled = TiledRows::default();
            // What is left from rows before must not matter.
            let noise = vec![5.0; 80 * inputs];
            tiled.fill(inputs, noise.chunks_exact(inputs));
            tiled.fill(inputs, x.chunks_exact(inputs));
            let mut sums = vec![i32::MIN; rows * outputs];
            packed.multiply(&tiled, &mut sums);
            for (row, (sums, x)) in sums.chunks_exact(outputs).zip(x.chunks_exact(inputs)).enumerate() {
                let mut bytes = vec![0; inputs];
                quantize_row(x, &mut bytes);
                for (output, (sum, weights)) in sums.iter().zip(weights.chunks_exact(inputs)).enumerate() {
                    let product =
                        |(x, w): (&u8, &i8)| (i32::from(*x) - i32::from(ZERO_POINT)) * i32::from(*w);
                    let expected: i32 = bytes.iter().zip(weights).map(product).sum();
                    assert_eq!(*sum, expected, "{rows} by {inputs} by {outputs}: row {row}, output {output}");
                }
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no processor's own instructions")]
    fn large_products_are_shared_among_threads() {
        let amx = emulation::amx();
        let (rows, inputs, outputs) = (3, 64, 4 * LEAST_BYTES / 64 + 5);
        let weights: Vec<i8> = (0..inputs * outputs).map(|at| number(at, 3) as i8).collect();
        let x: Vec<f32> = (0..rows * inputs).map(|at| (number(at, 9) as i8).into()).collect();
        let packed = TiledWeights::new(amx, &weights, inputs);
        let mut tiled = TiledRows::default();
        tiled.fill(inputs, x.chunks_exact(inputs));
        let mut sums = vec![i32::MIN; rows * outputs];
        packed.multiply(&tiled, &mut sums);
        let alone: Vec<i32> = (0..rows)
            .flat_map(|row| {
                let mut tiled = TiledRows::default();
                tiled.fill(inputs, x[row * inputs..][..inputs].chunks_exact(inputs));
                let mut sums = vec![i32::MIN; outputs];
                packed.multiply_panels(
                    &tiled,
                    0..outputs.div_ceil(PANEL),
                    Sums { first: sums.as_mut_ptr(), outputs },
                );
                sums
            })
            .collect();
        assert_eq!(sums, alone);
    }
}

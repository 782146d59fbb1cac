//! Products of rows of bytes with weights in bytes, which lie in tiles: 64 inputs by 16 outputs, four inputs of an output
//! side by side. So both the instruction that multiplies whole tiles (AMX) and the one that multiplies four bytes in each
//! lane of a vector (AVX-512 VNNI) take them as they lie.

mod amx;
#[cfg(test)]
mod tests;
mod vnni;

use std::ops::Range;

use rayon::prelude::*;

use crate::amx::{Amx, Line, TILE_ROWS};
use crate::quantize::{QuantizedWeights, ZERO_POINT, quantize_row};
use vnni::Vnni;

/// Outputs of a panel: those of two tiles.
const PANEL: usize = 32;

/// Weights that one thread takes at least: fewer are multiplied sooner than another thread is woken.
const LEAST_BYTES: usize = 128 << 10;

/// The instructions that multiply.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kernel {
    Amx(Amx),
    Vnni(Vnni),
}

impl Kernel {
    /// The faster one that this processor has; `None` where it has neither.
    pub(crate) fn detect() -> Option<Self> {
        Amx::detect().map(Self::Amx).or_else(|| Vnni::detect().map(Self::Vnni))
    }

    pub(crate) fn instruction_set(self) -> &'static str {
        match self {
            Self::Amx(_) => "AMX",
            Self::Vnni(_) => "AVX-512 VNNI",
        }
    }
}

/// The weights and bias of a layer, as tiles.
pub(crate) struct TiledWeights {
    kernel: Kernel,
    /// `[panels, steps, 2, 16]`, filled up with zeros to whole tiles.
    tiles: Vec<Line>,
    /// By panels, filled up with zeros.
    outputs: Outputs,
    /// How many outputs there are.
    count: usize,
    /// Tiles of 64 inputs.
    steps: usize,
}

/// What belongs to each output.
#[derive(Debug)]
struct Outputs {
    /// What the sums start with, so that the zero point of the activations comes out as nothing.
    starts: Vec<i32>,
    /// What a unit of the weights stands for.
    scales: Vec<f32>,
    bias: Vec<f32>,
}

/// A panel of the weights.
#[derive(Debug, Clone, Copy)]
struct Panel<'a> {
    /// `[steps, 2, 16]`
    tiles: &'a [Line],
    starts: &'a [i32; PANEL],
    scales: &'a [f32; PANEL],
    bias: &'a [f32; PANEL],
    /// How many of its outputs there are.
    outputs: usize,
}

impl Panel<'_> {
    /// Tiles of 64 inputs.
    fn steps(&self) -> usize {
        self.tiles.len() / (2 * TILE_ROWS)
    }
}

impl TiledWeights {
    pub(crate) fn new(kernel: Kernel, weights: QuantizedWeights, bias: Option<Vec<f32>>) -> Self {
        let (inputs, count) = weights.shape();
        let steps = inputs.div_ceil(Line::BYTES);
        let panels = count.div_ceil(PANEL);
        let mut tiles = vec![Line::ZERO; panels * steps * 2 * TILE_ROWS];
        let of_outputs = weights.bytes().chunks(TILE_ROWS * inputs);
        for (number, weights) in of_outputs.enumerate() {
            // Every other tile of a panel is of the same outputs.
            let panel = &mut tiles[number / 2 * steps * 2 * TILE_ROWS..][..steps * 2 * TILE_ROWS];
            let own = panel.chunks_exact_mut(TILE_ROWS).skip(number % 2).step_by(2);
            for (step, tile) in own.enumerate() {
                fill_tile(tile, weights.chunks_exact(inputs).map(|row| &row[step * Line::BYTES..]));
            }
        }
        let starts = weights.bytes().chunks_exact(inputs).map(|weights| {
            let sum: i32 = weights.iter().map(|weight| i32::from(*weight)).sum();
            -i32::from(ZERO_POINT) * sum
        });
        let mut starts: Vec<i32> = starts.collect();
        starts.resize(panels * PANEL, 0);
        let filled = |mut some: Vec<f32>| {
            some.resize(panels * PANEL, 0.0);
            some
        };
        let (scales, bias) = (filled(weights.into_scales()), filled(bias.unwrap_or_default()));
        Self { kernel, tiles, outputs: Outputs { starts, scales, bias }, count, steps }
    }

    /// `y`, `[rows, outputs]`, becomes the products of `x` and the weights, with the bias.
    pub(crate) fn multiply(&self, x: &TiledRows, y: &mut [f32]) {
        assert_eq!(x.steps, self.steps);
        assert_eq!(y.len(), x.count() * self.count);
        let y = Products { first: y.as_mut_ptr(), stride: self.count };
        let panels = self.count.div_ceil(PANEL);
        let at_least = LEAST_BYTES.div_ceil(self.steps * 2 * TILE_ROWS * Line::BYTES);
        let pieces = (panels / at_least).clamp(1, rayon::current_num_threads());
        if pieces == 1 {
            self.multiply_panels(x, 0..panels, y);
        } else {
            (0..pieces).into_par_iter().for_each(|piece| {
                let panels = panels * piece / pieces..panels * (piece + 1) / pieces;
                self.multiply_panels(x, panels, y);
            });
        }
    }

    /// The products of the outputs in some panels.
    fn multiply_panels(&self, x: &TiledRows, panels: Range<usize>, y: Products) {
        let panels = panels.map(|number| (self.panel(number), y.at_output(number * PANEL)));
        match self.kernel {
            Kernel::Amx(amx) => amx::multiply(amx, x, panels),
            Kernel::Vnni(vnni) => vnni.multiply(x, panels),
        }
    }

    fn panel(&self, number: usize) -> Panel<'_> {
        fn of_panel<T>(all: &[T], number: usize) -> &[T; PANEL] {
            all[number * PANEL..].first_chunk().expect("all is by whole panels")
        }
        let lines = self.steps * 2 * TILE_ROWS;
        Panel {
            tiles: &self.tiles[number * lines..][..lines],
            starts: of_panel(&self.outputs.starts, number),
            scales: of_panel(&self.outputs.scales, number),
            bias: of_panel(&self.outputs.bias, number),
            outputs: PANEL.min(self.count - number * PANEL),
        }
    }
}

/// Takes in 64 weights, or as many as there are, of each of 16 outputs.
fn fill_tile<'w>(tile: &mut [Line], weights: impl Iterator<Item = &'w [i8]>) {
    let mut rows = [Line::ZERO; TILE_ROWS];
    for (row, weights) in rows.iter_mut().zip(weights) {
        let weights = &weights[..weights.len().min(Line::BYTES)];
        row.0[..weights.len()].copy_from_slice(bytemuck::cast_slice(weights));
    }
    let rows: [[u32; 16]; TILE_ROWS] = bytemuck::cast(rows);
    for (four, line) in tile.iter_mut().enumerate() {
        *line = bytemuck::cast(rows.map(|row| row[four]));
    }
}

/// Where products go, which threads share by outputs.
#[derive(Debug, Clone, Copy)]
struct Products {
    first: *mut f32,
    /// Elements from a row to the next.
    stride: usize,
}

// SAFETY: each panel's outputs are written by one thread, and nothing reads them meanwhile.
unsafe impl Send for Products {}
// SAFETY: as above.
unsafe impl Sync for Products {}

impl Products {
    fn at_output(self, output: usize) -> Self {
        Self { first: self.first.wrapping_add(output), ..self }
    }

    fn at_row(self, row: usize) -> Self {
        Self { first: self.row(row), ..self }
    }

    fn row(self, row: usize) -> *mut f32 {
        self.first.wrapping_add(row * self.stride)
    }
}

/// Rows of activations as bytes around [`ZERO_POINT`], in whole tiles.
#[derive(Debug, Default)]
pub(crate) struct TiledRows {
    /// `[rows, steps]`
    lines: Vec<Line>,
    steps: usize,
    /// What a unit of each row's bytes stands for.
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

    /// How many rows there are.
    fn count(&self) -> usize {
        self.scales.len()
    }

    /// The lines from a row on.
    fn lines_from(&self, row: usize) -> &[Line] {
        &self.lines[row * self.steps..]
    }
}

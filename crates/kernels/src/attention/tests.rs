//! Every way through the kernel against attention in plain Rust.

use rten_simd::isa::GenericIsa;
use verbatim_testing::skip;

use super::kernel::evaluate;
use super::*;
#[cfg(target_arch = "x86_64")]
use crate::amx::emulation;
#[cfg(target_arch = "x86_64")]
use crate::blocks::{Bf16Pair, Bf16Tiles};
use crate::blocks::{Single, WidenedPair};

/// A case: queries, keys and values of one layer.
struct Case {
    heads: Heads,
    rows: usize,
    length: usize,
    queries: Vec<f32>,
    keys_values: Vec<f32>,
}

impl Case {
    fn new(count: usize, size: usize, rows: usize, length: usize) -> Self {
        let mut state = (count * 7 + size * 31 + rows * 101 + length) as u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let heads = Heads { count, size };
        let queries = (0..rows * heads.width()).map(|_| 3.0 * next()).collect();
        let keys_values = (0..2 * length * heads.width()).map(|_| next()).collect();
        Self { heads, rows, length, queries, keys_values }
    }

    fn packed(&self, format: Format) -> KeysValues {
        let width = self.heads.width();
        let mut packed = KeysValues::new(format, self.heads, self.length);
        let rows = self.keys_values.chunks(BLOCK * 2 * width);
        for (mut block, rows) in packed.blocks_mut().into_iter().zip(rows) {
            block.fill(Rows::new(rows, 2 * width), 0, width);
        }
        packed
    }

    /// `softmax(q kᵀ / √size) v`, as written.
    fn expected(&self) -> Vec<f32> {
        let (width, size) = (self.heads.width(), self.heads.size);
        let mut out = vec![0.0; self.rows * width];
        for (row, head) in (0..self.rows).flat_map(|row| (0..self.heads.count).map(move |head| (row, head))) {
            let at = head * size;
            let query = &self.queries[row * width + at..][..size];
            let key_value = |t: usize, from: usize| &self.keys_values[t * 2 * width + from + at..][..size];
            let score = |t| query.iter().zip(key_value(t, 0)).map(|(q, k)| f64::from(q * k)).sum::<f64>();
            let weights: Vec<f64> =
                (0..self.length).map(|t| (score(t) / (size as f64).sqrt()).exp()).collect();
            let total: f64 = weights.iter().sum();
            for element in 0..size {
                let value = |t: usize| f64::from(key_value(t, width)[element]);
                let sum: f64 = weights.iter().enumerate().map(|(t, weight)| weight * value(t)).sum();
                out[row * width + at + element] = (sum / total) as f32;
            }
        }
        out
    }

    /// What `run` makes of every head.
    fn computed(&self, format: Format, run: impl Fn(Attend<'_>)) -> Vec<f32> {
        let (width, size) = (self.heads.width(), self.heads.size);
        let packed = self.packed(format);
        let mut out = vec![0.0; self.rows * width];
        let mut scratch = Vec::new();
        for head in 0..self.heads.count {
            let words = &packed.words[head * packed.shape.head_words()..];
            run(Attend {
                head: Head { words, stride: packed.shape.block_words(), length: self.length },
                queries: &self.queries[head * size..],
                stride: width,
                rows: self.rows,
                size,
                scale: self.heads.scale(),
                out: &mut out[head * size..],
                out_stride: width,
                scratch: &mut scratch,
            });
        }
        out
    }
}

/// Heads, elements of a head, queries and positions.
type Shape = (usize, usize, usize, usize);

const SHAPES: [Shape; 8] = [
    (1, 64, 1, 1),
    (2, 64, 5, 63),
    (1, 64, 24, 64),
    (3, 64, 25, 65),
    (1, 32, 7, 130),
    (2, 48, 3, 200),
    (1, 10, 2, 77),
    (2, 64, 31, 1500),
];

/// Miri takes seconds for every query and block, so these are few. Yet the kernel takes its every turn: tiles of four
/// queries and of one, more queries than are scored at once, a second block, which is not full, a second head, and
/// heads that are filled up.
const SHAPES_FOR_MIRI: [Shape; 2] = [(1, 10, 5, 65), (2, 64, 1, 2)];

fn cases() -> Vec<Case> {
    let shapes: &[Shape] = if cfg!(miri) { &SHAPES_FOR_MIRI } else { &SHAPES };
    shapes.iter().map(|&(count, size, rows, length)| Case::new(count, size, rows, length)).collect()
}

fn check(format: Format, tolerance: f32, run: impl Fn(Attend<'_>)) {
    for case in cases() {
        for (computed, expected) in case.computed(format, &run).iter().zip(case.expected()) {
            assert!(
                (computed - expected).abs() <= tolerance,
                "{computed} for {expected} with {:?}, {} rows, {} positions",
                case.heads,
                case.rows,
                case.length
            );
        }
    }
}

const EXACT: f32 = 2e-5;

/// bfloat16 has eight bits: elements up to 1 are off by up to 2⁻⁹, and weights by a share of their scores'.
const ROUNDED: f32 = 1.5e-2;

#[test]
#[cfg_attr(
    miri,
    ignore = "Miri has no processor's own instructions: this would be the portable way once more"
)]
fn the_way_chosen_here_is_right() {
    for (format, tolerance) in [(Format::F32, EXACT), (Format::Bf16, ROUNDED), (Format::Int8, ROUNDED)] {
        match Kernel::of(format) {
            Some(kernel) => check(format, tolerance, |attend| kernel.attend(attend)),
            None => skip("the processor does not multiply bytes"),
        }
    }
}

#[test]
fn the_portable_way_is_right() {
    check(Format::F32, EXACT, |attend| evaluate(GenericIsa::new(), Single, attend));
    check(Format::Bf16, ROUNDED, |attend| evaluate(GenericIsa::new(), WidenedPair, attend));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn every_way_of_this_processor_is_right() {
    use rten_simd::isa::{Avx2Isa, Avx512Isa};
    match Avx2Isa::new() {
        Some(isa) => {
            check(Format::F32, EXACT, |attend| evaluate(isa, Single, attend));
            check(Format::Bf16, ROUNDED, |attend| evaluate(isa, WidenedPair, attend));
        }
        None => skip("the processor has no AVX2"),
    }
    match Avx512Isa::new() {
        Some(isa) => {
            check(Format::F32, EXACT, |attend| evaluate(isa, Single, attend));
            check(Format::Bf16, ROUNDED, |attend| evaluate(isa, WidenedPair, attend));
            match Bf16Pair::detect() {
                Some(pair) => {
                    check(Format::Bf16, ROUNDED, |attend| avx512_bf16::attend(pair, attend));
                    let tiles = Bf16Tiles::with(emulation::amx()).expect("it has BF16");
                    check(Format::Bf16, ROUNDED, |attend| amx::attend(tiles, attend));
                }
                None => skip("the processor has no AVX-512 BF16"),
            }
        }
        None => skip("the processor has no AVX-512"),
    }
}

#[cfg(target_arch = "aarch64")]
#[test]
fn every_way_of_this_processor_is_right() {
    let isa = rten_simd::isa::ArmNeonIsa::new().expect("every 64-bit ARM processor has NEON");
    check(Format::F32, EXACT, |attend| evaluate(isa, Single, attend));
    check(Format::Bf16, ROUNDED, |attend| evaluate(isa, WidenedPair, attend));
}

#[test]
fn a_path_is_attended_to_wherever_its_rows_lie() {
    // Miri is too slow for long paths.
    let shapes: &[_] = if cfg!(miri) { &[(64, 1), (10, 5)] } else { &[(64, 1), (64, 9), (32, 200), (10, 5)] };
    for &(size, length) in shapes {
        let case = Case::new(2, size, 1, length);
        let width = case.heads.width();
        let column = |from: usize| -> Vec<f32> {
            case.keys_values
                .chunks_exact(2 * width)
                .flat_map(|row| &row[from..from + width])
                .copied()
                .collect()
        };
        let (keys, values) = (column(0), column(width));
        // The rows in reverse, each between two that belong to somebody else.
        let spread = |rows: &[f32]| -> Vec<f32> {
            let foreign = vec![f32::NAN; width];
            rows.chunks_exact(width).rev().flat_map(|row| foreign.iter().chain(row)).copied().collect()
        };
        let (keys, values) = (spread(&keys), spread(&values));
        let path: Vec<u32> = (0..length as u32).map(|row| 2 * row + 1).collect();
        let run = |run: &dyn Fn(AttendPath<'_>)| {
            let (mut out, mut scratch) = (vec![0.0; width], Vec::new());
            let (query, scratch) = (&case.queries[..], &mut scratch);
            let heads = case.heads;
            run(AttendPath {
                heads,
                query,
                keys: &keys,
                values: &values,
                path: &path,
                out: &mut out,
                scratch,
            });
            out
        };
        for out in [run(&|op| op.dispatch()), run(&|op| op.eval(GenericIsa::new()))] {
            for (computed, expected) in out.iter().zip(case.expected()) {
                assert!((computed - expected).abs() <= EXACT, "{computed} for {expected}");
            }
        }
    }
}

#[test]
fn keys_can_be_had_back() {
    let shapes: &[_] = if cfg!(miri) {
        // Miri is too slow for more. Two blocks, and an odd number of elements.
        &[(9, 66, 65)]
    } else {
        &[(64, 150, 150), (64, 150, 100), (64, 64, 63), (33, 70, 65)]
    };
    for &(size, length, positions) in shapes {
        let case = Case::new(3, size, 1, length);
        let width = case.heads.width();
        for (format, tolerance) in
            [(Format::F32, 0.0), (Format::Bf16, 1.0 / 256.0), (Format::Int8, 1.0 / 254.0)]
        {
            let keys = case.packed(format).keys(2, positions);
            assert_eq!(keys.len(), size * positions);
            for (index, key) in keys.into_iter().enumerate() {
                let (element, position) = (index / positions, index % positions);
                let expected = case.keys_values[position * 2 * width + 2 * size + element];
                // Elements are up to 1.
                assert!((key - expected).abs() <= tolerance, "{key} for {expected}");
            }
        }
    }
}

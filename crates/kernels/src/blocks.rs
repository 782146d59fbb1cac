//! Products of rows with blocks of 64 columns, whose sums stay in registers: what attention is made of, and layers in
//! bfloat16.
//!
//! A right-hand row lies as 64 words of 32 bits, one for each column: an `f32`, or a pair of bfloat16, which then belong
//! to two right-hand rows. (Unsafe: pointers into matrices, for which the callers vouch.)

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
mod operand;

use rten_simd::Isa;
use rten_simd::ops::BitOps;

#[cfg(target_arch = "x86_64")]
pub(crate) use amx::{Bf16Tiles, multiply as multiply_tiles};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512_bf16::Bf16Pair;
pub(crate) use operand::{Operand, Single, WidenedPair};

/// Columns of a block.
pub(crate) const COLUMNS: usize = 64;

#[cfg(target_arch = "x86_64")]
/// A matrix in memory, by rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strided<T> {
    pub(crate) data: T,
    /// Elements from a row, or a block, to the next.
    pub(crate) stride: usize,
}

/// Instructions that multiply bfloat16 by themselves.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) enum Bf16 {
    Tiles(Bf16Tiles),
    Pair(Bf16Pair),
}

#[cfg(target_arch = "x86_64")]
impl Bf16 {
    /// The faster ones that this processor has; `None` where it has none, or where its vectors of `f32` are faster.
    pub(crate) fn detect() -> Option<Self> {
        let pair = || Bf16Pair::detect().filter(|pair| pair.is_fast());
        Bf16Tiles::detect().map(Self::Tiles).or_else(|| pair().map(Self::Pair))
    }

    /// What turns `f32` to pairs.
    pub(crate) fn pair(self) -> Bf16Pair {
        match self {
            Self::Tiles(tiles) => tiles.pair,
            Self::Pair(pair) => pair,
        }
    }

    pub(crate) fn instruction_set(self) -> &'static str {
        match self {
            Self::Tiles(_) => "AMX",
            Self::Pair(_) => "AVX-512 BF16",
        }
    }
}

/// `out = left * right`, or `out += ` where `accumulate`, for `rows` rows of `left` and `out`, and 64 columns.
/// What lies `ahead` words behind the right-hand side, which is multiplied next, is fetched meanwhile.
///
/// # Safety
/// `left` points to `rows` rows of as many words as belong to `right.len() / 64` right-hand rows, `left_stride`
/// apart; `out` to `rows` rows of 64 elements, `out_stride` apart.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "three matrices, each a pointer and a stride")]
pub(crate) unsafe fn product<I: Isa, F: Operand<I>>(
    isa: I,
    operand: F,
    rows: usize,
    left: *const u32,
    left_stride: usize,
    right: &[u32],
    ahead: usize,
    out: *mut f32,
    out_stride: usize,
    accumulate: bool,
) {
    let lanes = isa.f32().len();
    macro_rules! tile {
        ($row:expr, $rows:literal, $vectors:literal) => {
            for column in (0..COLUMNS).step_by($vectors * lanes) {
                // SAFETY: the rows from `$row` on are within `rows`, and `column` and the tile's width within
                // the block, which is a multiple of both.
                unsafe {
                    tile::<I, F, $rows, $vectors>(
                        isa,
                        operand,
                        left.add($row * left_stride),
                        left_stride,
                        right,
                        ahead,
                        column,
                        out.add($row * out_stride + column),
                        out_stride,
                        accumulate,
                    );
                }
            }
        };
    }
    // As many sums as the registers hold: 32 of 16 lanes with AVX-512, else 16 (32 with NEON) of 8 or 4.
    if lanes == 16 {
        for row in (0..rows / 6 * 6).step_by(6) {
            tile!(row, 6, 4);
        }
        let row = rows / 6 * 6;
        match rows % 6 {
            1 => tile!(row, 1, 4),
            2 => tile!(row, 2, 4),
            3 => tile!(row, 3, 4),
            4 => tile!(row, 4, 4),
            5 => tile!(row, 5, 4),
            _ => {}
        }
    } else {
        for row in (0..rows / 4 * 4).step_by(4) {
            tile!(row, 4, 2);
        }
        for row in rows / 4 * 4..rows {
            tile!(row, 1, 2);
        }
    }
}

/// `R` rows by `V` vectors of [`product`], from `column` on.
///
/// # Safety
/// As of [`product`], for the tile.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "three matrices, each a pointer and a stride")]
unsafe fn tile<I: Isa, F: Operand<I>, const R: usize, const V: usize>(
    isa: I,
    operand: F,
    left: *const u32,
    left_stride: usize,
    right: &[u32],
    ahead: usize,
    column: usize,
    out: *mut f32,
    out_stride: usize,
    accumulate: bool,
) {
    let (floats, words) = (isa.f32(), isa.i32());
    let lanes = floats.len();
    let mut sums = [[floats.zero(); V]; R];
    // SAFETY: the caller vouches for the pointers; the columns of a right-hand row lie within it.
    unsafe {
        if accumulate {
            for (row, sums) in sums.iter_mut().enumerate() {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = floats.load_ptr(out.add(row * out_stride + vector * lanes));
                }
            }
        }
        for depth in 0..right.len() / COLUMNS {
            let line = right.as_ptr().add(depth * COLUMNS + column).cast::<i32>();
            let mut ready = [operand.ready(isa, words.zero()); V];
            for (vector, ready) in ready.iter_mut().enumerate() {
                prefetch(line.add(vector * lanes).wrapping_add(ahead));
                *ready = operand.ready(isa, words.load_ptr(line.add(vector * lanes)));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let left = left.add(row * left_stride + depth * F::LEFT_WORDS);
                for (sum, ready) in sums.iter_mut().zip(ready) {
                    *sum = operand.multiply_add(isa, left, ready, *sum);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                floats.store_ptr(*sum, out.add(row * out_stride + vector * lanes));
            }
        }
    }
}

/// Has what lies there fetched to the second level of the cache, on processors for which that was measured. It need not
/// exist.
#[inline(always)]
fn prefetch(word: *const i32) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: every processor of the kind has the instruction, which reads nothing that the program could see.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(word.cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = word;
}

/// Two bfloat16 as a word, rounded to nearest even, the first in the lower half.
pub(crate) fn pair_word(first: f32, second: f32) -> u32 {
    let rounded = |x: f32| {
        let bits = x.to_bits();
        bits.wrapping_add(0x7fff + ((bits >> 16) & 1))
    };
    (rounded(first) >> 16) | (rounded(second) & 0xffff_0000)
}

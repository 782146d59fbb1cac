//! Attention of a few queries to one head's keys and values, in registers and cache.
//!
//! One kernel serves every processor: it is written over `rten_simd`'s instruction sets, and over the
//! [`Operand`] that says how a 32-bit word of keys or values is multiplied. (Unsafe: pointers into the
//! operands, whose lengths are checked on entry.)

use rten_simd::Isa;
use rten_simd::ops::BitOps;

use super::operand::Operand;
use super::packing::{BLOCK, HEAD};

/// Queries whose scores are held at once: few enough that scores, keys and values stay in the second level
/// of the cache. (Fewer in Miri, which takes seconds for each, so that its tests get to a second round of them.)
pub(super) const QUERIES: usize = if cfg!(miri) { 4 } else { 24 };

/// What to attend to: one head of [`super::KeysValues`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    /// The first block's words of this head, and all that lies behind.
    pub(super) words: &'a [u32],
    /// Words from a block of this head to the next.
    pub(super) stride: usize,
    /// Positions that there are.
    pub(super) length: usize,
}

impl Head<'_> {
    pub(super) fn blocks(&self) -> usize {
        self.length.div_ceil(BLOCK)
    }
}

/// Softmax over the scores of some queries, and the mean of the values by it.
#[derive(Debug)]
pub(super) struct Attend<'a> {
    pub(super) head: Head<'a>,
    /// Rows of `size` elements, `stride` apart, to be multiplied by `scale`.
    pub(super) queries: &'a [f32],
    pub(super) stride: usize,
    pub(super) rows: usize,
    pub(super) size: usize,
    pub(super) scale: f32,
    /// Rows of `size` elements, `out_stride` apart.
    pub(super) out: &'a mut [f32],
    pub(super) out_stride: usize,
    pub(super) scratch: &'a mut Vec<f32>,
}

#[inline(always)]
pub(super) fn evaluate<I: Isa, F: Operand<I>>(isa: I, operand: F, attend: Attend<'_>) {
    let Attend { head, queries, stride, rows, size, scale, out, out_stride, scratch } = attend;
    let blocks = head.blocks();
    let width = blocks * BLOCK;
    let half = HEAD * BLOCK / F::ELEMENTS;
    assert!(size <= HEAD && head.length > 0);
    assert!(head.words.len() >= (blocks - 1) * head.stride + 2 * half);
    let block = |index: usize| &head.words[index * head.stride..][..2 * half];
    scratch.resize(QUERIES * (width + 2 * HEAD), 0.0);
    let (scores, rest) = scratch.split_at_mut(QUERIES * width);
    let (left, sums) = rest.split_at_mut(QUERIES * HEAD);

    for first in (0..rows).step_by(QUERIES) {
        let rows = QUERIES.min(rows - first);
        for (row, left) in left.chunks_exact_mut(HEAD).take(rows).enumerate() {
            let query = &queries[(first + row) * stride..][..size];
            scale_query(query, scale, left);
            operand.left_words(isa, left);
        }
        for index in 0..blocks {
            let keys = &block(index)[..half];
            let scores = &mut scores[index * BLOCK..];
            // SAFETY: `left` has `rows` rows of HEAD words, `scores` from here on `rows` rows of BLOCK elements,
            // `width` apart.
            unsafe {
                let left = left.as_ptr().cast();
                product(isa, operand, rows, left, HEAD, keys, head.stride, scores.as_mut_ptr(), width, false);
            }
        }
        let mut totals = [0.0; QUERIES];
        for (scores, total) in scores.chunks_exact_mut(width).take(rows).zip(&mut totals) {
            *total = operand.probabilities(isa, scores, head.length);
        }
        for index in 0..blocks {
            let values = &block(index)[half..];
            let probabilities = &scores[index * BLOCK * F::LEFT_WORDS / F::ELEMENTS..];
            // SAFETY: `probabilities` has `rows` rows of a block's words, `width` apart, `sums` `rows` rows of
            // HEAD elements.
            unsafe {
                let left = probabilities.as_ptr().cast();
                product(
                    isa,
                    operand,
                    rows,
                    left,
                    width,
                    values,
                    head.stride,
                    sums.as_mut_ptr(),
                    HEAD,
                    index > 0,
                );
            }
        }
        for (row, (sums, total)) in sums.chunks_exact(HEAD).zip(totals).take(rows).enumerate() {
            let out = &mut out[(first + row) * out_stride..][..size];
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum / total;
            }
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
unsafe fn product<I: Isa, F: Operand<I>>(
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
            for column in (0..BLOCK).step_by($vectors * lanes) {
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
        for depth in 0..right.len() / BLOCK {
            let line = right.as_ptr().add(depth * BLOCK + column).cast::<i32>();
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

/// A query as the left-hand side of scores that are exponents of two, filled up with zeros.
#[inline(always)]
pub(super) fn scale_query(query: &[f32], scale: f32, left: &mut [f32]) {
    for (left, query) in left.iter_mut().zip(query) {
        *left = query * scale * std::f32::consts::LOG2_E;
    }
    left[query.len()..].fill(0.0);
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

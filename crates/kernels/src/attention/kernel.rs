//! Attention of a few queries to one head's keys and values, in registers and cache.
//!
//! One kernel serves every processor: it is written over `rten_simd`'s instruction sets, and over the
//! [`Operand`] that says how a 32-bit word of keys or values is multiplied. (Unsafe: pointers into the
//! operands, whose lengths are checked on entry.)

use rten_simd::Isa;

use super::packing::{BLOCK, HEAD};
use crate::blocks::{COLUMNS, Operand, product};

const _: () = assert!(BLOCK == COLUMNS && HEAD == COLUMNS);

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

/// A query as the left-hand side of scores that are exponents of two, filled up with zeros.
#[inline(always)]
pub(super) fn scale_query(query: &[f32], scale: f32, left: &mut [f32]) {
    for (left, query) in left.iter_mut().zip(query) {
        *left = query * scale * std::f32::consts::LOG2_E;
    }
    left[query.len()..].fill(0.0);
}

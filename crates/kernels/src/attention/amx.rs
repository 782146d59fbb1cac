//! Attention to keys and values in bfloat16, by tiles.
//!
//! As [`super::kernel`] does it, 32 queries at a time: keys and values lie as tiles want them, pairs of elements side by
//! side. (Unsafe: pointers into the operands, whose lengths each function checks itself.)

use super::avx512_bf16::Bf16Pair;
use super::kernel::{Attend, scale_query};
use super::operand::Operand;
use super::packing::{BLOCK, HEAD};
use crate::amx::{self, Amx, Line, Tiles};

/// Queries at a time: those of two tiles.
const QUERIES: usize = 32;

/// Columns of a product: those of two tiles.
const COLUMNS: usize = 32;

/// Elements that fill a line of the cache.
const LINE: usize = Line::BYTES / size_of::<f32>();

const _: () = assert!(BLOCK == 2 * COLUMNS && HEAD == 2 * COLUMNS);

/// Exists only where the processor has tiles and AVX-512 BF16, which every such processor has.
#[derive(Clone, Copy)]
pub(super) struct Bf16Tiles {
    amx: Amx,
    pair: Bf16Pair,
}

impl Bf16Tiles {
    pub(super) fn detect() -> Option<Self> {
        Self::with(Amx::detect()?)
    }

    pub(super) fn with(amx: Amx) -> Option<Self> {
        Some(Self { amx, pair: Bf16Pair::detect()? })
    }

    pub(super) fn attend(self, attend: Attend<'_>) {
        // SAFETY: there is a `Bf16Pair` only where the processor has BF16 and AVX-512 F, VL, BW and DQ (F comes with F16C).
        unsafe { attend_with(self, attend) }
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,f16c")]
fn attend_with(Bf16Tiles { amx, pair }: Bf16Tiles, attend: Attend<'_>) {
    let Attend { head, queries, stride, rows, size, scale, out, out_stride, scratch } = attend;
    let blocks = head.blocks();
    let half = HEAD * BLOCK / 2;
    assert!(size <= HEAD && head.length > 0);
    assert!(head.words.len() >= (blocks - 1) * head.stride + 2 * half);
    // A line more than its scores: rows that are a multiple of a page apart would push each other out of the cache.
    let width = blocks * BLOCK + LINE;
    scratch.resize(LINE + QUERIES * (width + 2 * HEAD), 0.0);
    let aligned = scratch.as_ptr().align_offset(Line::BYTES);
    let (scores, rest) = scratch[aligned..].split_at_mut(QUERIES * width);
    let (left, sums) = rest.split_at_mut(QUERIES * HEAD);
    let isa = pair.isa();
    let tiles = Tiles::new(amx);

    for first in (0..rows).step_by(QUERIES) {
        let rows = QUERIES.min(rows - first);
        for (row, left) in left.chunks_exact_mut(HEAD).take(rows).enumerate() {
            let query = &queries[(first + row) * stride..][..size];
            scale_query(query, scale, left);
            pair.left_words(isa, left);
        }
        for index in 0..blocks {
            let keys = &head.words[index * head.stride..][..half];
            let scores = &mut scores[index * BLOCK..];
            multiply(&tiles, left, HEAD, keys, 0, 1, scores, width);
        }
        let mut totals = [0.0; QUERIES];
        for (scores, total) in scores.chunks_exact_mut(width).take(rows).zip(&mut totals) {
            *total = pair.probabilities(isa, &mut scores[..blocks * BLOCK], head.length);
        }
        multiply(&tiles, scores, width, &head.words[half..], head.stride, blocks, sums, HEAD);
        for (row, (sums, total)) in sums.chunks_exact(HEAD).zip(totals).take(rows).enumerate() {
            let out = &mut out[(first + row) * out_stride..][..size];
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum / total;
            }
        }
    }
}

/// `out = left * right` for [`QUERIES`] rows and 64 columns. Left-hand rows, `left_stride` apart, begin with 64 bfloat16
/// for each of `blocks` blocks of the right-hand side, which are `right_stride` apart; rows of `out` are `out_stride`
/// apart.
#[inline]
#[expect(clippy::too_many_arguments, reason = "three matrices, each a slice and a stride")]
fn multiply(
    tiles: &Tiles,
    left: &[f32],
    left_stride: usize,
    right: &[u32],
    right_stride: usize,
    blocks: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    let bytes = |elements: usize| elements * size_of::<f32>();
    assert!(blocks > 0);
    assert!(left.len() >= (QUERIES - 1) * left_stride + blocks * BLOCK / 2);
    assert!(right.len() >= (blocks - 1) * right_stride + HEAD * BLOCK / 2);
    assert!(out.len() >= (QUERIES - 1) * out_stride + 2 * COLUMNS);
    for column in [0, COLUMNS] {
        // SAFETY: lengths are as asserted, and the columns of a right-hand row lie within it.
        unsafe {
            let left = amx::Rows { first: left.as_ptr().cast(), stride: bytes(left_stride) };
            let right = amx::Rows { first: right.as_ptr().add(column), stride: bytes(right_stride) };
            let out = amx::Rows { first: out.as_mut_ptr().add(column), stride: bytes(out_stride) };
            tiles.multiply_bf16(left, right, blocks, out);
        }
    }
}

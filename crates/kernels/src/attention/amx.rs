//! Attention to keys and values in bfloat16, by tiles.
//!
//! As [`super::kernel`] does it, 32 queries at a time: keys and values lie as tiles want them, pairs of elements side by
//! side. (Unsafe: the processor's features, for which [`Bf16Tiles`] vouches.)

use super::kernel::{Attend, scale_query};
use super::packing::{BLOCK, HEAD};
use crate::amx::{Line, Tiles};
use crate::blocks::{Bf16Tiles, Operand, Strided, multiply_tiles};

/// Queries at a time.
const QUERIES: usize = Bf16Tiles::ROWS;

/// Elements that fill a line of the cache.
const LINE: usize = Line::BYTES / size_of::<f32>();

pub(super) fn attend(tiles: Bf16Tiles, attend: Attend<'_>) {
    // SAFETY: there is a `Bf16Pair`, which these have, only where the processor has BF16 and AVX-512 F, VL, BW and DQ
    // (F comes with F16C).
    unsafe { attend_with(tiles, attend) }
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
            let left = Strided { data: bytemuck::cast_slice(left), stride: HEAD };
            let keys = Strided { data: &head.words[index * head.stride..][..half], stride: 0 };
            multiply_tiles(
                &tiles,
                left,
                keys,
                1,
                Strided { data: &mut scores[index * BLOCK..], stride: width },
            );
        }
        let mut totals = [0.0; QUERIES];
        for (scores, total) in scores.chunks_exact_mut(width).take(rows).zip(&mut totals) {
            *total = pair.probabilities(isa, &mut scores[..blocks * BLOCK], head.length);
        }
        let probabilities = Strided { data: bytemuck::cast_slice(scores), stride: width };
        let values = Strided { data: &head.words[half..], stride: head.stride };
        multiply_tiles(&tiles, probabilities, values, blocks, Strided { data: &mut *sums, stride: HEAD });
        for (row, (sums, total)) in sums.chunks_exact(HEAD).zip(totals).take(rows).enumerate() {
            let out = &mut out[(first + row) * out_stride..][..size];
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum / total;
            }
        }
    }
}

//! Attention to keys and values in bytes, by the instruction that multiplies four at once (AVX-512 VNNI).
//!
//! Queries become bytes as activations do. Probabilities are never negative, and the smallest of them count
//! where there are many: they become two bytes each, in units of a 65535th of the largest, and are multiplied
//! as two rows. (Unsafe: pointers into the operands, whose lengths each function checks itself. That the processor
//! has the instructions, the compiler checks: `#[target_feature]`, entered by [`Vnni`] alone.)

use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm_storeu_si128, _mm512_add_ps, _mm512_and_epi32,
    _mm512_cvtepi32_epi8, _mm512_cvtepi32_ps, _mm512_cvtps_epi32, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_max_ps, _mm512_mul_ps, _mm512_reduce_max_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srli_epi32,
    _mm512_storeu_ps,
};

use rten_simd::isa::Avx512Isa;

use super::kernel::{Attend, QUERIES};
use super::packing::{BLOCK, HEAD};
use crate::quantize::{ZERO_POINT, quantize_row};
use crate::vector::exponentials;

/// Elements of a vector.
const LANES: usize = 16;

/// Vectors of a row of [`BLOCK`] or [`HEAD`] words.
const VECTORS: usize = BLOCK / LANES;

/// Words of a query, and of [`BLOCK`] probabilities' upper (or lower) bytes.
const WORDS: usize = HEAD / 4;

const _: () = assert!(BLOCK == HEAD);

/// Exists only where the processor has the instructions.
#[derive(Clone, Copy)]
pub(super) struct Vnni(Avx512Isa);

impl Vnni {
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("f16c");
        has_all.then(Avx512Isa::new).flatten().map(Self)
    }

    pub(super) fn attend(self, attend: Attend<'_>) {
        // SAFETY: `detect`, which alone makes one of these, has asked for each of its features.
        unsafe { attend_with(self.0, attend) }
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,f16c")]
fn attend_with(isa: Avx512Isa, attend: Attend<'_>) {
    let Attend { head, queries, stride, rows, size, scale, out, out_stride, scratch } = attend;
    let blocks = head.blocks();
    let width = blocks * BLOCK;
    let half = HEAD * BLOCK / 4;
    assert!(size <= HEAD && head.length > 0);
    assert!(head.words.len() >= (blocks - 1) * head.stride + 2 * half + 2 * BLOCK);
    let block = |index: usize| &head.words[index * head.stride..][..2 * half + 2 * BLOCK];
    scratch.resize(QUERIES * (width + HEAD), 0.0);
    let (scores, sums) = scratch.split_at_mut(QUERIES * width);

    for first in (0..rows).step_by(QUERIES) {
        let rows = QUERIES.min(rows - first);
        let mut left = [Query::default(); QUERIES];
        for (row, left) in left.iter_mut().take(rows).enumerate() {
            *left = Query::new(&queries[(first + row) * stride..][..size], scale);
        }
        for index in 0..blocks {
            let block = block(index);
            let (keys, scales) = (&block[..half], &block[2 * half..][..BLOCK]);
            score_all(&left[..rows], keys, scales, &mut scores[index * BLOCK..], width, head.stride);
        }
        let mut units = [0.0; QUERIES];
        for (scores, unit) in scores.chunks_exact_mut(width).take(rows).zip(&mut units) {
            let total = exponentials(isa, &mut scores[..head.length]);
            scores[head.length..].fill(0.0);
            let scales = |index: usize| &block(index)[2 * half + BLOCK..];
            *unit = two_bytes(scores, scales) / total;
        }
        let sums = &mut sums[..rows * HEAD];
        sums.fill(0.0);
        for index in 0..blocks {
            let values = &block(index)[half..2 * half];
            weigh_all(&scores[index * BLOCK / 2..], width, values, sums, head.stride);
        }
        for (row, (sums, unit)) in sums.chunks_exact(HEAD).zip(units).enumerate() {
            let out = &mut out[(first + row) * out_stride..][..size];
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum * unit;
            }
        }
    }
}

/// A query in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Query {
    /// Four elements each.
    words: [i32; WORDS],
    /// What the zero point of the keys adds to each product.
    offset: i32,
    scale: f32,
}

impl Query {
    /// `scale` is of the scores, which are to be exponents of two.
    fn new(query: &[f32], scale: f32) -> Self {
        let mut bytes = [ZERO_POINT; HEAD];
        let unit = quantize_row(query, &mut bytes[..query.len()]);
        let bytes = bytes.map(|byte| (byte ^ ZERO_POINT).cast_signed());
        Self {
            words: bytemuck::cast(bytes),
            offset: i32::from(ZERO_POINT) * bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>(),
            scale: unit * scale * std::f32::consts::LOG2_E,
        }
    }
}

/// [`score`] for any number of queries, as many at once as the registers hold.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,f16c")]
fn score_all(
    queries: &[Query],
    keys: &[u32],
    scales: &[u32],
    scores: &mut [f32],
    width: usize,
    ahead: usize,
) {
    for (chunk, queries) in queries.chunks(6).enumerate() {
        let scores = &mut scores[chunk * 6 * width..];
        match queries.len() {
            6 => score::<6>(queries, keys, scales, scores, width, ahead),
            5 => score::<5>(queries, keys, scales, scores, width, ahead),
            4 => score::<4>(queries, keys, scales, scores, width, ahead),
            3 => score::<3>(queries, keys, scales, scores, width, ahead),
            2 => score::<2>(queries, keys, scales, scores, width, ahead),
            _ => score::<1>(queries, keys, scales, scores, width, ahead),
        }
    }
}

/// Scores of `R` queries with a block's keys, to rows of [`BLOCK`] that are `width` apart. The next
/// block's keys lie `ahead`.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,f16c")]
fn score<const R: usize>(
    queries: &[Query],
    keys: &[u32],
    scales: &[u32],
    scores: &mut [f32],
    width: usize,
    ahead: usize,
) {
    assert!(queries.len() == R && keys.len() == WORDS * BLOCK && scales.len() == BLOCK);
    assert!(scores.len() >= (R - 1) * width + BLOCK);
    // SAFETY: lengths are as asserted.
    unsafe {
        let mut sums = [[_mm512_setzero_si512(); VECTORS]; R];
        for (sums, query) in sums.iter_mut().zip(queries) {
            *sums = [_mm512_set1_epi32(-query.offset); VECTORS];
        }
        for word in 0..WORDS {
            let keys = vectors(keys.as_ptr().add(word * BLOCK), ahead);
            for (sums, query) in sums.iter_mut().zip(queries) {
                let query = _mm512_set1_epi32(query.words[word]);
                for (sum, keys) in sums.iter_mut().zip(keys) {
                    *sum = _mm512_dpbusd_epi32(*sum, keys, query);
                }
            }
        }
        for (row, (sums, query)) in sums.iter().zip(queries).enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                let scale = _mm512_loadu_ps(scales.as_ptr().add(vector * LANES).cast());
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(query.scale));
                let score = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), scale);
                _mm512_storeu_ps(scores.as_mut_ptr().add(row * width + vector * LANES), score);
            }
        }
    }
}

/// Multiplies the probabilities of a row, in place, with the scales of their values (of each block), and turns
/// every 16 of them to 16 upper bytes and 16 lower ones, from the row's start on; gives what a unit stands for.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,f16c")]
fn two_bytes<'a>(row: &mut [f32], scales: impl Fn(usize) -> &'a [u32]) -> f32 {
    assert!(row.len().is_multiple_of(BLOCK));
    // SAFETY: all is read and written within `row` and the scales of its blocks, and what is written over
    // was read before.
    unsafe {
        let mut highest = _mm512_setzero_ps();
        for (index, row) in row.chunks_exact_mut(BLOCK).enumerate() {
            let scales = &scales(index)[..BLOCK];
            for at in (0..BLOCK).step_by(LANES) {
                let row = row.as_mut_ptr().add(at);
                let weight =
                    _mm512_mul_ps(_mm512_loadu_ps(row), _mm512_loadu_ps(scales.as_ptr().add(at).cast()));
                highest = _mm512_max_ps(highest, weight);
                _mm512_storeu_ps(row, weight);
            }
        }
        let highest = _mm512_reduce_max_ps(highest);
        let unit = if highest > 0.0 { highest / 65535.0 } else { 1.0 };
        let per_unit = _mm512_set1_ps(unit.recip());
        let bytes = row.as_mut_ptr().cast::<u8>();
        for at in (0..row.len()).step_by(LANES) {
            let units = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(row.as_ptr().add(at)), per_unit));
            let upper = _mm512_cvtepi32_epi8(_mm512_srli_epi32::<8>(units));
            let lower = _mm512_cvtepi32_epi8(_mm512_and_epi32(units, _mm512_set1_epi32(0xff)));
            _mm_storeu_si128(bytes.add(2 * at).cast(), upper);
            _mm_storeu_si128(bytes.add(2 * at + LANES).cast(), lower);
        }
        unit
    }
}

/// [`weigh`] for any number of rows, as many at once as the registers hold.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,f16c")]
fn weigh_all(probabilities: &[f32], width: usize, values: &[u32], sums: &mut [f32], ahead: usize) {
    for (chunk, sums) in sums.chunks_mut(3 * HEAD).enumerate() {
        let probabilities = &probabilities[chunk * 3 * width..];
        match sums.len() / HEAD {
            3 => weigh::<3>(probabilities, width, values, sums, ahead),
            2 => weigh::<2>(probabilities, width, values, sums, ahead),
            _ => weigh::<1>(probabilities, width, values, sums, ahead),
        }
    }
}

/// Adds a block's values, weighed by `R` rows of its probabilities as [`two_bytes`] left them, to rows of
/// [`HEAD`] sums. The next block's values lie `ahead`.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,f16c")]
fn weigh<const R: usize>(
    probabilities: &[f32],
    width: usize,
    values: &[u32],
    sums: &mut [f32],
    ahead: usize,
) {
    assert!(values.len() == WORDS * HEAD && sums.len() == R * HEAD);
    assert!(probabilities.len() >= (R - 1) * width + BLOCK / 2);
    // SAFETY: lengths are as asserted.
    unsafe {
        let mut upper = [[_mm512_setzero_si512(); VECTORS]; R];
        let mut lower = upper;
        for word in 0..WORDS {
            let values = vectors(values.as_ptr().add(word * HEAD), ahead);
            for (row, (upper, lower)) in upper.iter_mut().zip(&mut lower).enumerate() {
                // Four words of upper bytes, then as many of lower ones.
                let at = row * width + word / 4 * 8 + word % 4;
                let words = probabilities.as_ptr().cast::<i32>().add(at);
                let (high, low) = (_mm512_set1_epi32(*words), _mm512_set1_epi32(*words.add(4)));
                for ((upper, lower), values) in upper.iter_mut().zip(lower).zip(values) {
                    *upper = _mm512_dpbusd_epi32(*upper, high, values);
                    *lower = _mm512_dpbusd_epi32(*lower, low, values);
                }
            }
        }
        for (row, (upper, lower)) in upper.iter().zip(&lower).enumerate() {
            for (vector, (upper, lower)) in upper.iter().zip(lower).enumerate() {
                let sum = sums.as_mut_ptr().add(row * HEAD + vector * LANES);
                let (upper, lower) = (_mm512_cvtepi32_ps(*upper), _mm512_cvtepi32_ps(*lower));
                let both = _mm512_fmadd_ps(upper, _mm512_set1_ps(256.0), lower);
                _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), both));
            }
        }
    }
}

/// The vectors of 64 words. Has those that lie `ahead` fetched meanwhile, which are the next block's: between
/// blocks, the processor cannot guess where reading goes on.
///
/// # Safety
/// `words` points to as many.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,f16c")]
unsafe fn vectors(words: *const u32, ahead: usize) -> [__m512i; VECTORS] {
    // SAFETY: as the caller vouches; what is fetched ahead need not exist.
    unsafe {
        let mut vectors = [_mm512_setzero_si512(); VECTORS];
        for (index, vector) in vectors.iter_mut().enumerate() {
            let words = words.add(index * LANES);
            _mm_prefetch::<_MM_HINT_T0>(words.wrapping_add(ahead).cast());
            *vector = _mm512_loadu_si512(words.cast());
        }
        vectors
    }
}

//! Attention of one query to rows that lie anywhere: the earlier tokens of its own text.

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

use super::packing::Heads;
use crate::vector::exponentials;

/// Softmax over the scores of one query with the keys that `path` names, and the mean of the values by it, for
/// every head.
#[derive(Debug)]
pub(super) struct AttendPath<'a> {
    pub(super) heads: Heads,
    /// All heads side by side, as in `keys`, `values` and `out`.
    pub(super) query: &'a [f32],
    pub(super) keys: &'a [f32],
    pub(super) values: &'a [f32],
    pub(super) path: &'a [u32],
    pub(super) out: &'a mut [f32],
    pub(super) scratch: &'a mut Vec<f32>,
}

impl SimdOp for AttendPath<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Self { heads, query, keys, values, path, out, scratch } = self;
        let (width, size) = (heads.width(), heads.size);
        let scale = heads.scale() * std::f32::consts::LOG2_E;
        scratch.clear();
        scratch.resize(path.len(), 0.0);
        for head in 0..heads.count {
            let start = |row: u32| row as usize * width + head * size;
            let query = &query[head * size..][..size];
            for (score, row) in scratch.iter_mut().zip(path) {
                *score = scale * dot(isa, query, &keys[start(*row)..][..size]);
            }
            let total = exponentials(isa, scratch);
            let out = &mut out[head * size..][..size];
            out.fill(0.0);
            for (probability, row) in scratch.iter().zip(path) {
                add_scaled(isa, out, &values[start(*row)..][..size], probability / total);
            }
        }
    }
}

#[inline(always)]
fn dot<I: Isa>(isa: I, a: &[f32], b: &[f32]) -> f32 {
    let ops = isa.f32();
    let mut sum = ops.zero();
    let (mut a, mut b) = (a.chunks_exact(ops.len()), b.chunks_exact(ops.len()));
    for (a, b) in (&mut a).zip(&mut b) {
        sum = ops.mul_add(ops.load(a), ops.load(b), sum);
    }
    ops.sum(sum) + a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum::<f32>()
}

/// `out += scale * x`
#[inline(always)]
fn add_scaled<I: Isa>(isa: I, out: &mut [f32], x: &[f32], scale: f32) {
    let ops = isa.f32();
    let factor = ops.splat(scale);
    let (mut out, mut x) = (out.chunks_exact_mut(ops.len()), x.chunks_exact(ops.len()));
    for (out, x) in (&mut out).zip(&mut x) {
        ops.store(ops.mul_add(factor, ops.load(x), ops.load(out)), out);
    }
    for (out, x) in out.into_remainder().iter_mut().zip(x.remainder()) {
        *out += scale * x;
    }
}

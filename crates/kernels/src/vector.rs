//! Element-wise maths over rows: GELU, softmax, maxima and sums.

use rten_simd::ops::{BitOps, FloatOps, IntOps, NumOps};
use rten_simd::{Isa, Simd, SimdOp, SimdUnaryOp};
use rten_vecmath::{Gelu, MaxNum, Softmax};

/// GELU by the error function, in place.
pub fn gelu(x: &mut [f32]) {
    Gelu {}.map_mut(x);
}

/// Softmax over each row of `width`, in place.
pub fn softmax_rows(x: &mut [f32], width: usize) {
    for row in x.chunks_exact_mut(width) {
        Softmax::new_mut(row).dispatch();
    }
}

/// `x += y`.
#[inline(always)]
pub fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// The greatest element; not a number where one of them is not, minus infinity where there are none.
pub fn max(x: &[f32]) -> f32 {
    MaxNum::new(x).dispatch()
}

/// `x = max(x, y)`, element by element; what is not a number stays in `x`, and is passed over in `y`. To be called within
/// an operation of the caller's: the compiler makes vectors with the instructions of that.
#[inline(always)]
pub fn maximum(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = if *y > *x { *y } else { *x };
    }
}

/// `ln Σ exp(x)`; minus infinity where every element is.
pub fn log_sum_exp(x: &[f32]) -> f32 {
    let max = max(x);
    if max == f32::NEG_INFINITY {
        return max;
    }
    max + SumExp { x, max }.dispatch().ln()
}

/// `Σ exp(x - max)`
struct SumExp<'a> {
    x: &'a [f32],
    max: f32,
}

impl SimdOp for SumExp<'_> {
    type Output = f32;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f32 {
        let ops = isa.f32();
        let (log2_e, max) = (ops.splat(std::f32::consts::LOG2_E), ops.splat(self.max));
        let mut total = ops.zero();
        let mut chunks = self.x.chunks_exact(ops.len());
        for chunk in &mut chunks {
            let x = ops.mul(ops.sub(ops.load(chunk), max), log2_e);
            total = ops.add(total, exp2(isa, x));
        }
        ops.sum(total) + chunks.remainder().iter().map(|x| (x - self.max).exp()).sum::<f32>()
    }
}

/// `2^x` for `x <= 0`, to within 4e-6 of itself: `2^n` by the exponent's bits, and for the fraction, between
/// -1/2 and 1/2, the Taylor polynomial of degree 5. What would be less than the smallest normal number is zero,
/// or that number.
#[inline(always)]
pub(crate) fn exp2<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    let (floats, ints) = (isa.f32(), isa.i32());
    let x = floats.max(x, floats.splat(-127.0));
    let whole = floats.round_ties_even(x);
    let fraction = floats.sub(x, whole);
    let mut sum = floats.splat(EXP2[0]);
    for coefficient in &EXP2[1..] {
        sum = floats.mul_add(sum, fraction, floats.splat(*coefficient));
    }
    let power = ints.shift_left::<23>(ints.add(floats.to_int_trunc(whole), ints.splat(127)));
    floats.mul(sum, power.reinterpret_cast())
}

/// Replaces scores (in powers of two) by `2^(score - highest)`, and gives their sum.
#[inline(always)]
pub(crate) fn exponentials<I: Isa>(isa: I, scores: &mut [f32]) -> f32 {
    let ops = isa.f32();
    let lanes = ops.len();
    let mut highest = ops.splat(f32::NEG_INFINITY);
    let mut chunks = scores.chunks_exact(lanes);
    for chunk in &mut chunks {
        highest = ops.max(highest, ops.load(chunk));
    }
    let rest = chunks.remainder().iter().copied();
    let highest = highest.to_array().into_iter().chain(rest).fold(f32::NEG_INFINITY, f32::max);
    let shift = ops.splat(highest);
    let mut total = ops.zero();
    let mut chunks = scores.chunks_exact_mut(lanes);
    for chunk in &mut chunks {
        let raised = exp2(isa, ops.sub(ops.load(chunk), shift));
        total = ops.add(total, raised);
        ops.store(raised, chunk);
    }
    let mut total = ops.sum(total);
    for score in chunks.into_remainder() {
        *score = (*score - highest).exp2();
        total += *score;
    }
    total
}

/// `ln(2)^k / k!`, from k = 5 down to 0.
const EXP2: [f32; 6] = [1.333_356e-3, 9.618_129e-3, 5.550_411e-2, 2.402_265e-1, std::f32::consts::LN_2, 1.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greater_of_two_is_kept() {
        let mut x = [1.0, -2.0, f32::NEG_INFINITY];
        maximum(&mut x, &[0.5, 3.0, -1.0]);
        assert_eq!(x, [1.0, 3.0, -1.0]);
    }

    #[test]
    fn log_sum_exp_ignores_what_is_ruled_out() {
        let mut x = vec![f32::NEG_INFINITY; 100];
        assert_eq!(log_sum_exp(&x), f32::NEG_INFINITY);
        x[3] = 2.0;
        x[77] = 2.0;
        assert!((log_sum_exp(&x) - (2.0 + 2f32.ln())).abs() < 1e-5);
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + 2f32.ln())).abs() < 1e-3);
    }

    #[test]
    fn powers_of_two_are_those_of_the_standard_library() {
        struct Powers<'a>(&'a mut [f32]);
        impl SimdOp for Powers<'_> {
            type Output = ();
            #[inline(always)]
            fn eval<I: Isa>(self, isa: I) {
                for chunk in self.0.chunks_exact_mut(isa.f32().len()) {
                    isa.f32().store(exp2(isa, isa.f32().load(chunk)), chunk);
                }
            }
        }
        // Fewer for Miri, which is slow.
        let step = if cfg!(miri) { 64 } else { 1 };
        let x: Vec<f32> = (0..4096).step_by(step).map(|i| -(i as f32) / 32.0).collect();
        let check = |run: &dyn Fn(Powers<'_>)| {
            let mut y = x.clone();
            run(Powers(&mut y));
            for (x, y) in x.iter().zip(&y) {
                assert!((y - x.exp2()).abs() <= 4e-6 * x.exp2() + 2e-38, "2^{x} came out as {y}");
            }
            let mut lowest = vec![f32::NEG_INFINITY; 16];
            run(Powers(&mut lowest));
            assert!(lowest.iter().all(|y| *y == 0.0));
        };
        check(&|powers| powers.dispatch());
        check(&|powers| powers.eval(rten_simd::isa::GenericIsa::new()));
    }
}

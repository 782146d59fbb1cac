//! How words are multiplied, on every processor. (Unsafe: pointers to left-hand words, for which the callers vouch.)

use rten_simd::ops::{BitOps, IntOps, NumOps};
use rten_simd::{Isa, Simd};

use crate::vector::exponentials;

/// How right-hand words are multiplied with the left-hand ones that belong to them.
///
/// # Safety
/// [`Self::multiply_add`] reads no more than [`Self::LEFT_WORDS`] words.
pub(crate) unsafe trait Operand<I: Isa>: Copy {
    /// Left-hand words that meet one right-hand word.
    const LEFT_WORDS: usize;

    /// Elements in a right-hand word.
    const ELEMENTS: usize;

    /// A right-hand vector, made ready to be multiplied with several left-hand words.
    type Ready: Copy;

    fn ready(self, isa: I, words: I::I32) -> Self::Ready;

    /// `sum + left * right`, in every lane.
    ///
    /// # Safety
    /// `left` points to [`Self::LEFT_WORDS`] words.
    unsafe fn multiply_add(self, isa: I, left: *const u32, right: Self::Ready, sum: I::F32) -> I::F32;

    /// Turns `row`, a multiple of 32 `f32`, into left-hand words, in place and from its start on.
    fn left_words(self, isa: I, row: &mut [f32]);

    /// Turns the first `length` scores of a row (in powers of two) to left-hand words of `2^(score - highest)`, in place,
    /// and those behind them to zeros. Gives the sum of the powers.
    #[inline(always)]
    fn probabilities(self, isa: I, scores: &mut [f32], length: usize) -> f32 {
        let total = exponentials(isa, &mut scores[..length]);
        scores[length..].fill(0.0);
        self.left_words(isa, scores);
        total
    }
}

/// One `f32` a word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Single;

// SAFETY: one word is read.
unsafe impl<I: Isa> Operand<I> for Single {
    const LEFT_WORDS: usize = 1;
    const ELEMENTS: usize = 1;
    type Ready = I::F32;

    #[inline(always)]
    fn ready(self, _isa: I, words: I::I32) -> I::F32 {
        words.reinterpret_cast()
    }

    #[inline(always)]
    unsafe fn multiply_add(self, isa: I, left: *const u32, right: I::F32, sum: I::F32) -> I::F32 {
        let ops = isa.f32();
        // SAFETY: the caller vouches for one word.
        ops.mul_add(ops.splat(f32::from_bits(unsafe { *left })), right, sum)
    }

    #[inline(always)]
    fn left_words(self, _isa: I, _row: &mut [f32]) {}
}

/// Two bfloat16 a word, widened to be multiplied; the left-hand side stays in `f32`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WidenedPair;

// SAFETY: two words are read.
unsafe impl<I: Isa> Operand<I> for WidenedPair {
    const LEFT_WORDS: usize = 2;
    const ELEMENTS: usize = 2;
    type Ready = [I::F32; 2];

    #[inline(always)]
    fn ready(self, isa: I, words: I::I32) -> [I::F32; 2] {
        let ops = isa.i32();
        let low = ops.shift_left::<16>(words);
        let high = ops.and(words, ops.splat(0xffff_0000_u32 as i32));
        [low.reinterpret_cast(), high.reinterpret_cast()]
    }

    #[inline(always)]
    unsafe fn multiply_add(self, isa: I, left: *const u32, right: [I::F32; 2], sum: I::F32) -> I::F32 {
        let ops = isa.f32();
        // SAFETY: the caller vouches for two words.
        let [low, high] = unsafe { [f32::from_bits(*left), f32::from_bits(*left.add(1))] };
        let sum = ops.mul_add(ops.splat(low), right[0], sum);
        ops.mul_add(ops.splat(high), right[1], sum)
    }

    #[inline(always)]
    fn left_words(self, _isa: I, _row: &mut [f32]) {}
}

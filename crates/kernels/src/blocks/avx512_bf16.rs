//! Pairs of bfloat16, by the instruction that multiplies two at once (AVX-512 BF16).
//!
//! (Unsafe: the instruction itself, which [`Bf16Pair`] vouches for, and pointers into rows whose lengths are
//! asserted.)

use std::arch::x86_64::{
    __cpuid, __m512, __m512bh, __m512i, _MM_FROUND_TO_NEG_INF, _mm512_add_ps, _mm512_cvtne2ps_pbh,
    _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps, _mm512_reduce_add_ps,
    _mm512_reduce_max_ps, _mm512_reduce_ps, _mm512_scalef_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_storeu_si512, _mm512_sub_ps,
};
use std::mem::transmute;
use std::sync::OnceLock;

use rten_simd::Isa;
use rten_simd::isa::Avx512Isa;
use rten_simd::ops::BitOps;

use super::operand::Operand;
use super::pair_word;

/// Two bfloat16 a word on either side, multiplied by AVX-512 BF16.
/// Exists only where the processor has the instructions.
#[derive(Clone, Copy)]
pub(crate) struct Bf16Pair(Avx512Isa);

impl Bf16Pair {
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512bf16").then(Avx512Isa::new).flatten().map(Self)
    }

    /// Whether it multiplies more than the processor would with its vectors of `f32`. Intel's do half as much
    /// (Sapphire Rapids: 60 to 74 GFLOP/s a thread, `f32` 117 to 157), AMD's twice as much (Zen 4).
    pub(crate) fn is_fast(self) -> bool {
        // Asked once, for in a virtual machine the question goes to the host.
        static IS_FAST: OnceLock<bool> = OnceLock::new();
        *IS_FAST.get_or_init(|| {
            let vendor = __cpuid(0);
            [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() != b"GenuineIntel"
        })
    }

    /// Elements as words of two; a last one by itself is paired with nothing.
    pub(crate) fn pack(self, x: &[f32], words: &mut [u32]) {
        let (whole, rest) = x.split_at(x.len() / (2 * LANES) * (2 * LANES));
        let (whole_words, words) = words[..x.len().div_ceil(2)].split_at_mut(whole.len() / 2);
        // SAFETY: `whole_words` has half as many words as `whole` elements, which are a multiple of 32. `Self` exists
        // only where the processor has the instruction.
        unsafe { pack(whole.as_ptr(), whole_words.as_mut_ptr(), whole.len()) };
        for (word, pair) in words.iter_mut().zip(rest.chunks(2)) {
            *word = pair_word(pair[0], pair.get(1).copied().unwrap_or(0.0));
        }
    }

    pub(crate) fn isa(self) -> Avx512Isa {
        self.0
    }
}

// SAFETY: one word is read.
unsafe impl Operand<Avx512Isa> for Bf16Pair {
    const LEFT_WORDS: usize = 1;
    const ELEMENTS: usize = 2;
    type Ready = <Avx512Isa as Isa>::I32;

    #[inline(always)]
    fn ready(self, _isa: Avx512Isa, words: Self::Ready) -> Self::Ready {
        words
    }

    #[inline(always)]
    unsafe fn multiply_add(
        self,
        isa: Avx512Isa,
        left: *const u32,
        right: Self::Ready,
        sum: <Avx512Isa as Isa>::F32,
    ) -> <Avx512Isa as Isa>::F32 {
        // SAFETY: the caller vouches for one word, and `Self` exists only where the processor has the
        // instruction.
        unsafe {
            let left = isa.i32().splat((*left).cast_signed());
            let left: __m512bh = transmute(left.0);
            let right: __m512bh = transmute(right.0);
            _mm512_dpbf16_ps(sum.0, left, right).into()
        }
    }

    #[inline(always)]
    fn left_words(self, _isa: Avx512Isa, row: &mut [f32]) {
        let (length, row) = (row.len(), row.as_mut_ptr());
        // SAFETY: both are the row, whose length `pack` asks for. `Self` exists only where the processor has the
        // instruction.
        unsafe { pack(row, row.cast(), length) }
    }

    #[inline(always)]
    fn probabilities(self, _isa: Avx512Isa, scores: &mut [f32], length: usize) -> f32 {
        // SAFETY: `Self` exists only where the processor has the instructions.
        unsafe { probabilities(scores, length) }
    }
}

/// Elements of a vector.
const LANES: usize = 16;

/// Turns elements to words of two, from their start on. Both may begin at the same place.
///
/// # Safety
/// `x` points to `length` elements, `words` to half as many, and `length` is a multiple of 32.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn pack(x: *const f32, words: *mut u32, length: usize) {
    assert!(length.is_multiple_of(2 * LANES));
    for at in (0..length).step_by(2 * LANES) {
        // SAFETY: 32 elements are read at `at`, and 16 words written at `at / 2`; what is written over was read before.
        unsafe {
            let low = _mm512_loadu_ps(x.add(at));
            let high = _mm512_loadu_ps(x.add(at + LANES));
            let both: __m512i = transmute(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(words.add(at / 2).cast(), both);
        }
    }
}

/// As of [`Operand`], with powers as exact as bfloat16 needs them and each score read twice in all.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,f16c")]
fn probabilities(scores: &mut [f32], length: usize) -> f32 {
    assert!(length <= scores.len() && scores.len().is_multiple_of(2 * LANES));
    // What lies behind the scores is as improbable as can be.
    scores[length..].fill(f32::NEG_INFINITY);
    let row = scores.as_mut_ptr();
    // SAFETY: 16 or 32 elements are read at multiples of 32 within the scores; what is written over was read before.
    unsafe {
        let mut highest = [_mm512_set1_ps(f32::NEG_INFINITY); 2];
        for at in (0..scores.len()).step_by(2 * LANES) {
            highest[0] = _mm512_max_ps(highest[0], _mm512_loadu_ps(row.add(at)));
            highest[1] = _mm512_max_ps(highest[1], _mm512_loadu_ps(row.add(at + LANES)));
        }
        let highest = _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(highest[0], highest[1])));
        let mut totals = [_mm512_setzero_ps(); 2];
        for at in (0..scores.len()).step_by(2 * LANES) {
            let low = power(_mm512_sub_ps(_mm512_loadu_ps(row.add(at)), highest));
            let high = power(_mm512_sub_ps(_mm512_loadu_ps(row.add(at + LANES)), highest));
            totals = [_mm512_add_ps(totals[0], low), _mm512_add_ps(totals[1], high)];
            let words: __m512i = transmute(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(row.add(at / 2).cast(), words);
        }
        _mm512_reduce_add_ps(_mm512_add_ps(totals[0], totals[1]))
    }
}

/// `2^x` for `x <= 0`, to within 8e-5 of itself: a sixteenth of what bfloat16 rounds off. For the fraction the
/// polynomial of degree 3 whose greatest relative error on [0, 1] is the least; the whole part moves the exponent.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn power(x: __m512) -> __m512 {
    const POLYNOMIAL: [f32; 4] = [0.078_024_55, 0.226_067_18, 0.695_833_5, 0.999_925_2];
    // Minus infinity's fraction would not be a number.
    let x = _mm512_max_ps(x, _mm512_set1_ps(-1000.0));
    let fraction = _mm512_reduce_ps::<_MM_FROUND_TO_NEG_INF>(x);
    let mut sum = _mm512_set1_ps(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(*coefficient));
    }
    // The floor of `x` is taken within.
    _mm512_scalef_ps(sum, x)
}

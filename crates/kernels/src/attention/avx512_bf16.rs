//! Attention to keys and values in bfloat16, by the instruction that multiplies two at once (AVX-512 BF16).
//!
//! (Unsafe: the instruction itself, which [`Bf16Pair`] vouches for, and pointers into rows whose lengths are
//! asserted.)

use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_storeu_si512,
};
use std::mem::transmute;

use rten_simd::Isa;
use rten_simd::isa::Avx512Isa;
use rten_simd::ops::BitOps;

use super::kernel::{Attend, evaluate};
use super::operand::Operand;

/// Two bfloat16 a word on either side, multiplied by AVX-512 BF16.
/// Exists only where the processor has the instructions.
#[derive(Clone, Copy)]
pub(super) struct Bf16Pair(Avx512Isa);

impl Bf16Pair {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512bf16").then(Avx512Isa::new).flatten().map(Self)
    }

    pub(super) fn attend(self, attend: Attend<'_>) {
        // SAFETY: `detect`, which alone makes one of these, has asked for BF16; what it holds exists only where the
        // processor has AVX-512 F, VL, BW and DQ (F comes with F16C).
        unsafe { attend_with(self.0, self, attend) }
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,f16c")]
fn attend_with(isa: Avx512Isa, operand: Bf16Pair, attend: Attend<'_>) {
    evaluate(isa, operand, attend);
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
        let length = row.len();
        assert!(length.is_multiple_of(32));
        let row = row.as_mut_ptr();
        for at in (0..length).step_by(32) {
            // SAFETY: 32 elements are read at `at`, and 16 written at `at / 2`, both within the row, and
            // what is written over was read before. `Self` exists only where the processor has the
            // instruction.
            unsafe {
                let low = _mm512_loadu_ps(row.add(at));
                let high = _mm512_loadu_ps(row.add(at + 16));
                let words: __m512i = transmute(_mm512_cvtne2ps_pbh(high, low));
                _mm512_storeu_si512(row.add(at / 2).cast(), words);
            }
        }
    }
}

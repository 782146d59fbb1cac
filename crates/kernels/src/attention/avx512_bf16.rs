//! Attention to keys and values in bfloat16, by the instruction that multiplies two at once (AVX-512 BF16).
//! (Unsafe: the processor's features, for which [`Bf16Pair`] vouches.)

use rten_simd::isa::Avx512Isa;

use super::kernel::{Attend, evaluate};
use crate::blocks::Bf16Pair;

pub(super) fn attend(pair: Bf16Pair, attend: Attend<'_>) {
    // SAFETY: there is a `Bf16Pair` only where the processor has BF16 and AVX-512 F, VL, BW and DQ (F comes with F16C).
    unsafe { attend_with(pair.isa(), pair, attend) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,f16c")]
fn attend_with(isa: Avx512Isa, pair: Bf16Pair, attend: Attend<'_>) {
    evaluate(isa, pair, attend);
}

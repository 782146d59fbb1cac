//! What `rten_simd` dispatches to on this processor.

use rten_simd::ops::BitOps;
use rten_simd::{Isa, SimdOp};

/// How many `f32` a vector holds.
pub(crate) fn lanes() -> usize {
    Lanes.dispatch()
}

/// The name of the instruction set.
pub(crate) fn instruction_set() -> &'static str {
    name(lanes())
}

/// The name of the instruction set whose vectors hold so many `f32`.
pub(crate) fn name(lanes: usize) -> &'static str {
    match lanes {
        16 => "AVX-512",
        8 => "AVX2",
        // There is no 64-bit ARM processor without it.
        _ if cfg!(target_arch = "aarch64") => "NEON",
        _ => "portable",
    }
}

struct Lanes;

impl SimdOp for Lanes {
    type Output = usize;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> usize {
        isa.f32().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_has_its_name() {
        #[cfg(target_arch = "aarch64")]
        assert_eq!(instruction_set(), "NEON");
        #[cfg(target_arch = "x86_64")]
        {
            use rten_simd::isa::{Avx2Isa, Avx512Isa, GenericIsa};
            assert_eq!(name(Lanes.eval(GenericIsa::new())), "portable");
            match Avx2Isa::new() {
                Some(isa) => assert_eq!(name(Lanes.eval(isa)), "AVX2"),
                None => verbatim_testing::skip("the processor has no AVX2"),
            }
            match Avx512Isa::new() {
                Some(isa) => assert_eq!(name(Lanes.eval(isa)), "AVX-512"),
                None => verbatim_testing::skip("the processor has no AVX-512"),
            }
        }
    }
}

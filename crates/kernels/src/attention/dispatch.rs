//! Which kernel computes attention: by the format of keys and values, and by what the processor has.

use rten_simd::{Isa, SimdOp};

#[cfg(target_arch = "x86_64")]
use super::avx512_vnni::Vnni;
use super::kernel::{Attend, evaluate};
use super::packing::Format;
#[cfg(target_arch = "x86_64")]
use super::{amx, avx512_bf16};
#[cfg(target_arch = "x86_64")]
use crate::blocks::Bf16;
use crate::blocks::{Single, WidenedPair};
use crate::simd;

/// A way to compute attention that this processor has.
#[derive(Clone, Copy)]
pub(super) enum Kernel {
    /// `f32`, by whatever vectors the processor has.
    Single,
    /// bfloat16, widened to `f32`, by whatever vectors the processor has.
    WidenedPair,
    #[cfg(target_arch = "x86_64")]
    Bf16(Bf16),
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni),
}

impl Kernel {
    /// The fastest for the format; `None` where the processor has none for it.
    pub(super) fn of(format: Format) -> Option<Self> {
        match format {
            Format::F32 => Some(Self::Single),
            #[cfg(target_arch = "x86_64")]
            Format::Bf16 => Some(Bf16::detect().map_or(Self::WidenedPair, Self::Bf16)),
            #[cfg(target_arch = "x86_64")]
            Format::Int8 => Vnni::detect().map(Self::Vnni),
            #[cfg(not(target_arch = "x86_64"))]
            Format::Bf16 => Some(Self::WidenedPair),
            #[cfg(not(target_arch = "x86_64"))]
            Format::Int8 => None,
        }
    }

    /// The name of the instructions that it multiplies with.
    pub(super) fn instruction_set(self) -> &'static str {
        match self {
            Self::Single | Self::WidenedPair => simd::instruction_set(),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(instructions) => instructions.instruction_set(),
            #[cfg(target_arch = "x86_64")]
            Self::Vnni(_) => "AVX-512 VNNI",
        }
    }

    /// Computes what [`Attend`] describes. Its words are to be of the format that this kernel is for.
    pub(super) fn attend(self, attend: Attend<'_>) {
        match self {
            Self::Single => SimdOp::dispatch(With { attend, operand: Single }),
            Self::WidenedPair => SimdOp::dispatch(With { attend, operand: WidenedPair }),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(Bf16::Pair(pair)) => avx512_bf16::attend(pair, attend),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(Bf16::Tiles(tiles)) => amx::attend(tiles, attend),
            #[cfg(target_arch = "x86_64")]
            Self::Vnni(vnni) => vnni.attend(attend),
        }
    }
}

struct With<'a, F> {
    attend: Attend<'a>,
    operand: F,
}

impl SimdOp for With<'_, Single> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        evaluate(isa, self.operand, self.attend);
    }
}

impl SimdOp for With<'_, WidenedPair> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        evaluate(isa, self.operand, self.attend);
    }
}

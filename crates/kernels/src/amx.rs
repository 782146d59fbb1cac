//! Products of tiles: 16 rows of 64 bytes by 64 rows of 16 in one instruction (Intel AMX, since Sapphire Rapids).
//!
//! Compilers on the stable channel have no functions for these instructions, so they are written out. Each piece of
//! assembly loads what it needs and stores what it computed: no tile holds anything between two of them.

#[cfg(test)]
pub(crate) mod emulation;
mod tiles;

use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

pub(crate) use tiles::{Line, Rows, TILE_ROWS, Tiles};

/// Exists only where the processor has tiles, multiplies bytes and bfloat16 with them, and the system lets this process
/// use them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amx(());

impl Amx {
    pub(crate) fn detect() -> Option<Self> {
        static IS_USABLE: OnceLock<bool> = OnceLock::new();
        IS_USABLE.get_or_init(|| has_instructions() && is_permitted()).then_some(Self(()))
    }
}

/// As the processor's own identification says (Intel 64 and IA-32 Architectures Software Developer's Manual, CPUID).
fn has_instructions() -> bool {
    /// AMX-BF16, AMX-TILE and AMX-INT8 in EDX of leaf 7.
    const ALL: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & ALL == ALL
}

/// Asks the system for the tiles' eight kilobytes of state, for all threads of this process. Linux grants it since 5.16,
/// unless a thread's stack for signals has no room for them.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the request reads and writes no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// Where nobody has seen it work.
#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

//! The instructions themselves.

use std::arch::asm;
use std::marker::PhantomData;

use super::Amx;

/// Rows of a tile.
pub(crate) const TILE_ROWS: usize = 16;

/// Bytes of a tile's row, which are to lie in one line of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; Self::BYTES]);

impl Line {
    pub(crate) const BYTES: usize = 64;
    pub(crate) const ZERO: Self = Self([0; Self::BYTES]);
}

// SAFETY: bytes, any of which are valid, without padding.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Line {}

/// Rows in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<P> {
    /// Where the first begins.
    pub(crate) first: P,
    /// Bytes from one to the next.
    pub(crate) stride: usize,
}

/// How the tiles are shaped (palette 1).
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// The eight tiles of this thread, all of 16 rows of 64 bytes; given back when dropped.
pub(crate) struct Tiles {
    /// The shapes are those of one thread.
    _of_this_thread: PhantomData<*const ()>,
}

impl Tiles {
    pub(crate) fn new(_amx: Amx) -> Self {
        static SHAPES: Shapes = Shapes {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
            rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        // SAFETY: an `Amx` exists only where the processor has the instruction; 64 bytes are read.
        unsafe {
            asm!("ldtilecfg [{shapes}]", shapes = in(reg) &raw const SHAPES, options(nostack, preserves_flags));
        }
        Self { _of_this_thread: PhantomData }
    }

    /// Products of unsigned bytes with signed ones: two tiles of sums side by side, `ROW_TILES` (1 or 2) of them one
    /// below the other.
    ///
    /// # Safety
    /// `a` are 16 `ROW_TILES` rows of `64 steps` bytes; `b` points to `steps` pairs of tiles, one behind the other, in
    /// which four inputs of an output lie side by side; `start` to the 32 numbers that the sums of every row start with;
    /// `out` are 16 `ROW_TILES` rows of 32 sums. `steps` is at least 1.
    #[inline]
    pub(crate) unsafe fn multiply_bytes<const ROW_TILES: usize>(
        &self,
        a: Rows<*const Line>,
        b: *const Line,
        steps: usize,
        start: *const i32,
        out: Rows<*mut i32>,
    ) {
        debug_assert!(steps > 0 && (ROW_TILES == 1 || ROW_TILES == 2));
        // SAFETY: as the caller vouches. Both leave every tile's shape as it was.
        unsafe {
            if ROW_TILES == 2 {
                asm!(
                    // A stride of nothing makes all rows the same.
                    "tileloadd tmm0, [{start} + {none}]",
                    "tileloadd tmm1, [{start} + {none} + 64]",
                    "tileloadd tmm2, [{start} + {none}]",
                    "tileloadd tmm3, [{start} + {none} + 64]",
                    "2:",
                    "tileloadd tmm4, [{a} + {a_stride}]",
                    "tileloadd tmm6, [{b} + {line}]",
                    "tileloadd tmm7, [{b} + {line} + 1024]",
                    "tileloadd tmm5, [{below} + {a_stride}]",
                    "tdpbusd tmm0, tmm4, tmm6",
                    "tdpbusd tmm1, tmm4, tmm7",
                    "tdpbusd tmm2, tmm5, tmm6",
                    "tdpbusd tmm3, tmm5, tmm7",
                    "add {a}, 64",
                    "add {below}, 64",
                    "add {b}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{out} + {out_stride}], tmm0",
                    "tilestored [{out} + {out_stride} + 64], tmm1",
                    "tilestored [{out_below} + {out_stride}], tmm2",
                    "tilestored [{out_below} + {out_stride} + 64], tmm3",
                    start = in(reg) start,
                    none = in(reg) 0_usize,
                    a = inout(reg) a.first => _,
                    below = inout(reg) a.first.byte_add(TILE_ROWS * a.stride) => _,
                    a_stride = in(reg) a.stride,
                    b = inout(reg) b => _,
                    line = in(reg) Line::BYTES,
                    steps = inout(reg) steps => _,
                    out = in(reg) out.first,
                    out_below = in(reg) out.first.byte_add(TILE_ROWS * out.stride),
                    out_stride = in(reg) out.stride,
                    options(nostack),
                );
            } else {
                asm!(
                    "tileloadd tmm0, [{start} + {none}]",
                    "tileloadd tmm1, [{start} + {none} + 64]",
                    "2:",
                    "tileloadd tmm4, [{a} + {a_stride}]",
                    "tileloadd tmm6, [{b} + {line}]",
                    "tileloadd tmm7, [{b} + {line} + 1024]",
                    "tdpbusd tmm0, tmm4, tmm6",
                    "tdpbusd tmm1, tmm4, tmm7",
                    "add {a}, 64",
                    "add {b}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{out} + {out_stride}], tmm0",
                    "tilestored [{out} + {out_stride} + 64], tmm1",
                    start = in(reg) start,
                    none = in(reg) 0_usize,
                    a = inout(reg) a.first => _,
                    a_stride = in(reg) a.stride,
                    b = inout(reg) b => _,
                    line = in(reg) Line::BYTES,
                    steps = inout(reg) steps => _,
                    out = in(reg) out.first,
                    out_stride = in(reg) out.stride,
                    options(nostack),
                );
            }
        }
    }

    /// Products of bfloat16: 32 rows of 32 sums, each over `blocks` times 64 elements.
    ///
    /// # Safety
    /// `a` are 32 rows of `64 blocks` elements; `b` are `blocks` blocks, each of 32 rows of pairs of elements, 256 bytes
    /// apart, of which 32 pairs are read; `out` are 32 rows of 32 sums. `blocks` is at least 1.
    #[inline]
    pub(crate) unsafe fn multiply_bf16(
        &self,
        a: Rows<*const u32>,
        b: Rows<*const u32>,
        blocks: usize,
        out: Rows<*mut f32>,
    ) {
        debug_assert!(blocks > 0);
        // SAFETY: as the caller vouches. Every tile's shape stays as it was.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a} + {a_stride}]",
                "tileloadd tmm6, [{b} + {row}]",
                "tileloadd tmm7, [{b} + {row} + 64]",
                "tileloadd tmm5, [{below} + {a_stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm4, [{a} + {a_stride} + 64]",
                "tileloadd tmm6, [{b} + {row} + 4096]",
                "tileloadd tmm7, [{b} + {row} + 4160]",
                "tileloadd tmm5, [{below} + {a_stride} + 64]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 128",
                "add {below}, 128",
                "add {b}, {b_stride}",
                "dec {blocks}",
                "jnz 2b",
                "tilestored [{out} + {out_stride}], tmm0",
                "tilestored [{out} + {out_stride} + 64], tmm1",
                "tilestored [{out_below} + {out_stride}], tmm2",
                "tilestored [{out_below} + {out_stride} + 64], tmm3",
                a = inout(reg) a.first => _,
                below = inout(reg) a.first.byte_add(TILE_ROWS * a.stride) => _,
                a_stride = in(reg) a.stride,
                b = inout(reg) b.first => _,
                b_stride = in(reg) b.stride,
                row = in(reg) 256_usize,
                blocks = inout(reg) blocks => _,
                out = in(reg) out.first,
                out_below = in(reg) out.first.byte_add(TILE_ROWS * out.stride),
                out_stride = in(reg) out.stride,
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: where there is a `Tiles`, the processor has the instruction.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) }
    }
}

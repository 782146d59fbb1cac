//! Products of bfloat16 by tiles, 32 rows at a time. (Unsafe: pointers into the operands, whose lengths are asserted.)

use super::{Bf16Pair, COLUMNS, Strided};
use crate::amx::{self, Amx, Tiles};

/// Exists only where the processor has tiles and AVX-512 BF16, which every such processor has.
#[derive(Clone, Copy)]
pub(crate) struct Bf16Tiles {
    pub(crate) amx: Amx,
    pub(crate) pair: Bf16Pair,
}

/// Columns of a product: those of two tiles.
const TILE_COLUMNS: usize = 32;

const _: () = assert!(COLUMNS == 2 * TILE_COLUMNS);

impl Bf16Tiles {
    /// Rows of a product: those of two tiles.
    pub(crate) const ROWS: usize = 32;

    pub(crate) fn detect() -> Option<Self> {
        Self::with(Amx::detect()?)
    }

    pub(crate) fn with(amx: Amx) -> Option<Self> {
        Some(Self { amx, pair: Bf16Pair::detect()? })
    }
}

/// `out = left * right` for 32 rows and 64 columns. Left-hand rows begin with 32 words for each of `blocks` blocks of the
/// right-hand side, of 32 rows each.
#[inline]
pub(crate) fn multiply(
    tiles: &Tiles,
    left: Strided<&[u32]>,
    right: Strided<&[u32]>,
    blocks: usize,
    out: Strided<&mut [f32]>,
) {
    const PAIRS: usize = COLUMNS / 2;
    let last = Bf16Tiles::ROWS - 1;
    assert!(blocks > 0);
    assert!(left.data.len() >= last * left.stride + blocks * PAIRS);
    assert!(right.data.len() >= (blocks - 1) * right.stride + PAIRS * COLUMNS);
    assert!(out.data.len() >= last * out.stride + COLUMNS);
    let bytes = |words: usize| words * size_of::<u32>();
    for column in [0, TILE_COLUMNS] {
        // SAFETY: lengths are as asserted, and the columns of a right-hand row lie within it.
        unsafe {
            let left = amx::Rows { first: left.data.as_ptr(), stride: bytes(left.stride) };
            let right = amx::Rows { first: right.data.as_ptr().add(column), stride: bytes(right.stride) };
            let out = amx::Rows { first: out.data.as_mut_ptr().add(column), stride: bytes(out.stride) };
            tiles.multiply_bf16(left, right, blocks, out);
        }
    }
}

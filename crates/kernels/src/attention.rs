//! Attention to many positions: keys and values packed for the kernel, and the way through them.
//!
//! The scores of a window's up to 1500 positions against each other never lie in memory: a few queries at a time
//! are scored, weighed and summed up within the cache (Dao et al. 2022).

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
mod dispatch;
mod kernel;
mod packing;
mod path;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use rten_simd::SimdOp;

use dispatch::Kernel;
use kernel::{Attend, Head};
use packing::Shape;
pub use packing::{BLOCK, Block, Format, HEAD, Heads, Rows};
use path::AttendPath;

thread_local! {
    /// Room for the scores of the queries at hand.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Whether the processor can attend to keys and values in this format. Only bytes are not for every one: the instruction
/// that multiplies them is that of AVX-512 VNNI.
pub fn is_supported(format: Format) -> bool {
    Kernel::of(format).is_some()
}

/// The name of the instructions that attend to keys and values in this format; `None` where there are none.
pub(crate) fn instruction_set(format: Format) -> Option<&'static str> {
    Some(Kernel::of(format)?.instruction_set())
}

/// Keys and values of some positions, for all heads of a layer.
///
/// In blocks of [`BLOCK`] positions, each `[heads][keys, values, scales]`: keys as `[HEAD / elements][BLOCK]`
/// words, so that a vector holds one element (or pair, or four) of many positions, values as
/// `[BLOCK / elements][HEAD]` words, so that it holds many elements of one position (or pair, or four).
#[derive(Debug)]
pub struct KeysValues {
    shape: Shape,
    length: usize,
    words: Vec<u32>,
}

impl KeysValues {
    /// Room for `length` positions, at least one, to be filled block by block.
    pub fn new(format: Format, heads: Heads, length: usize) -> Self {
        assert!(heads.size <= HEAD && length > 0);
        let shape = Shape { format, heads };
        Self { shape, length, words: vec![0; length.div_ceil(BLOCK) * shape.block_words()] }
    }

    /// The blocks, [`BLOCK`] positions each but for the last.
    pub fn blocks_mut(&mut self) -> Vec<Block<'_>> {
        let shape = self.shape;
        self.words.chunks_exact_mut(shape.block_words()).map(|words| Block { shape, words }).collect()
    }

    /// A head's keys of the first `positions`, `[size, positions]`.
    pub fn keys(&self, head: usize, positions: usize) -> Vec<f32> {
        let size = self.shape.heads.size;
        assert!(positions <= self.length);
        let mut keys = vec![0.0; size * positions];
        let blocks = self.words.chunks_exact(self.shape.block_words());
        for (block, first) in blocks.zip((0..positions).step_by(BLOCK)) {
            let words = &block[head * self.shape.head_words()..][..self.shape.head_words()];
            let count = BLOCK.min(positions - first);
            for (element, keys) in keys.chunks_exact_mut(positions).enumerate() {
                for (position, key) in keys[first..][..count].iter_mut().enumerate() {
                    *key = self.shape.key(words, element, position);
                }
            }
        }
        keys
    }

    /// `softmax(q kᵀ / √size) v` of one head, for rows of queries that lie at `queries` (of that head), to
    /// rows of `out`, `out_stride` apart.
    ///
    /// # Panics
    /// If the processor has no instructions for the format, as [`is_supported`] says.
    pub fn attend(&self, head: usize, queries: Rows<'_>, out: &mut [f32], out_stride: usize) {
        let Shape { format, heads } = self.shape;
        let kernel =
            Kernel::of(format).expect("keys and values are in bytes only where they can be multiplied");
        let words = &self.words[head * self.shape.head_words()..];
        SCRATCH.with_borrow_mut(|scratch| {
            kernel.attend(Attend {
                head: Head { words, stride: self.shape.block_words(), length: self.length },
                queries: queries.data,
                stride: queries.stride,
                rows: queries.count,
                size: heads.size,
                scale: heads.scale(),
                out,
                out_stride,
                scratch,
            });
        });
    }
}

/// Attention of one row to rows that lie anywhere in `keys` and `values`: those of its own sequence, which
/// shares their earlier part with others. Query and `out` have the layer's width, as have the rows.
pub fn attend_path(heads: Heads, query: &[f32], keys: &[f32], values: &[f32], path: &[u32], out: &mut [f32]) {
    SCRATCH.with_borrow_mut(|scratch| {
        AttendPath { heads, query, keys, values, path, out, scratch }.dispatch();
    });
}

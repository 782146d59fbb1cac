//! Attention to many positions: keys and values packed for the kernel, and the way through them.
//!
//! The scores of a window's 1500 positions against each other never lie in memory: a few queries at a time
//! are scored, weighed and summed up within the cache (Dao et al. 2022).

mod int8;
mod kernel;
mod packing;
mod path;

use std::cell::RefCell;

use rten_simd::SimdOp;

use kernel::{Attend, Head};
pub(crate) use packing::Block;
use packing::Shape;
use path::AttendPath;

/// Positions whose keys and values lie together.
pub(crate) const BLOCK: usize = 64;

/// The widest head; that of every published Whisper model. Narrower ones are filled up with zeros.
pub(crate) const HEAD: usize = 64;

thread_local! {
    /// Room for the scores of the queries at hand.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    F32,
    /// bfloat16, in pairs of neighbouring elements (keys) or positions (values): half the memory, and twice
    /// the speed where the processor multiplies them by itself.
    Bf16,
    /// Bytes, with a scale for the key and one for the value of every position and head: a quarter of the memory.
    /// Only where [`Format::int8_is_supported`].
    Int8,
}

impl Format {
    /// Whether the processor multiplies bytes by itself (AVX-512 VNNI).
    pub(crate) fn int8_is_supported() -> bool {
        int8::is_supported()
    }
}

/// The heads of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(crate) count: usize,
    /// Elements of a head.
    pub(crate) size: usize,
}

impl Heads {
    pub(crate) fn width(self) -> usize {
        self.count * self.size
    }

    /// What scores are multiplied with.
    pub(crate) fn scale(self) -> f32 {
        (self.size as f32).sqrt().recip()
    }
}

/// Rows of a matrix, one below the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    /// Elements from a row to the next.
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(data: &'a [f32], stride: usize) -> Self {
        Self { data, stride, count: data.len() / stride }
    }

    fn row(self, row: usize, length: usize) -> &'a [f32] {
        &self.data[row * self.stride..][..length]
    }
}

/// Keys and values of some positions, for all heads of a layer.
///
/// In blocks of [`BLOCK`] positions, each `[heads][keys, values, scales]`: keys as `[HEAD / elements][BLOCK]`
/// words, so that a vector holds one element (or pair, or four) of many positions, values as
/// `[BLOCK / elements][HEAD]` words, so that it holds many elements of one position (or pair, or four).
#[derive(Debug)]
pub(crate) struct KeysValues {
    shape: Shape,
    length: usize,
    words: Vec<u32>,
}

impl KeysValues {
    /// Room for `length` positions, at least one, to be filled block by block.
    pub(crate) fn new(format: Format, heads: Heads, length: usize) -> Self {
        assert!(heads.size <= HEAD && length > 0);
        let shape = Shape { format, heads };
        Self { shape, length, words: vec![0; length.div_ceil(BLOCK) * shape.block_words()] }
    }

    /// The blocks, [`BLOCK`] positions each but for the last.
    pub(crate) fn blocks_mut(&mut self) -> Vec<Block<'_>> {
        let shape = self.shape;
        self.words.chunks_exact_mut(shape.block_words()).map(|words| Block { shape, words }).collect()
    }

    /// A head's keys of the first `positions`, `[size, positions]`.
    pub(crate) fn keys(&self, head: usize, positions: usize) -> Vec<f32> {
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
    pub(crate) fn attend(&self, head: usize, queries: Rows<'_>, out: &mut [f32], out_stride: usize) {
        let Shape { format, heads } = self.shape;
        let words = &self.words[head * self.shape.head_words()..];
        SCRATCH.with_borrow_mut(|scratch| {
            Attend {
                head: Head { format, words, stride: self.shape.block_words(), length: self.length },
                queries: queries.data,
                stride: queries.stride,
                rows: queries.count,
                size: heads.size,
                scale: heads.scale(),
                out,
                out_stride,
                scratch,
            }
            .dispatch();
        });
    }
}

/// Attention of one row to rows that lie anywhere in `keys` and `values`: those of its own sequence, which
/// shares their earlier part with others. Query and `out` have the layer's width, as have the rows.
pub(crate) fn attend_path(
    heads: Heads,
    query: &[f32],
    keys: &[f32],
    values: &[f32],
    path: &[u32],
    out: &mut [f32],
) {
    SCRATCH.with_borrow_mut(|scratch| {
        AttendPath { heads, query, keys, values, path, out, scratch }.dispatch();
    });
}

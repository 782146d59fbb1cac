//! Attention to many positions: keys and values packed for the kernel, and the way through them.
//!
//! The scores of a window's 1500 positions against each other never lie in memory: a few queries at a time
//! are scored, weighed and summed up within the cache (Dao et al. 2022).

mod kernel;
mod path;

use std::cell::RefCell;

use rten_simd::SimdOp;

use kernel::{Attend, Head};
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

    fn row(self, row: usize, from: usize, length: usize) -> &'a [f32] {
        &self.data[row * self.stride + from..][..length]
    }
}

/// Keys and values of some positions, for all heads of a layer.
///
/// In blocks of [`BLOCK`] positions, each `[heads][keys, values]`: keys as `[HEAD / elements][BLOCK]` words,
/// so that a vector holds one element (or pair) of many positions, values as `[BLOCK / elements][HEAD]`
/// words, so that it holds many elements of one position (or pair).
#[derive(Debug)]
pub(crate) struct KeysValues {
    shape: Shape,
    length: usize,
    words: Vec<u32>,
}

/// How a block is laid out.
#[derive(Debug, Clone, Copy)]
struct Shape {
    format: Format,
    heads: Heads,
}

/// A block of [`KeysValues`] to be filled.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    shape: Shape,
    words: &'a mut [u32],
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
        let Shape { format, heads } = self.shape;
        assert!(positions <= self.length);
        let mut keys = vec![0.0; heads.size * positions];
        let blocks = self.words.chunks_exact(self.shape.block_words());
        for (block, first) in blocks.zip((0..positions).step_by(BLOCK)) {
            let words = &block[head * self.shape.head_words()..][..self.shape.half_words()];
            let count = BLOCK.min(positions - first);
            for (element, keys) in keys.chunks_exact_mut(positions).enumerate() {
                let line = &words[element / self.shape.elements() * BLOCK..][..count];
                for (key, word) in keys[first..][..count].iter_mut().zip(line) {
                    *key = f32::from_bits(match format {
                        Format::F32 => *word,
                        Format::Bf16 if element % 2 == 0 => word << 16,
                        Format::Bf16 => word & 0xffff_0000,
                    });
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

impl Shape {
    fn elements(self) -> usize {
        match self.format {
            Format::F32 => 1,
            Format::Bf16 => 2,
        }
    }

    /// Words of a head's keys, and as many of its values, in a block.
    fn half_words(self) -> usize {
        BLOCK * HEAD / self.elements()
    }

    fn head_words(self) -> usize {
        2 * self.half_words()
    }

    fn block_words(self) -> usize {
        self.heads.count * self.head_words()
    }
}

impl Block<'_> {
    /// Takes in up to [`BLOCK`] positions. A row of all heads' keys starts at `keys` within a row, one of the
    /// values at `values`.
    pub(crate) fn fill(&mut self, rows: Rows<'_>, keys: usize, values: usize) {
        let Shape { format, heads } = self.shape;
        let half = self.shape.half_words();
        for (head, words) in self.words.chunks_exact_mut(2 * half).enumerate() {
            let (key_words, value_words) = words.split_at_mut(half);
            let key = |row| rows.row(row, keys + head * heads.size, heads.size);
            let value = |row| rows.row(row, values + head * heads.size, heads.size);
            match format {
                Format::F32 => {
                    for row in 0..rows.count {
                        for (element, key) in key(row).iter().enumerate() {
                            key_words[element * BLOCK + row] = key.to_bits();
                        }
                        for (word, value) in value_words[row * HEAD..].iter_mut().zip(value(row)) {
                            *word = value.to_bits();
                        }
                    }
                }
                Format::Bf16 => {
                    for row in 0..rows.count {
                        for (pair, key) in key(row).chunks(2).enumerate() {
                            key_words[pair * BLOCK + row] = pair_word(key[0], key.get(1).copied());
                        }
                    }
                    for row in (0..rows.count).step_by(2) {
                        let line = value_words[row / 2 * HEAD..].iter_mut().zip(value(row));
                        if row + 1 < rows.count {
                            for ((word, first), second) in line.zip(value(row + 1)) {
                                *word = pair_word(*first, Some(*second));
                            }
                        } else {
                            for (word, first) in line {
                                *word = pair_word(*first, None);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Two bfloat16, rounded to nearest even, the first in the lower half.
fn pair_word(first: f32, second: Option<f32>) -> u32 {
    let rounded = |x: f32| {
        let bits = x.to_bits();
        bits.wrapping_add(0x7fff + ((bits >> 16) & 1))
    };
    (rounded(first) >> 16) | (rounded(second.unwrap_or(0.0)) & 0xffff_0000)
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

//! How keys and values lie in memory, a block of positions at a time.

use crate::blocks::pair_word;
use crate::quantize::{ZERO_POINT, quantize_row};

/// Positions whose keys and values lie together.
pub const BLOCK: usize = 64;

/// The widest head; that of every published Whisper model. Narrower ones are filled up with zeros.
pub const HEAD: usize = 64;

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As they are.
    F32,
    /// bfloat16, in pairs of neighbouring elements (keys) or positions (values): half the memory, and twice
    /// the speed where the processor multiplies them by itself.
    Bf16,
    /// Bytes, with a scale for the key and one for the value of every position and head: a quarter of the memory.
    /// Only where [`is_supported`](super::is_supported) says so.
    Int8,
}

/// The heads of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// How many there are.
    pub count: usize,
    /// Elements of a head.
    pub size: usize,
}

impl Heads {
    /// Elements of all heads.
    pub fn width(self) -> usize {
        self.count * self.size
    }

    /// What scores are multiplied with.
    pub fn scale(self) -> f32 {
        (self.size as f32).sqrt().recip()
    }
}

/// Rows of a matrix, one below the other.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// From the first row's start on.
    pub data: &'a [f32],
    /// Elements from a row to the next.
    pub stride: usize,
    /// How many rows there are.
    pub count: usize,
}

impl<'a> Rows<'a> {
    /// Whole rows of `stride` elements.
    pub fn new(data: &'a [f32], stride: usize) -> Self {
        Self { data, stride, count: data.len() / stride }
    }

    fn row(self, row: usize, length: usize) -> &'a [f32] {
        &self.data[row * self.stride..][..length]
    }
}

/// How a block is laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) heads: Heads,
}

impl Shape {
    /// Elements in a word.
    fn elements(self) -> usize {
        match self.format {
            Format::F32 => 1,
            Format::Bf16 => 2,
            Format::Int8 => 4,
        }
    }

    /// Words of a head's keys, and as many of its values, in a block.
    pub(super) fn half_words(self) -> usize {
        BLOCK * HEAD / self.elements()
    }

    /// Words of a head's scales in a block: of each position's key, then of each position's value.
    fn scale_words(self) -> usize {
        match self.format {
            Format::F32 | Format::Bf16 => 0,
            Format::Int8 => 2 * BLOCK,
        }
    }

    pub(super) fn head_words(self) -> usize {
        2 * self.half_words() + self.scale_words()
    }

    pub(super) fn block_words(self) -> usize {
        self.heads.count * self.head_words()
    }

    /// An element of the key of a position, in a head's words of a block.
    pub(super) fn key(self, words: &[u32], element: usize, position: usize) -> f32 {
        let word = words[element / self.elements() * BLOCK + position];
        match self.format {
            Format::F32 => f32::from_bits(word),
            Format::Bf16 if element.is_multiple_of(2) => f32::from_bits(word << 16),
            Format::Bf16 => f32::from_bits(word & 0xffff_0000),
            Format::Int8 => {
                let scale = f32::from_bits(words[2 * self.half_words() + position]);
                (f32::from(word.to_le_bytes()[element % 4]) - f32::from(ZERO_POINT)) * scale
            }
        }
    }
}

/// A block of [`super::KeysValues`] to be filled.
#[derive(Debug)]
pub struct Block<'a> {
    pub(super) shape: Shape,
    pub(super) words: &'a mut [u32],
}

impl Block<'_> {
    /// Takes in up to [`BLOCK`] positions. A row of all heads' keys starts at `keys` within a row, one of the
    /// values at `values`.
    pub fn fill(&mut self, rows: Rows<'_>, keys: usize, values: usize) {
        let size = self.shape.heads.size;
        let fill = match self.shape.format {
            Format::F32 => fill_f32,
            Format::Bf16 => fill_bf16,
            Format::Int8 => fill_int8,
        };
        for (head, words) in self.words.chunks_exact_mut(self.shape.head_words()).enumerate() {
            let of_head = |from: usize| Rows { data: &rows.data[from + head * size..], ..rows };
            fill(words, size, of_head(keys), of_head(values));
        }
    }
}

fn fill_f32(words: &mut [u32], size: usize, keys: Rows<'_>, values: Rows<'_>) {
    let (key_words, value_words) = words.split_at_mut(BLOCK * HEAD);
    for row in 0..keys.count {
        for (element, key) in keys.row(row, size).iter().enumerate() {
            key_words[element * BLOCK + row] = key.to_bits();
        }
        for (word, value) in value_words[row * HEAD..].iter_mut().zip(values.row(row, size)) {
            *word = value.to_bits();
        }
    }
}

fn fill_bf16(words: &mut [u32], size: usize, keys: Rows<'_>, values: Rows<'_>) {
    let (key_words, value_words) = words.split_at_mut(BLOCK * HEAD / 2);
    for row in 0..keys.count {
        for (pair, key) in keys.row(row, size).chunks(2).enumerate() {
            key_words[pair * BLOCK + row] = pair_word(key[0], key.get(1).copied().unwrap_or(0.0));
        }
    }
    for row in (0..values.count).step_by(2) {
        let line = value_words[row / 2 * HEAD..].iter_mut().zip(values.row(row, size));
        if row + 1 < values.count {
            for ((word, first), second) in line.zip(values.row(row + 1, size)) {
                *word = pair_word(*first, *second);
            }
        } else {
            for (word, first) in line {
                *word = pair_word(*first, 0.0);
            }
        }
    }
}

/// Keys as bytes around [`ZERO_POINT`], values as signed ones: the processor multiplies one of each kind.
fn fill_int8(words: &mut [u32], size: usize, keys: Rows<'_>, values: Rows<'_>) {
    let (key_words, rest) = words.split_at_mut(BLOCK * HEAD / 4);
    let (value_words, scales) = rest.split_at_mut(BLOCK * HEAD / 4);
    let (key_scales, value_scales) = scales.split_at_mut(BLOCK);
    for row in 0..keys.count {
        let mut bytes = [ZERO_POINT; HEAD];
        key_scales[row] = quantize_row(keys.row(row, size), &mut bytes[..size]).to_bits();
        for (four, bytes) in bytes.chunks_exact(4).enumerate() {
            key_words[four * BLOCK + row] = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }
    for first in (0..values.count).step_by(4) {
        let mut bytes = [[ZERO_POINT; HEAD]; 4];
        for (row, bytes) in (first..values.count).zip(&mut bytes) {
            value_scales[row] = quantize_row(values.row(row, size), &mut bytes[..size]).to_bits();
        }
        let words = &mut value_words[first / 4 * HEAD..][..HEAD];
        for (element, word) in words.iter_mut().enumerate() {
            *word = u32::from_le_bytes(bytes.map(|row| row[element] ^ ZERO_POINT));
        }
    }
}

//! How the elements of a tensor are stored, and what they are as f32.
//!
//! The types whose names begin with `q` are ggml's, in version 2 of its quantisation: blocks of 32 elements
//! share a scale and, where the name ends in `_1`, a smallest value.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Elements of a quantised block.
const BLOCK: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F16,
    Bf16,
    I8,
    I16,
    I32,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
}

impl Element {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q8_0 => "q8_0",
        }
    }

    /// Bytes of so many elements; `None` if they are no whole number of blocks, or too many to count.
    pub(super) fn bytes(self, elements: usize) -> Option<usize> {
        let (block, bytes) = self.block();
        elements.is_multiple_of(block).then_some(elements / block)?.checked_mul(bytes)
    }

    /// Elements and bytes of what is stored together.
    pub(super) fn block(self) -> (usize, usize) {
        match self {
            Self::F32 | Self::I32 => (1, 4),
            Self::F16 | Self::Bf16 | Self::I16 => (1, 2),
            Self::I8 => (1, 1),
            Self::Q4_0 => (BLOCK, 2 + BLOCK / 2),
            Self::Q4_1 => (BLOCK, 4 + BLOCK / 2),
            Self::Q5_0 => (BLOCK, 2 + 4 + BLOCK / 2),
            Self::Q5_1 => (BLOCK, 4 + 4 + BLOCK / 2),
            Self::Q8_0 => (BLOCK, 2 + BLOCK),
        }
    }

    /// Appends the elements in `bytes`; false if this type is not one of weights.
    pub(super) fn append_to(self, out: &mut Vec<f32>, bytes: &[u8]) -> bool {
        match self {
            Self::F32 => {
                out.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            }
            Self::F16 => {
                // Copied to where halves are aligned, a few at a time, for the conversion by vectors.
                let mut halves = [f16::ZERO; 256];
                for bytes in bytes.chunks(2 * halves.len()) {
                    let halves = &mut halves[..bytes.len() / 2];
                    halves.iter_mut().zip(bytes.chunks_exact(2)).for_each(|(to, from)| *to = half(from));
                    let start = out.len();
                    out.resize(start + halves.len(), 0.0);
                    halves.convert_to_f32_slice(&mut out[start..]);
                }
            }
            // The upper half of a float32.
            Self::Bf16 => out.extend(bytes.chunks_exact(2).map(|b| f32::from_le_bytes([0, 0, b[0], b[1]]))),
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => {
                for block in bytes.chunks_exact(self.block().1) {
                    self.append_nibbles(out, block);
                }
            }
            Self::Q8_0 => {
                for block in bytes.chunks_exact(self.block().1) {
                    let scale = half(block).to_f32();
                    out.extend(block[2..].iter().map(|byte| f32::from(*byte as i8) * scale));
                }
            }
            Self::I8 | Self::I16 | Self::I32 => return false,
        }
        true
    }

    /// A block of 4 or 5 bits an element: scale, smallest value for the types `_1`, 32 fifth bits for the types
    /// `q5`, then 16 bytes with elements 0 … 15 in their lower halves and 16 … 31 in their upper ones. Without a
    /// smallest value, numbers are stored with half of their range added.
    fn append_nibbles(self, out: &mut Vec<f32>, block: &[u8]) {
        let has_fifth_bits = matches!(self, Self::Q5_0 | Self::Q5_1);
        let has_smallest = matches!(self, Self::Q4_1 | Self::Q5_1);
        let (header, nibbles) = block.split_at(block.len() - BLOCK / 2);
        let scale = half(header).to_f32();
        let (smallest, centre) = match (has_smallest, has_fifth_bits) {
            (true, _) => (half(&header[2..]).to_f32(), 0),
            (false, false) => (0.0, 8),
            (false, true) => (0.0, 16),
        };
        let fifth_bits = match header {
            [.., a, b, c, d] if has_fifth_bits => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => 0,
        };
        let lower = nibbles.iter().map(|byte| byte & 0xf);
        let upper = nibbles.iter().map(|byte| byte >> 4);
        out.extend(lower.chain(upper).enumerate().map(|(index, nibble)| {
            let fifth_bit = (fifth_bits >> index & 1) as i32;
            (i32::from(nibble) + 16 * fifth_bit - centre) as f32 * scale + smallest
        }));
    }
}

fn half(bytes: &[u8]) -> f16 {
    f16::from_le_bytes([bytes[0], bytes[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(kind: Element, bytes: &[u8]) -> Vec<f32> {
        let mut out = Vec::new();
        assert!(kind.append_to(&mut out, bytes));
        out
    }

    /// 1.5, then -0.25, as float16.
    const SCALE: [u8; 2] = [0x00, 0x3e];
    const SMALLEST: [u8; 2] = [0x00, 0xb4];
    /// Elements 0, 2 and 31 have their fifth bit set.
    const FIFTH_BITS: [u8; 4] = [0x05, 0x00, 0x00, 0x80];

    /// Element 0 is 15, element 1 is 1, element 16 is 2, element 31 is 9; the rest are 0.
    fn nibbles() -> [u8; 16] {
        let mut nibbles = [0; 16];
        (nibbles[0], nibbles[1], nibbles[15]) = (0x2f, 0x01, 0x90);
        nibbles
    }

    fn block(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn floats_of_all_widths() {
        assert_eq!(elements(Element::F32, &(-0.3f32).to_le_bytes()), [-0.3]);
        assert_eq!(elements(Element::F16, &block(&[&SCALE, &SMALLEST])), [1.5, -0.25]);
        assert_eq!(elements(Element::Bf16, &[0x20, 0xc1]), [-10.0]);
    }

    #[test]
    fn blocks_of_four_bits() {
        let centred = elements(Element::Q4_0, &block(&[&SCALE, &nibbles()]));
        assert_eq!(centred[..3], [10.5, -10.5, -12.0]);
        assert_eq!((centred[16], centred[31], centred.len()), (-9.0, 1.5, 32));
        let from_smallest = elements(Element::Q4_1, &block(&[&SCALE, &SMALLEST, &nibbles()]));
        assert_eq!(from_smallest[..3], [22.25, 1.25, -0.25]);
        assert_eq!((from_smallest[16], from_smallest[31]), (2.75, 13.25));
    }

    #[test]
    fn blocks_of_five_bits() {
        let centred = elements(Element::Q5_0, &block(&[&SCALE, &FIFTH_BITS, &nibbles()]));
        assert_eq!(centred[..4], [22.5, -22.5, 0.0, -24.0]);
        assert_eq!((centred[16], centred[31], centred.len()), (-21.0, 13.5, 32));
        let from_smallest = elements(Element::Q5_1, &block(&[&SCALE, &SMALLEST, &FIFTH_BITS, &nibbles()]));
        assert_eq!(from_smallest[..4], [46.25, 1.25, 23.75, -0.25]);
        assert_eq!((from_smallest[16], from_smallest[31]), (2.75, 37.25));
    }

    #[test]
    fn blocks_of_eight_bits() {
        let mut bytes = block(&[&SCALE, &[0; 32]]);
        (bytes[2], bytes[33]) = (127, 0x80);
        let found = elements(Element::Q8_0, &block(&[&bytes, &bytes]));
        assert_eq!((found[0], found[1], found[31], found[32], found.len()), (190.5, 0.0, -192.0, 190.5, 64));
    }

    #[test]
    fn only_whole_blocks_have_a_size() {
        assert_eq!(Element::Q5_1.bytes(64), Some(48));
        assert_eq!(Element::Q5_1.bytes(33), None);
        assert_eq!(Element::F16.bytes(3), Some(6));
        assert_eq!(Element::F32.bytes(usize::MAX), None);
    }

    #[test]
    fn whole_numbers_are_no_weights() {
        assert!(!Element::I8.append_to(&mut Vec::new(), &[1]));
    }
}

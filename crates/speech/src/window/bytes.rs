//! A window as bytes, for whoever keeps it or transcribes it elsewhere.
//!
//! `VWIN`, a version, the length of the header (`u32`), the header as JSON, then the samples as `f32`; all numbers
//! little-endian. Samples are kept bit by bit: a window that went through bytes has the same transcript.

use serde::{Deserialize, Serialize};

use super::{Piece, Window};
use crate::{SAMPLE_RATE, Voice, WINDOW_SECONDS};

const MAGIC: [u8; 4] = *b"VWIN";
const VERSION: u8 = 1;
const HEADER_AT: usize = MAGIC.len() + 1 + size_of::<u32>();
const SAMPLE_BYTES: usize = size_of::<f32>();

/// Why bytes are no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no window: {0}")]
pub struct WindowBytesError(String);

#[derive(Serialize, Deserialize)]
struct Header {
    index: usize,
    pieces: Vec<Piece>,
    voice: Voice,
}

impl Window {
    /// The window as bytes; 64 kB a second and little more.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header { index: self.index, pieces: self.pieces.clone(), voice: self.voice.clone() };
        let header = serde_json::to_vec(&header).expect("numbers in lists are always JSON");
        let mut bytes = Vec::with_capacity(HEADER_AT + header.len() + self.samples.len() * SAMPLE_BYTES);
        bytes.extend(MAGIC);
        bytes.push(VERSION);
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header);
        bytes.extend(self.samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    /// The window that [`to_bytes`](Self::to_bytes) was called on.
    ///
    /// # Errors
    /// If the bytes are of another version or damaged: a window with places out of order, or longer than
    /// [`WINDOW_SECONDS`], would be transcribed to wrong times.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WindowBytesError> {
        let wrong = |reason: &str| WindowBytesError(reason.to_owned());
        let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| wrong("they do not begin with VWIN"))?;
        let (version, rest) = rest.split_first().ok_or_else(|| wrong("they end in the header"))?;
        if *version != VERSION {
            return Err(WindowBytesError(format!(
                "they are of version {version}, and {VERSION} is read here"
            )));
        }
        let (length, rest) = rest.split_first_chunk().ok_or_else(|| wrong("they end in the header"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (header, samples) =
            rest.split_at_checked(length).ok_or_else(|| wrong("they end in the header"))?;
        let Header { index, pieces, voice } =
            serde_json::from_slice(header).map_err(|error| WindowBytesError(error.to_string()))?;
        let (samples, odd) = samples.as_chunks::<SAMPLE_BYTES>();
        if !odd.is_empty() || samples.len() > WINDOW_SECONDS * SAMPLE_RATE {
            return Err(wrong("they hold no whole number of samples, or more than a window may have"));
        }
        let samples: Vec<f32> = samples.iter().map(|sample| f32::from_le_bytes(*sample)).collect();
        if samples.iter().any(|sample| !sample.is_finite()) {
            return Err(wrong("a sample is not a number"));
        }
        if !are_in_order(&pieces, samples.len() as u64) || !voice.is_in_order() {
            return Err(wrong("its pieces or frames are not in order"));
        }
        Ok(Self { index, samples, pieces, voice })
    }
}

/// The first at offset 0, every other behind the one before, in the window and in the original.
fn are_in_order(pieces: &[Piece], samples: u64) -> bool {
    let follows = |pair: &[Piece]| {
        let [before, next] = pair else { return false };
        before.offset < next.offset
            && next.offset <= samples
            && before.origin.checked_add(next.offset - before.offset).is_some_and(|end| end <= next.origin)
    };
    pieces.first().is_some_and(|first| first.offset == 0) && pieces.windows(2).all(follows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let pieces = vec![Piece { offset: 0, origin: 16_000 }, Piece { offset: 3, origin: 320_000 }];
        let mut voice = Voice::default();
        voice.push(0, 0.1);
        voice.push(2, 0.875_432_1);
        let samples = vec![0.0, -1.0, 0.1, f32::MIN_POSITIVE, 1.5e-39];
        Window { index: 7, samples, pieces, voice }
    }

    #[test]
    fn a_window_comes_back_bit_by_bit() {
        let window = window();
        let again = Window::from_bytes(&window.to_bytes()).unwrap();
        assert_eq!(again, window);
        let bits = |window: &Window| window.samples.iter().map(|sample| sample.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&again), bits(&window));
    }

    #[test]
    fn what_was_cut_off_or_changed_is_refused_or_a_window_but_never_panics() {
        let bytes = window().to_bytes();
        for length in 0..bytes.len() {
            let cut = Window::from_bytes(&bytes[..length]);
            assert!(cut.is_err() || (bytes.len() - length).is_multiple_of(4), "{length}");
        }
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let _ = Window::from_bytes(&changed);
            }
        }
    }

    #[test]
    fn pieces_that_overlap_or_run_back_are_refused() {
        let piece = |offset, origin| Piece { offset, origin };
        for pieces in [
            vec![],
            vec![piece(1, 0)],
            vec![piece(0, 0), piece(3, 2)],
            vec![piece(0, 9), piece(3, 2)],
            vec![piece(0, 0), piece(0, 7)],
            vec![piece(0, 0), piece(6, 70)],
            vec![piece(0, u64::MAX), piece(3, u64::MAX)],
        ] {
            let bytes = Window { pieces, ..window() }.to_bytes();
            let error = Window::from_bytes(&bytes).unwrap_err().to_string();
            assert!(error.contains("not in order"), "{error}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = window().to_bytes();
        bytes[MAGIC.len()] = 2;
        let error = Window::from_bytes(&bytes).unwrap_err().to_string();
        assert_eq!(error, "these bytes are no window: they are of version 2, and 1 is read here");
    }
}

//! Serialises a window as bytes, to store it or to transcribe it on another machine.
//!
//! The bytes are the tag `VWIN`, a version (one byte), the length of the header in bytes (`u32`), the header as JSON,
//! and the samples as `f32`. All numbers are little-endian. Samples keep every bit, so that a window has the same
//! transcript after it was serialised.

use serde::{Deserialize, Serialize};

use super::{Piece, Window};
use crate::{SAMPLE_RATE, Voice, WINDOW_SECONDS};

const MAGIC: [u8; 4] = *b"VWIN";
const VERSION: u8 = 1;
const HEADER_OFFSET: usize = MAGIC.len() + 1 + size_of::<u32>();
const SAMPLE_BYTES: usize = size_of::<f32>();

/// The reason why bytes cannot be read as a window.
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
    /// The window as bytes: 64 kB per second of audio, and a short header.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header { index: self.index, pieces: self.pieces.clone(), voice: self.voice.clone() };
        let header = serde_json::to_vec(&header).expect("numbers in lists are always JSON");
        let mut bytes = Vec::with_capacity(HEADER_OFFSET + header.len() + self.samples.len() * SAMPLE_BYTES);
        bytes.extend(MAGIC);
        bytes.push(VERSION);
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header);
        bytes.extend(self.samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    /// Reads the bytes that [`to_bytes`](Self::to_bytes) returned.
    ///
    /// # Errors
    /// If the bytes are damaged or of another version. This includes windows with pieces out of order or longer than
    /// [`WINDOW_SECONDS`], whose transcripts would have wrong times.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WindowBytesError> {
        let error = |reason: &str| WindowBytesError(reason.to_owned());
        let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| error("they do not begin with VWIN"))?;
        let (version, rest) = rest.split_first().ok_or_else(|| error("they end in the header"))?;
        if *version != VERSION {
            return Err(WindowBytesError(format!(
                "they are of version {version}, and {VERSION} is read here"
            )));
        }
        let (length, rest) = rest.split_first_chunk().ok_or_else(|| error("they end in the header"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (header, samples) =
            rest.split_at_checked(length).ok_or_else(|| error("they end in the header"))?;
        let Header { index, pieces, voice } =
            serde_json::from_slice(header).map_err(|error| WindowBytesError(error.to_string()))?;
        let (samples, rest) = samples.as_chunks::<SAMPLE_BYTES>();
        if !rest.is_empty() || samples.len() > WINDOW_SECONDS * SAMPLE_RATE {
            return Err(error("they hold no whole number of samples, or more than a window may have"));
        }
        let samples: Vec<f32> = samples.iter().map(|sample| f32::from_le_bytes(*sample)).collect();
        if samples.iter().any(|sample| !sample.is_finite()) {
            return Err(error("a sample is not a number"));
        }
        if !are_in_order(&pieces, samples.len() as u64) || !voice.is_in_order() {
            return Err(error("its pieces or frames are not in order"));
        }
        Ok(Self { index, samples, pieces, voice })
    }
}

/// Whether the first piece has offset 0 and every other one follows the end of the one before, both in the window and
/// in the original.
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
    fn truncated_or_changed_bytes_never_panic() {
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
    fn another_version_is_refused_and_named() {
        let mut bytes = window().to_bytes();
        bytes[MAGIC.len()] = 2;
        let error = Window::from_bytes(&bytes).unwrap_err().to_string();
        assert_eq!(error, "these bytes are no window: they are of version 2, and 1 is read here");
    }
}

//! How exactly to compute.

use verbatim_kernels::attention::{Format, is_supported};

use super::layers::Weight;
use super::mel::{FRAMES, HOP, STATE_FRAMES};

/// How weights are kept and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ComputeType {
    /// The fastest that keeps the words: [`Self::Int8`].
    #[default]
    Auto,
    /// Weights and activations of the matrix products as bytes; those of the convolutions, where the processor multiplies
    /// it by itself, and keys and values of the encoder's attention as bfloat16; keys and values that the decoder looks at
    /// as bytes where the processor multiplies bytes; everything else in `f32`.
    Int8,
    /// As the reference computes: all in `f32`, and every window filled up with silence to 30 s.
    F32,
}

/// A [`ComputeType`] as the layers see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Precision {
    pub(crate) weight: Weight,
    pub(crate) convolution: Convolution,
    /// Of the encoder's attention.
    pub(crate) attention: Format,
    /// Of the decoder's attention to the encoder's states.
    pub(crate) memory: Format,
    pub(crate) padding: Padding,
}

/// How the encoder's convolutions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Convolution {
    F32,
    /// Weights and activations in bfloat16 where the processor multiplies it by itself, else as [`Self::F32`].
    Bf16,
}

/// How much silence behind a window's sound is encoded with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// As much as makes 30 s: the model was trained so.
    Full,
    /// [`Self::BEHIND`], and as much as makes [`Self::LEAST`].
    Short,
}

impl Padding {
    /// A second. With none at all the model gets more words wrong; with five as many as with what makes 30 s.
    const BEHIND: usize = 100;

    /// In less than 15 s the model gets more words wrong of languages that it knows little.
    const LEAST: usize = 1500;

    /// Frames of the spectrogram of so many samples: never fewer than those of the sound, up to 30 s, in which words are
    /// looked for.
    pub(crate) fn frames(self, samples: usize) -> usize {
        match self {
            Self::Full => FRAMES,
            Self::Short => {
                let frames = (samples / HOP + Self::BEHIND).max(Self::LEAST);
                frames.next_multiple_of(STATE_FRAMES).min(FRAMES)
            }
        }
    }
}

impl From<ComputeType> for Precision {
    fn from(compute: ComputeType) -> Self {
        match compute {
            ComputeType::Auto | ComputeType::Int8 => {
                let memory = if is_supported(Format::Int8) { Format::Int8 } else { Format::Bf16 };
                Self {
                    weight: Weight::Int8,
                    convolution: Convolution::Bf16,
                    attention: Format::Bf16,
                    memory,
                    padding: Padding::Short,
                }
            }
            ComputeType::F32 => Self {
                weight: Weight::F32,
                convolution: Convolution::F32,
                attention: Format::F32,
                memory: Format::F32,
                padding: Padding::Full,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_encoded_as_far_as_it_counts() {
        const SECOND: usize = 100 * HOP;
        let seconds = |padding: Padding, samples: usize| padding.frames(samples) as f64 / 100.0;
        assert_eq!([0, SECOND, 30 * SECOND].map(|samples| seconds(Padding::Full, samples)), [30.0; 3]);
        let cases = [(0, 15.0), (14, 15.0), (20, 21.0), (29, 30.0), (40, 30.0)];
        for (samples, expected) in cases {
            assert_eq!(seconds(Padding::Short, samples * SECOND), expected);
        }
        assert!(Padding::Short.frames(20 * SECOND + HOP).is_multiple_of(STATE_FRAMES));
    }
}

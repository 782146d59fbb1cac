//! How exactly to compute.

use verbatim_kernels::attention::{Format, is_supported};

use super::layers::Weight;

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
    /// All in `f32`.
    F32,
}

/// A [`ComputeType`] as the layers see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Precision {
    pub(crate) weight: Weight,
    /// Of the encoder's convolutions.
    pub(crate) convolution: Weight,
    /// Of the encoder's attention.
    pub(crate) attention: Format,
    /// Of the decoder's attention to the encoder's states.
    pub(crate) memory: Format,
}

impl From<ComputeType> for Precision {
    fn from(compute: ComputeType) -> Self {
        match compute {
            ComputeType::Auto | ComputeType::Int8 => {
                let memory = if is_supported(Format::Int8) { Format::Int8 } else { Format::Bf16 };
                Self { weight: Weight::Int8, convolution: Weight::Bf16, attention: Format::Bf16, memory }
            }
            ComputeType::F32 => Self {
                weight: Weight::F32,
                convolution: Weight::F32,
                attention: Format::F32,
                memory: Format::F32,
            },
        }
    }
}

//! How exactly to compute.

use crate::attention::Format;
use crate::linear::Weight;

/// How weights are kept and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ComputeType {
    /// The fastest that keeps the words: [`Self::Int8`].
    #[default]
    Auto,
    /// Weights and activations of the matrix products as bytes, keys and values of attention to audio as
    /// bfloat16; everything else in `f32`.
    Int8,
    /// All in `f32`.
    F32,
}

/// A [`ComputeType`] as the layers see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Precision {
    pub(crate) weight: Weight,
    pub(crate) attention: Format,
}

impl From<ComputeType> for Precision {
    fn from(compute: ComputeType) -> Self {
        match compute {
            ComputeType::Auto | ComputeType::Int8 => Self { weight: Weight::Int8, attention: Format::Bf16 },
            ComputeType::F32 => Self { weight: Weight::F32, attention: Format::F32 },
        }
    }
}

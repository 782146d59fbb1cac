//! Layers of a model's tensors.

use verbatim_kernels::linear::Int8Weights;
use verbatim_kernels::{LayerNorm, Linear};

use crate::Error;
use crate::weights::Weights;

/// PyTorch's default, with which Whisper was trained.
const EPSILON: f32 = 1e-5;

/// How weights are kept and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    F32,
    /// Bytes with a scale for every output; activations are turned to bytes row by row.
    Int8,
}

/// Reads `{name}/weight` `[outputs, inputs]` and `{name}/bias` `[outputs]`, if there is one.
pub(crate) fn linear(
    weights: &Weights,
    kind: Weight,
    name: &str,
    inputs: usize,
    outputs: usize,
) -> Result<Linear, Error> {
    let weight = format!("{name}/weight");
    let bias = format!("{name}/bias");
    let bias = weights.contains(&bias).then(|| weights.tensor(&bias, &[outputs])).transpose()?;
    match kind {
        Weight::F32 => {
            let weight = weights.tensor(&weight, &[outputs, inputs])?;
            Ok(Linear::new(&weight, bias, inputs, outputs))
        }
        Weight::Int8 => {
            let mut quantized = Int8Weights::new(inputs, outputs);
            weights.read(&weight, &[outputs, inputs], |rows| quantized.extend(rows))?;
            Ok(Linear::int8(quantized, bias))
        }
    }
}

/// Reads `{name}/gamma` and `{name}/beta`, both `[width]`.
pub(crate) fn layer_norm(weights: &Weights, name: &str, width: usize) -> Result<LayerNorm, Error> {
    let tensor = |part: &str| weights.tensor(&format!("{name}/{part}"), &[width]);
    Ok(LayerNorm::new(tensor("gamma")?, tensor("beta")?, EPSILON))
}

//! Element-wise maths over rows: layer norm, GELU, softmax.

use rayon::prelude::*;
use rten_simd::{SimdOp, SimdUnaryOp};
use rten_vecmath::{Gelu, MaxNum, Normalize, NormalizeOptions, Softmax, Sum, SumExpSub, SumSquareSub};

use crate::Error;
use crate::weights::Weights;

/// Rows a thread takes at a time: enough work to outweigh the hand-over.
const ROWS_PER_TASK: usize = 64;

/// PyTorch's default, with which Whisper was trained.
const EPSILON: f32 = 1e-5;

/// Layer normalisation over the last dimension.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl LayerNorm {
    pub(crate) fn load(weights: &Weights, name: &str, width: usize) -> Result<Self, Error> {
        Ok(Self {
            gamma: weights.tensor(&format!("{name}/gamma"), &[width])?,
            beta: weights.tensor(&format!("{name}/beta"), &[width])?,
        })
    }

    /// `x` is `[rows, width]`.
    pub(crate) fn apply(&self, x: &[f32]) -> Vec<f32> {
        let width = self.gamma.len();
        let mut y = x.to_vec();
        y.par_chunks_mut(width * ROWS_PER_TASK).for_each(|rows| {
            for row in rows.chunks_exact_mut(width) {
                let mean = Sum::new(row).dispatch() / width as f32;
                let variance = SumSquareSub::new(row, mean).dispatch() / width as f32;
                let options = NormalizeOptions {
                    pre_scale_bias: mean,
                    scale: (variance + EPSILON).sqrt().recip(),
                    element_scale: Some(&self.gamma),
                    element_bias: Some(&self.beta),
                    ..Default::default()
                };
                Normalize::new_mut(row, options).dispatch();
            }
        });
        y
    }
}

/// GELU by the error function, in place.
pub(crate) fn gelu(x: &mut [f32]) {
    x.par_chunks_mut(1 << 15).for_each(|chunk| Gelu {}.map_mut(chunk));
}

/// Softmax over each row of `width`, in place.
pub(crate) fn softmax_rows(x: &mut [f32], width: usize) {
    for row in x.chunks_exact_mut(width) {
        Softmax::new_mut(row).dispatch();
    }
}

/// `x += y`.
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

pub(crate) fn max(x: &[f32]) -> f32 {
    MaxNum::new(x).dispatch()
}

/// `ln Σ exp(x)`; minus infinity where every element is.
pub(crate) fn log_sum_exp(x: &[f32]) -> f32 {
    let max = max(x);
    if max == f32::NEG_INFINITY {
        return max;
    }
    max + SumExpSub::new(x, max).dispatch().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_sum_exp_ignores_what_is_ruled_out() {
        let mut x = vec![f32::NEG_INFINITY; 100];
        assert_eq!(log_sum_exp(&x), f32::NEG_INFINITY);
        x[3] = 2.0;
        x[77] = 2.0;
        assert!((log_sum_exp(&x) - (2.0 + 2f32.ln())).abs() < 1e-5);
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + 2f32.ln())).abs() < 1e-3);
    }

    #[test]
    fn layer_norm_gives_zero_mean_and_unit_variance() {
        let norm = LayerNorm { gamma: vec![1.0; 37], beta: vec![0.0; 37] };
        let x: Vec<f32> = (0..37 * 3).map(|i| ((i * 7919) % 101) as f32).collect();
        for row in norm.apply(&x).chunks_exact(37) {
            let mean = row.iter().sum::<f32>() / 37.0;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 37.0;
            assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-3);
        }
    }
}

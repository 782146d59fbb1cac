//! Layer normalisation (Ba, Kiros and Hinton 2016).

use rten_simd::{Isa, SimdOp};
use rten_vecmath::{Normalize, NormalizeOptions, Sum, SumSquareSub};

/// Layer normalisation over the last dimension: to a mean of 0 and a variance of 1, then scaled and shifted element by
/// element.
#[derive(Debug)]
pub struct LayerNorm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
}

impl LayerNorm {
    /// Scales by `gamma` and shifts by `beta`, both `[width]`; `epsilon` is added to the variance.
    ///
    /// # Panics
    /// If they differ in length.
    pub fn new(gamma: Vec<f32>, beta: Vec<f32>, epsilon: f32) -> Self {
        assert_eq!(gamma.len(), beta.len());
        Self { gamma, beta, epsilon }
    }

    /// Elements of a row.
    pub fn width(&self) -> usize {
        self.gamma.len()
    }

    /// `x` is `[rows, width]`.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        self.apply_in_place(&mut y);
        y
    }

    /// `x` is `[rows, width]`.
    pub fn apply_in_place(&self, x: &mut [f32]) {
        for row in x.chunks_exact_mut(self.width()) {
            NormalizeRow { norm: self, row }.dispatch();
        }
    }

    /// One row, within an operation of the caller's.
    #[inline(always)]
    pub fn apply_to_row<I: Isa>(&self, isa: I, row: &mut [f32]) {
        let width = self.width() as f32;
        let mean = Sum::new(row).eval(isa) / width;
        let variance = SumSquareSub::new(row, mean).eval(isa) / width;
        let options = NormalizeOptions {
            pre_scale_bias: mean,
            scale: (variance + self.epsilon).sqrt().recip(),
            element_scale: Some(&self.gamma),
            element_bias: Some(&self.beta),
            ..Default::default()
        };
        Normalize::new_mut(row, options).eval(isa);
    }
}

struct NormalizeRow<'a> {
    norm: &'a LayerNorm,
    row: &'a mut [f32],
}

impl SimdOp for NormalizeRow<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        self.norm.apply_to_row(isa, self.row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_norm_gives_zero_mean_and_unit_variance() {
        let norm = LayerNorm::new(vec![1.0; 37], vec![0.0; 37], 1e-5);
        let x: Vec<f32> = (0..37 * 3).map(|i| ((i * 7919) % 101) as f32).collect();
        for row in norm.apply(&x).chunks_exact(37) {
            let mean = row.iter().sum::<f32>() / 37.0;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 37.0;
            assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn every_instruction_set_scales_and_shifts() {
        let width = 37;
        let numbers = |factor: usize| (0..width).map(move |i| ((i * factor) % 23) as f32 / 7.0 - 1.0);
        let norm = LayerNorm::new(numbers(5).collect(), numbers(3).collect(), 1e-5);
        let x: Vec<f32> = numbers(11).collect();
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / width as f64;
        let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / width as f64;
        let expected = x.iter().zip(norm.gamma.iter().zip(&norm.beta)).map(|(x, (gamma, beta))| {
            (f64::from(*x) - mean) / (variance + 1e-5).sqrt() * f64::from(*gamma) + f64::from(*beta)
        });
        let expected: Vec<f64> = expected.collect();
        let check = |run: &dyn Fn(NormalizeRow<'_>)| {
            let mut y = x.clone();
            run(NormalizeRow { norm: &norm, row: &mut y });
            assert!(y.iter().zip(&expected).all(|(y, expected)| (f64::from(*y) - expected).abs() < 1e-5));
        };
        check(&|op| op.dispatch());
        check(&|op| op.eval(rten_simd::isa::GenericIsa::new()));
        #[cfg(target_arch = "x86_64")]
        match rten_simd::isa::Avx2Isa::new() {
            Some(isa) => check(&|op| op.eval(isa)),
            None => verbatim_testing::skip("the processor has no AVX2"),
        }
    }
}

//! Matrix products on the calling thread.
//!
//! For networks that run beside others and whose products are small: handing them to a pool of threads would take longer
//! than the products themselves.

use std::array;
use std::fmt;

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

/// Weights for many rows at once.
pub type Batched = Panels<32, 4, 2>;

/// Weights for one row at a time.
pub type Single = Panels<128, 1, 8>;

/// `Wᵀ`, cut into panels of `WIDTH` outputs, each of which is `[inputs, WIDTH]`.
///
/// `ROWS` rows and `VECTORS` vectors of outputs are added up in registers at a time; `WIDTH` is a multiple of so
/// many lanes of the widest vectors, 16. Sixteen registers hold what `Batched` and `Single` ask for.
pub struct Panels<const WIDTH: usize, const ROWS: usize, const VECTORS: usize> {
    weights: Vec<f32>,
    inputs: usize,
    stride: usize,
}

impl<const WIDTH: usize, const ROWS: usize, const VECTORS: usize> Panels<WIDTH, ROWS, VECTORS> {
    /// `weight` is `[outputs, inputs]`, row-major.
    pub fn new(weight: &[f32], inputs: usize) -> Self {
        let outputs = weight.len() / inputs;
        let stride = outputs.next_multiple_of(WIDTH);
        let mut weights = vec![0.0; inputs * stride];
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            let panel = &mut weights[output / WIDTH * WIDTH * inputs..];
            for (input, weight) in row.iter().enumerate() {
                panel[input * WIDTH + output % WIDTH] = *weight;
            }
        }
        Self { weights, inputs, stride }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The length of a row of results: the outputs, and zeros up to a whole panel.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// `y += x Wᵀ`, with `x` `[rows, inputs]` and `y` `[rows, stride]`.
    ///
    /// A row's result does not depend on the other rows: every element is added up in the same order.
    pub fn multiply_add(&self, x: &[f32], y: &mut [f32]) {
        debug_assert_eq!(x.len() / self.inputs * self.stride, y.len());
        MultiplyAdd { panels: self, x, y }.dispatch();
    }

    /// `TILE_ROWS` rows of the product, for one panel: `y` starts at the panel's first column.
    #[inline(always)]
    fn tile<I: Isa, const TILE_ROWS: usize>(&self, isa: I, panel: &[f32], x: &[f32], y: &mut [f32]) {
        let ops = isa.f32();
        let lanes = ops.len();
        let rows: [&[f32]; TILE_ROWS] = array::from_fn(|row| &x[row * self.inputs..][..self.inputs]);
        for column in (0..WIDTH).step_by(VECTORS * lanes) {
            let mut sums: [[I::F32; VECTORS]; TILE_ROWS] =
                array::from_fn(|row| ops.load_many(&y[row * self.stride + column..]));
            for (input, weights) in panel.chunks_exact(WIDTH).enumerate() {
                let weights: [I::F32; VECTORS] = ops.load_many(&weights[column..]);
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let value = ops.splat(row[input]);
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = ops.mul_add(weight, value, *sum);
                    }
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                for (vector, sum) in sums.into_iter().enumerate() {
                    ops.store(sum, &mut y[row * self.stride + column + vector * lanes..]);
                }
            }
        }
    }
}

impl<const WIDTH: usize, const ROWS: usize, const VECTORS: usize> fmt::Debug
    for Panels<WIDTH, ROWS, VECTORS>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Panels({} inputs, {} outputs padded)", self.inputs, self.stride)
    }
}

struct MultiplyAdd<'a, const WIDTH: usize, const ROWS: usize, const VECTORS: usize> {
    panels: &'a Panels<WIDTH, ROWS, VECTORS>,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl<const WIDTH: usize, const ROWS: usize, const VECTORS: usize> SimdOp
    for MultiplyAdd<'_, WIDTH, ROWS, VECTORS>
{
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Self { panels, x, y } = self;
        let (inputs, stride) = (panels.inputs, panels.stride);
        // A panel stays in the cache while all the rows go by.
        for (index, panel) in panels.weights.chunks_exact(inputs * WIDTH).enumerate() {
            let tiles = x.chunks(ROWS * inputs).zip(y.chunks_mut(ROWS * stride));
            for (x, y) in tiles {
                if x.len() == ROWS * inputs {
                    panels.tile::<I, ROWS>(isa, panel, x, &mut y[index * WIDTH..]);
                } else {
                    for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(stride)) {
                        panels.tile::<I, 1>(isa, panel, x, &mut y[index * WIDTH..]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    fn check<const WIDTH: usize, const ROWS: usize, const VECTORS: usize>(
        rows: usize,
        inputs: usize,
        outputs: usize,
    ) {
        let (x, weight) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2));
        let panels = Panels::<WIDTH, ROWS, VECTORS>::new(&weight, inputs);
        let before = numbers(rows * panels.stride(), 3);
        let run = |run: &dyn Fn(MultiplyAdd<'_, WIDTH, ROWS, VECTORS>)| {
            let mut y = before.clone();
            run(MultiplyAdd { panels: &panels, x: &x, y: &mut y });
            for (row, (y, before)) in
                y.chunks_exact(panels.stride()).zip(before.chunks_exact(panels.stride())).enumerate()
            {
                for (output, (y, before)) in y.iter().zip(before).enumerate() {
                    let product: f64 = (output < outputs)
                        .then(|| weight[output * inputs..][..inputs].iter().zip(&x[row * inputs..]))
                        .into_iter()
                        .flatten()
                        .map(|(w, x)| f64::from(*w) * f64::from(*x))
                        .sum();
                    let expected = product + f64::from(*before);
                    assert!((f64::from(*y) - expected).abs() < 1e-4, "{row}, {output}: {y} for {expected}");
                }
            }
        };
        run(&|op| op.dispatch());
        run(&|op| op.eval(rten_simd::isa::GenericIsa::new()));
        #[cfg(target_arch = "x86_64")]
        match rten_simd::isa::Avx2Isa::new() {
            Some(isa) => run(&|op| op.eval(isa)),
            None => verbatim_testing::skip("the processor has no AVX2"),
        }
    }

    #[test]
    fn products_are_those_of_the_definition_for_any_number_of_rows() {
        // Miri is too slow for many rows and inputs: a tile, one row more, and two panels of outputs it can do.
        let (rows, inputs): (&[_], _) =
            if cfg!(miri) { (&[0, 5], (3, 1)) } else { (&[0, 1, 3, 4, 9], (37, 5)) };
        for &rows in rows {
            check::<32, 4, 2>(rows, inputs.0, 33);
            check::<128, 1, 8>(rows, inputs.1, 256);
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others() {
        // As many as in the model, but in Miri, which would take minutes.
        let inputs = if cfg!(miri) { 5 } else { 129 };
        let (x, panels) = (numbers(7 * inputs, 1), Batched::new(&numbers(64 * inputs, 2), inputs));
        let mut together = vec![0.0; 7 * panels.stride()];
        panels.multiply_add(&x, &mut together);
        for (x, expected) in x.chunks_exact(inputs).zip(together.chunks_exact(panels.stride())) {
            let mut y = vec![0.0; panels.stride()];
            panels.multiply_add(x, &mut y);
            assert_eq!(y, expected);
        }
    }
}

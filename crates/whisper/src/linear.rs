//! Matrix products: the one place that knows how weights are kept and which kernel multiplies them.

use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::{Matrix, MatrixLayout, NdTensorView};

use crate::Error;
use crate::weights::Weights;

thread_local! {
    // The executor may be shared but not sent between threads; it is only a choice of kernel, so each
    // thread makes its own.
    static GEMM: GemmExecutor<f32> = GemmExecutor::new();
}

/// A fully connected layer, `y = x Wᵀ + b`.
pub(crate) struct Linear {
    /// `Wᵀ`, `[inputs, outputs]`, in the kernel's own order.
    weight: PackedBMatrix<f32>,
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    /// Reads `{name}/weight` `[outputs, inputs]` and `{name}/bias` `[outputs]`, if there is one.
    pub(crate) fn load(weights: &Weights, name: &str, inputs: usize, outputs: usize) -> Result<Self, Error> {
        let weight = weights.tensor(&format!("{name}/weight"), &[outputs, inputs])?;
        let bias_name = format!("{name}/bias");
        let bias =
            weights.contains(&bias_name).then(|| weights.tensor(&bias_name, &[outputs])).transpose()?;
        Ok(Self::new(&weight, bias, inputs, outputs))
    }

    /// `weight` is `[outputs, inputs]`, row-major.
    pub(crate) fn new(weight: &[f32], bias: Option<Vec<f32>>, inputs: usize, outputs: usize) -> Self {
        let weight = NdTensorView::from_data([outputs, inputs], weight);
        let weight = GEMM.with(|gemm| gemm.prepack_b(weight.transposed()));
        Self { weight, bias, inputs, outputs }
    }

    /// `x` is `[rows, inputs]`; gives `[rows, outputs]`.
    ///
    /// A row's result does not depend on the other rows: with packed weights the kernel adds up every
    /// element in the same order, however many rows there are.
    pub(crate) fn apply(&self, x: &[f32]) -> Vec<f32> {
        debug_assert_eq!(x.len() % self.inputs, 0);
        self.apply_matrix(NdTensorView::from_data([x.len() / self.inputs, self.inputs], x))
    }

    /// As [`Self::apply`], for rows that may overlap or lie apart.
    pub(crate) fn apply_matrix(&self, x: Matrix<'_>) -> Vec<f32> {
        let mut y = vec![0.0; x.rows() * self.outputs];
        let bias = self.bias.as_deref().map(BiasVector::Row);
        product(&mut y, x, GemmInputB::Packed(&self.weight), GemmOptions { bias, ..Default::default() });
        y
    }
}

impl std::fmt::Debug for Linear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Linear({} -> {})", self.inputs, self.outputs)
    }
}

/// `out = a b`; `out` is `[a.rows, b.cols]`, row-major.
pub(crate) fn multiply(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    product(out, a, GemmInputB::Unpacked(b), GemmOptions::default());
}

/// A right-hand side that several products share.
pub(crate) fn pack(b: Matrix<'_>) -> PackedBMatrix<f32> {
    GEMM.with(|gemm| gemm.prepack_b(b))
}

/// `out = a b` with `b` from [`pack`].
pub(crate) fn multiply_packed(out: &mut [f32], a: Matrix<'_>, b: &PackedBMatrix<f32>) {
    product(out, a, GemmInputB::Packed(b), GemmOptions::default());
}

fn product(out: &mut [f32], a: Matrix<'_>, b: GemmInputB<'_, f32>, options: GemmOptions<'_, f32, f32, f32>) {
    GEMM.with(|gemm| gemm.gemm(out, GemmInputA::Unpacked(a), b, options))
        .expect("shapes were checked when the model was loaded");
}

/// A matrix of `[rows, cols]` within `data`, whose element `(r, c)` is `data[r * row_stride + c * col_stride]`.
pub(crate) fn strided(
    data: &[f32],
    [rows, cols]: [usize; 2],
    [row_stride, col_stride]: [usize; 2],
) -> Matrix<'_> {
    NdTensorView::from_slice_with_strides([rows, cols], data, [row_stride, col_stride])
        .expect("the strides stay within the data")
}

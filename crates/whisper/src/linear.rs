//! Matrix products: the one place that knows how weights are kept and which kernel multiplies them.

use std::cell::Cell;

use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix, QuantParams};
use rten_tensor::{Matrix, MatrixLayout, NdTensorView};

use crate::Error;
use crate::quantize::{QuantizedRows, QuantizedWeights, ZERO_POINT, to_f32};
use crate::weights::Weights;

thread_local! {
    // The executors may be shared but not sent between threads; they are only a choice of kernel, so each
    // thread makes its own.
    static GEMM: GemmExecutor<f32> = GemmExecutor::new();
    static GEMM_INT8: GemmExecutor<u8, i8, i32> = GemmExecutor::new();

    /// The activations at hand, as bytes.
    static QUANTIZED: Cell<QuantizedRows> = Cell::default();
}

/// How weights are kept and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    F32,
    /// Bytes with a scale for every output; activations are turned to bytes row by row.
    Int8,
}

/// A fully connected layer, `y = x Wᵀ + b`.
pub(crate) struct Linear {
    matrix: Packed,
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
}

/// `Wᵀ`, `[inputs, outputs]`, in the kernel's own order.
enum Packed {
    F32(PackedBMatrix<f32>),
    Int8 {
        matrix: PackedBMatrix<i8>,
        /// What a unit of each output's weights stands for.
        scales: Vec<f32>,
    },
}

impl Linear {
    /// Reads `{name}/weight` `[outputs, inputs]` and `{name}/bias` `[outputs]`, if there is one.
    pub(crate) fn load(
        weights: &Weights,
        kind: Weight,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, Error> {
        let weight = format!("{name}/weight");
        let bias = format!("{name}/bias");
        let bias = weights.contains(&bias).then(|| weights.tensor(&bias, &[outputs])).transpose()?;
        let matrix = match kind {
            Weight::F32 => {
                let weight = weights.tensor(&weight, &[outputs, inputs])?;
                return Ok(Self::new(&weight, bias, inputs, outputs));
            }
            Weight::Int8 => {
                let saturates = GEMM_INT8.with(GemmExecutor::may_saturate);
                let mut quantized = QuantizedWeights::new(inputs, outputs, saturates);
                weights.read(&weight, &[outputs, inputs], |rows| quantized.extend(rows))?;
                let bytes = NdTensorView::from_data([outputs, inputs], quantized.bytes());
                let matrix = GEMM_INT8.with(|gemm| gemm.prepack_b(bytes.transposed()));
                Packed::Int8 { matrix, scales: quantized.into_scales() }
            }
        };
        Ok(Self { matrix, bias, inputs, outputs })
    }

    /// A layer in `f32`; `weight` is `[outputs, inputs]`, row-major.
    pub(crate) fn new(weight: &[f32], bias: Option<Vec<f32>>, inputs: usize, outputs: usize) -> Self {
        let weight = NdTensorView::from_data([outputs, inputs], weight);
        let matrix = Packed::F32(GEMM.with(|gemm| gemm.prepack_b(weight.transposed())));
        Self { matrix, bias, inputs, outputs }
    }

    /// `x` is `[rows, inputs]`; gives `[rows, outputs]`.
    ///
    /// A row's result does not depend on the other rows: every element is added up in the same order, however
    /// many rows there are.
    pub(crate) fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = Vec::new();
        self.apply_to(x, &mut y, |_| {});
        y
    }

    /// As [`Self::apply`], into `y`, whose memory is used again; `finish` is then called with every row.
    pub(crate) fn apply_to(&self, x: &[f32], y: &mut Vec<f32>, finish: impl Fn(&mut [f32])) {
        debug_assert_eq!(x.len() % self.inputs, 0);
        y.resize(x.len() / self.inputs * self.outputs, 0.0);
        self.apply_strided(x, self.inputs, y, finish);
    }

    /// As [`Self::apply_to`], for rows that start every `stride` elements and may overlap; as many as `y` has
    /// room for.
    pub(crate) fn apply_strided(&self, x: &[f32], stride: usize, y: &mut [f32], finish: impl Fn(&mut [f32])) {
        let rows = y.len() / self.outputs;
        match &self.matrix {
            Packed::F32(matrix) => {
                self.multiply_f32(strided(x, [rows, self.inputs], [stride, 1]), matrix, y);
                y.chunks_exact_mut(self.outputs).for_each(finish);
            }
            Packed::Int8 { matrix, scales } => {
                // Taken, not borrowed: while the product waits for other threads, this one may come here again.
                let mut quantized = QUANTIZED.take();
                quantized.fill((0..rows).map(|row| &x[row * stride..][..self.inputs]));
                let sums = multiply_int8(&quantized, matrix, y);
                for (row, scale) in sums.chunks_exact_mut(self.outputs).zip(quantized.scales()) {
                    finish(to_f32(row, *scale, scales, self.bias.as_deref()));
                }
                QUANTIZED.set(quantized);
            }
        }
    }

    fn multiply_f32(&self, x: Matrix<'_>, matrix: &PackedBMatrix<f32>, y: &mut [f32]) {
        let bias = self.bias.as_deref().map(BiasVector::Row);
        let options = GemmOptions { bias, ..Default::default() };
        GEMM.with(|gemm| gemm.gemm(y, GemmInputA::Unpacked(x), GemmInputB::Packed(matrix), options))
            .expect("shapes were checked when the model was loaded");
    }
}

/// `a b`, `[a.rows, b.cols]`, row-major.
pub(crate) fn multiply(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    let mut product = vec![0.0; a.rows() * b.cols()];
    let (a, b) = (GemmInputA::Unpacked(a), GemmInputB::Unpacked(b));
    GEMM.with(|gemm| gemm.gemm(&mut product, a, b, GemmOptions::default()))
        .expect("the caller's matrices fit each other");
    product
}

/// The sums of products of bytes, in the memory of `y`.
fn multiply_int8<'y>(x: &QuantizedRows, matrix: &PackedBMatrix<i8>, y: &'y mut [f32]) -> &'y mut [i32] {
    let sums: &mut [i32] = bytemuck::cast_slice_mut(y);
    let zero_points = vec![ZERO_POINT; x.scales().len()];
    let a_quant = Some(QuantParams { zero_point: &zero_points });
    let options = GemmOptions { a_quant, ..Default::default() };
    let rows = NdTensorView::from_data([x.scales().len(), matrix.rows()], x.bytes());
    GEMM_INT8
        .with(|gemm| gemm.gemm(sums, GemmInputA::Unpacked(rows), GemmInputB::Packed(matrix), options))
        .expect("shapes were checked when the model was loaded");
    sums
}

impl std::fmt::Debug for Linear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Linear({} -> {})", self.inputs, self.outputs)
    }
}

/// A view of `[rows, cols]` within `data`, whose element `(r, c)` is `data[r * row_stride + c * col_stride]`.
pub(crate) fn strided(
    data: &[f32],
    [rows, cols]: [usize; 2],
    [row_stride, col_stride]: [usize; 2],
) -> Matrix<'_> {
    NdTensorView::from_slice_with_strides([rows, cols], data, [row_stride, col_stride])
        .expect("the strides stay within the data")
}

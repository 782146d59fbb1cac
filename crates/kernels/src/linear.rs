//! Linear layers in `f32`, bfloat16 and in bytes, by `rten-gemm` or, in bfloat16 and bytes, by kernels of our own where
//! there is one for the processor. Rayon's pool shares large products.

use std::cell::Cell;

use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix, QuantParams};
use rten_tensor::{Matrix, MatrixLayout, NdTensorView};

#[cfg(target_arch = "x86_64")]
use crate::bf16::Bf16Weights;
#[cfg(target_arch = "x86_64")]
use crate::blocks::Bf16;
use crate::quantize::{QuantizedRows, QuantizedWeights, ZERO_POINT, to_f32};
#[cfg(target_arch = "x86_64")]
use crate::tiled::{self, TiledRows, TiledWeights};

thread_local! {
    // The executors may be shared but not sent between threads; they are only a choice of kernel, so each
    // thread makes its own.
    static GEMM: GemmExecutor<f32> = GemmExecutor::new();
    static GEMM_INT8: GemmExecutor<u8, i8, i32> = GemmExecutor::new();

    /// The activations at hand, as bytes.
    static QUANTIZED: Cell<QuantizedRows> = Cell::default();
}

#[cfg(target_arch = "x86_64")]
thread_local! {
    /// The activations at hand, as bytes in tiles.
    static TILED: Cell<TiledRows> = Cell::default();
}

/// A fully connected layer, `y = x Wᵀ + b`.
pub struct Linear {
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
    /// In bytes, with the bias.
    #[cfg(target_arch = "x86_64")]
    Tiled(TiledWeights),
    /// With the bias.
    #[cfg(target_arch = "x86_64")]
    Bf16(Bf16Weights),
}

/// Weights that become bytes, with a scale for every output, as their rows come in.
#[derive(Debug)]
pub struct Int8Weights(QuantizedWeights);

impl Int8Weights {
    /// Room for `outputs` rows of `inputs`.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        let saturates = GEMM_INT8.with(GemmExecutor::may_saturate);
        Self(QuantizedWeights::new(inputs, outputs, saturates))
    }

    /// Takes in the weights of some more outputs, `[outputs, inputs]`.
    pub fn extend(&mut self, rows: &[f32]) {
        self.0.extend(rows);
    }
}

impl Linear {
    /// A layer in `f32`; `weight` is `[outputs, inputs]`, row-major, `bias` `[outputs]`.
    pub fn new(weight: &[f32], bias: Option<Vec<f32>>, inputs: usize, outputs: usize) -> Self {
        let weight = NdTensorView::from_data([outputs, inputs], weight);
        let matrix = Packed::F32(GEMM.with(|gemm| gemm.prepack_b(weight.transposed())));
        Self { matrix, bias, inputs, outputs }
    }

    /// A layer in bfloat16 where the processor multiplies that by itself, faster than `f32`; else as [`Self::new`] makes
    /// it. Strides of its rows are to be even.
    pub fn bf16(weight: &[f32], bias: Option<Vec<f32>>, inputs: usize, outputs: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(instructions) = Bf16::detect().filter(|_| Bf16Weights::takes(inputs, outputs)) {
            let matrix = Packed::Bf16(Bf16Weights::new(instructions, weight, bias, [inputs, outputs]));
            return Self { matrix, bias: None, inputs, outputs };
        }
        Self::new(weight, bias, inputs, outputs)
    }

    /// A layer in bytes, whose activations are turned to bytes row by row. `bias` is `[outputs]`.
    pub fn int8(weights: Int8Weights, bias: Option<Vec<f32>>) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = tiled::Kernel::detect() {
            let (inputs, outputs) = weights.0.shape();
            let matrix = Packed::Tiled(TiledWeights::new(kernel, weights.0, bias));
            return Self { matrix, bias: None, inputs, outputs };
        }
        Self::int8_by_library(weights, bias)
    }

    fn int8_by_library(weights: Int8Weights, bias: Option<Vec<f32>>) -> Self {
        let (inputs, outputs) = weights.0.shape();
        let bytes = NdTensorView::from_data([outputs, inputs], weights.0.bytes());
        let matrix = GEMM_INT8.with(|gemm| gemm.prepack_b(bytes.transposed()));
        Self { matrix: Packed::Int8 { matrix, scales: weights.0.into_scales() }, bias, inputs, outputs }
    }

    /// `x` is `[rows, inputs]`; gives `[rows, outputs]`.
    ///
    /// A row's result does not depend on the other rows: every element is added up in the same order, however
    /// many rows there are.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = Vec::new();
        self.apply_to(x, &mut y, |_| {});
        y
    }

    /// As [`Self::apply`], into `y`, whose memory is used again; `finish` is then called with every row.
    pub fn apply_to(&self, x: &[f32], y: &mut Vec<f32>, finish: impl Fn(&mut [f32])) {
        debug_assert_eq!(x.len() % self.inputs, 0);
        y.resize(x.len() / self.inputs * self.outputs, 0.0);
        self.apply_strided(x, self.inputs, y, finish);
    }

    /// As [`Self::apply_to`], for rows that start every `stride` elements and may overlap; as many as `y` has
    /// room for.
    pub fn apply_strided(&self, x: &[f32], stride: usize, y: &mut [f32], finish: impl Fn(&mut [f32])) {
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
            #[cfg(target_arch = "x86_64")]
            Packed::Tiled(weights) => {
                // Taken, as above.
                let mut tiled = TILED.take();
                tiled.fill(self.inputs, (0..rows).map(|row| &x[row * stride..][..self.inputs]));
                weights.multiply(&tiled, y);
                y.chunks_exact_mut(self.outputs).for_each(finish);
                TILED.set(tiled);
            }
            #[cfg(target_arch = "x86_64")]
            Packed::Bf16(weights) => {
                weights.multiply(x, stride, y);
                y.chunks_exact_mut(self.outputs).for_each(finish);
            }
        }
    }

    fn multiply_f32(&self, x: Matrix<'_>, matrix: &PackedBMatrix<f32>, y: &mut [f32]) {
        let bias = self.bias.as_deref().map(BiasVector::Row);
        let options = GemmOptions { bias, ..Default::default() };
        GEMM.with(|gemm| gemm.gemm(y, GemmInputA::Unpacked(x), GemmInputB::Packed(matrix), options))
            .expect("the caller's rows fit the layer");
    }
}

/// `a b`, `[a.rows, b.cols]`, row-major.
pub fn multiply(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
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
        .expect("the caller's rows fit the layer");
    sums
}

impl std::fmt::Debug for Linear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Linear({} -> {})", self.inputs, self.outputs)
    }
}

/// The name of the instructions that multiply in `f32`.
pub(crate) fn instruction_set_f32() -> String {
    GEMM.with(|gemm| instruction_set(gemm.kernel_name(), false))
}

/// The name of the instructions that multiply bfloat16; `None` where `f32` is faster.
pub(crate) fn instruction_set_bf16() -> Option<String> {
    #[cfg(target_arch = "x86_64")]
    return Some(Bf16::detect()?.instruction_set().to_owned());
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// The name of the instructions that multiply bytes.
pub(crate) fn instruction_set_int8() -> String {
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = tiled::Kernel::detect() {
        return kernel.instruction_set().to_owned();
    }
    // The kernel for AVX-512 has one name, but its sums do not saturate where it has VNNI.
    GEMM_INT8.with(|gemm| instruction_set(gemm.kernel_name(), !gemm.may_saturate()))
}

/// The instruction set of a kernel of `rten-gemm`, or, where that is a new one, the kernel's own name.
fn instruction_set(kernel: &str, multiplies_bytes: bool) -> String {
    let known = match kernel {
        "x86_64-f32-fma" | "x86_64-u8i8i32-avx2" => "AVX2",
        "x86_64-u8i8i32-avx512" if multiplies_bytes => "AVX-512 VNNI",
        "x86_64-f32-avx512" | "x86_64-u8i8i32-avx512" => "AVX-512",
        "aarch64-f32-neon" | "aarch64-u8i8i32-mlal" => "NEON",
        "aarch64-u8i8i32-dotprod" => "NEON dotprod",
        "aarch64-u8i8i32-i8mm" => "NEON i8mm",
        "generic-f32" | "generic-u8i8i32" => "portable",
        unknown => unknown,
    };
    known.to_owned()
}

/// A view of `[rows, cols]` within `data`, whose element `(r, c)` is `data[r * row_stride + c * col_stride]`.
pub fn strided(data: &[f32], [rows, cols]: [usize; 2], [row_stride, col_stride]: [usize; 2]) -> Matrix<'_> {
    NdTensorView::from_slice_with_strides([rows, cols], data, [row_stride, col_stride])
        .expect("the strides stay within the data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no processor's own instructions")]
    fn the_library_and_our_kernels_give_the_same() {
        let (rows, inputs, outputs) = (19, 96, 70);
        let numbers = |count: usize| -> Vec<f32> { (0..count).map(|at| (at as f32).sin()).collect() };
        let (x, weight, bias) = (numbers(rows * inputs), numbers(inputs * outputs), numbers(outputs));
        let weights = || {
            let mut weights = Int8Weights::new(inputs, outputs);
            weights.extend(&weight);
            weights
        };
        let library = Linear::int8_by_library(weights(), Some(bias.clone()));
        let ours = Linear::int8(weights(), Some(bias));
        // The last outputs of a row are scaled one by one, with one rounding more.
        let check = |ours: Vec<f32>, library: Vec<f32>| {
            assert!(ours.iter().zip(library).all(|(ours, library)| (ours - library).abs() <= 1e-5));
        };
        check(ours.apply(&x), library.apply(&x));
        // Rows that overlap.
        let strided = |layer: &Linear| {
            let mut y = vec![0.0; 3 * outputs];
            layer.apply_strided(&x, 40, &mut y, |row| row.reverse());
            y
        };
        check(strided(&ours), strided(&library));
    }
}

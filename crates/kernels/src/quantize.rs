//! Numbers as bytes: weights with a scale for every output, activations with a scale for every row.

use rten_simd::ops::{BitOps, FloatOps, NarrowSaturate, NumOps, ToFloat};
use rten_simd::{Isa, SimdOp};

/// The byte that stands for zero in an activation: activations are symmetric, the kernel's bytes are not.
pub(crate) const ZERO_POINT: u8 = 128;

/// The largest activation of a row becomes this many units.
const UNITS: f32 = 127.0;

/// Weights in bytes, `[outputs, inputs]`, in units of the scale of their output.
#[derive(Debug)]
pub(crate) struct QuantizedWeights {
    inputs: usize,
    units: f32,
    bytes: Vec<u8>,
    scales: Vec<f32>,
}

impl QuantizedWeights {
    /// Room for `outputs` rows of `inputs`.
    ///
    /// Where the kernel's sums of two products saturate, weights have seven bits: `2 * 255 * 64` fits in 16 bits.
    pub(crate) fn new(inputs: usize, outputs: usize, saturates: bool) -> Self {
        let units = if saturates { 64.0 } else { UNITS };
        let (bytes, scales) = (Vec::with_capacity(inputs * outputs), Vec::with_capacity(outputs));
        Self { inputs, units, bytes, scales }
    }

    /// Takes in the weights of some more outputs.
    pub(crate) fn extend(&mut self, rows: &[f32]) {
        let start = self.bytes.len();
        self.bytes.resize(start + rows.len(), ZERO_POINT);
        let bytes = &mut self.bytes[start..];
        for (row, bytes) in rows.chunks_exact(self.inputs).zip(bytes.chunks_exact_mut(self.inputs)) {
            self.scales.push(QuantizeRow { row, bytes, units: self.units }.dispatch());
        }
        bytes.iter_mut().for_each(|byte| *byte ^= ZERO_POINT);
    }

    /// Inputs, and outputs taken in so far.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.inputs, self.scales.len())
    }

    pub(crate) fn bytes(&self) -> &[i8] {
        bytemuck::cast_slice(&self.bytes)
    }

    /// What a unit of each output's bytes stands for.
    pub(crate) fn into_scales(self) -> Vec<f32> {
        self.scales
    }
}

/// Rows of activations as bytes around [`ZERO_POINT`].
#[derive(Debug, Default)]
pub(crate) struct QuantizedRows {
    bytes: Vec<u8>,
    scales: Vec<f32>,
}

impl QuantizedRows {
    /// Takes in rows of one width.
    pub(crate) fn fill<'x>(&mut self, rows: impl Iterator<Item = &'x [f32]>) {
        self.bytes.clear();
        self.scales.clear();
        for row in rows {
            let start = self.bytes.len();
            self.bytes.resize(start + row.len(), ZERO_POINT);
            self.scales.push(quantize_row(row, &mut self.bytes[start..]));
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What a unit of each row's bytes stands for.
    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }
}

/// A row to bytes around [`ZERO_POINT`]; gives what a unit stands for.
pub(crate) fn quantize_row(row: &[f32], bytes: &mut [u8]) -> f32 {
    QuantizeRow { row, bytes, units: UNITS }.dispatch()
}

/// A row to bytes around [`ZERO_POINT`], the largest element `units` from it; gives their scale.
struct QuantizeRow<'a> {
    row: &'a [f32],
    bytes: &'a mut [u8],
    units: f32,
}

impl SimdOp for QuantizeRow<'_> {
    type Output = f32;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f32 {
        let Self { row, bytes, units } = self;
        let (floats, ints, shorts) = (isa.f32(), isa.i32(), isa.i16());
        let lanes = floats.len();

        let mut highest = floats.zero();
        let mut chunks = row.chunks_exact(lanes);
        for chunk in &mut chunks {
            highest = floats.max(highest, floats.abs(floats.load(chunk)));
        }
        let rest = chunks.remainder().iter().map(|x| x.abs());
        let highest = rten_simd::Simd::to_array(highest).into_iter().chain(rest).fold(0.0, f32::max);
        let scale = if highest > 0.0 { highest / units } else { 1.0 };

        let per_unit = scale.recip();
        let factor = floats.splat(per_unit);
        let zero = ints.splat(i32::from(ZERO_POINT));
        let mut from = row.chunks_exact(4 * lanes);
        let mut to = bytes.chunks_exact_mut(4 * lanes);
        for (from, to) in (&mut from).zip(&mut to) {
            // No closure: it would be compiled for any processor.
            let mut parts = [zero; 4];
            for (at, part) in parts.iter_mut().enumerate() {
                let x = floats.mul(floats.load(&from[at * lanes..]), factor);
                *part = ints.add(floats.to_int_round(x), zero);
            }
            let low = ints.narrow_saturate(parts[0], parts[1]);
            let high = ints.narrow_saturate(parts[2], parts[3]);
            isa.u8().store(shorts.narrow_saturate(low, high), to);
        }
        for (from, to) in from.remainder().iter().zip(to.into_remainder()) {
            *to = ((from * per_unit).round_ties_even() as i32 + i32::from(ZERO_POINT)) as u8;
        }
        scale
    }
}

/// Turns the sums of a row, in place, to what they stand for: `sum * row_scale * scales + bias`.
pub(crate) fn to_f32<'a>(
    sums: &'a mut [i32],
    row_scale: f32,
    scales: &[f32],
    bias: Option<&[f32]>,
) -> &'a mut [f32] {
    ScaleRow { sums, row_scale, scales, bias }.dispatch()
}

struct ScaleRow<'a, 'b> {
    sums: &'a mut [i32],
    row_scale: f32,
    scales: &'b [f32],
    bias: Option<&'b [f32]>,
}

impl<'a> SimdOp for ScaleRow<'a, '_> {
    type Output = &'a mut [f32];

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> &'a mut [f32] {
        let Self { sums, row_scale, scales, bias } = self;
        let (floats, ints) = (isa.f32(), isa.i32());
        let lanes = floats.len();
        assert_eq!(sums.len(), scales.len());
        let factor = floats.splat(row_scale);
        let whole = sums.len() / lanes * lanes;
        for at in (0..whole).step_by(lanes) {
            let sum = ints.to_float(ints.load(&sums[at..]));
            let scale = floats.mul(factor, floats.load(&scales[at..]));
            let offset = match bias {
                Some(bias) => floats.load(&bias[at..]),
                None => floats.zero(),
            };
            let y = floats.mul_add(sum, scale, offset);
            floats.store(y, bytemuck::cast_slice_mut(&mut sums[at..at + lanes]));
        }
        for at in whole..sums.len() {
            let y = sums[at] as f32 * (row_scale * scales[at]) + bias.map_or(0.0, |bias| bias[at]);
            sums[at] = y.to_bits().cast_signed();
        }
        bytemuck::cast_slice_mut(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|i| {
                ((i.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0) * 3.0
            })
            .collect()
    }

    #[test]
    fn rows_come_back_to_within_half_a_unit() {
        for width in [1, 3, 16, 63, 64, 65, 200, 512] {
            let x = numbers(3 * width, 7);
            let mut rows = QuantizedRows::default();
            rows.fill(x.chunks_exact(width));
            for (row, (bytes, scale)) in
                x.chunks_exact(width).zip(rows.bytes().chunks_exact(width).zip(rows.scales()))
            {
                for (x, byte) in row.iter().zip(bytes) {
                    let back = (f32::from(*byte) - f32::from(ZERO_POINT)) * scale;
                    assert!((x - back).abs() <= scale * 0.5001, "{x} came back as {back} at width {width}");
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bytes() {
        for width in [5, 64, 130, 515] {
            let row = numbers(width, 3);
            let run = |isa: &dyn Fn(QuantizeRow<'_>) -> f32| {
                let mut bytes = vec![0; width];
                let scale = isa(QuantizeRow { row: &row, bytes: &mut bytes, units: UNITS });
                (scale, bytes)
            };
            let portable = run(&|op| op.eval(rten_simd::isa::GenericIsa::new()));
            assert_eq!(run(&|op| op.dispatch()), portable);
            #[cfg(target_arch = "x86_64")]
            {
                match rten_simd::isa::Avx2Isa::new() {
                    Some(isa) => assert_eq!(run(&|op| op.eval(isa)), portable),
                    None => verbatim_testing::skip("the processor has no AVX2"),
                }
                match rten_simd::isa::Avx512Isa::new() {
                    Some(isa) => assert_eq!(run(&|op| op.eval(isa)), portable),
                    None => verbatim_testing::skip("the processor has no AVX-512"),
                }
            }
            #[cfg(target_arch = "aarch64")]
            {
                let isa = rten_simd::isa::ArmNeonIsa::new().expect("every 64-bit ARM processor has NEON");
                assert_eq!(run(&|op| op.eval(isa)), portable);
            }
        }
    }

    #[test]
    fn silence_stays_silence() {
        let mut rows = QuantizedRows::default();
        rows.fill([0.0; 70].chunks(70));
        assert!(rows.bytes().iter().all(|byte| *byte == ZERO_POINT));
        let mut weights = QuantizedWeights::new(3, 2, false);
        weights.extend(&[0.0; 6]);
        assert_eq!(weights.bytes(), [0; 6]);
        assert!(weights.into_scales().iter().all(|scale| scale.is_finite()));
    }

    #[test]
    fn weights_come_back_to_within_half_a_unit_of_their_output() {
        let weight = numbers(4 * 37, 11);
        for saturates in [false, true] {
            let mut weights = QuantizedWeights::new(37, 4, saturates);
            weight.chunks(2 * 37).for_each(|rows| weights.extend(rows));
            let bytes = weights.bytes().to_vec();
            let scales = weights.into_scales();
            assert_eq!((bytes.len(), scales.len()), (weight.len(), 4));
            for (row, (bytes, scale)) in weight.chunks_exact(37).zip(bytes.chunks_exact(37).zip(scales)) {
                let close = |(x, byte): (&f32, &i8)| (x - f32::from(*byte) * scale).abs() <= scale * 0.5001;
                assert!(row.iter().zip(bytes).all(close));
                assert!(!saturates || bytes.iter().all(|byte| byte.abs() <= 64));
            }
        }
    }

    #[test]
    fn sums_are_scaled_by_row_and_output() {
        for width in [1, 16, 37] {
            let scales = numbers(width, 1);
            let bias = numbers(width, 2);
            let sums: Vec<i32> = (0..width as i32).map(|i| i * 1000 - 7000).collect();
            for bias in [None, Some(&bias[..])] {
                let mut row = sums.clone();
                for (at, y) in to_f32(&mut row, 0.25, &scales, bias).iter().enumerate() {
                    let expected = sums[at] as f32 * 0.25 * scales[at] + bias.map_or(0.0, |bias| bias[at]);
                    assert!((y - expected).abs() <= 1e-5 * expected.abs().max(1.0));
                }
            }
        }
    }
}

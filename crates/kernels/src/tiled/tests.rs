//! Both kernels against the definition.

use super::*;
use crate::amx::emulation;
use crate::numbers::numbers;

fn kernels() -> Vec<Kernel> {
    let vnni = Vnni::detect().map(Kernel::Vnni);
    if vnni.is_none() {
        verbatim_testing::skip("the processor has no AVX-512 VNNI");
    }
    [Kernel::Amx(emulation::amx())].into_iter().chain(vnni).collect()
}

fn quantized(weights: &[f32], inputs: usize) -> QuantizedWeights {
    let mut quantized = QuantizedWeights::new(inputs, weights.len() / inputs, false);
    quantized.extend(weights);
    quantized
}

/// The products of the bytes, each sum exact.
fn expected(x: &[f32], weights: &[f32], bias: Option<&[f32]>, inputs: usize) -> Vec<f32> {
    let weights = quantized(weights, inputs);
    let bytes = weights.bytes().to_vec();
    let scales = weights.into_scales();
    let mut products = Vec::new();
    for x in x.chunks_exact(inputs) {
        let mut row = vec![0; inputs];
        let row_scale = quantize_row(x, &mut row);
        for (output, (weights, scale)) in bytes.chunks_exact(inputs).zip(&scales).enumerate() {
            let product = |(x, w): (&u8, &i8)| (i32::from(*x) - i32::from(ZERO_POINT)) * i32::from(*w);
            let sum: i32 = row.iter().zip(weights).map(product).sum();
            products.push((sum as f32).mul_add(row_scale * scale, bias.map_or(0.0, |bias| bias[output])));
        }
    }
    products
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no processor's own instructions")]
fn products_are_those_of_the_definition() {
    let counts = (1..=17).chain([24, 31, 32, 33, 48, 64, 70]);
    let shapes = [(1, 1), (64, 32), (63, 31), (65, 33), (130, 64), (512, 48), (192, 100)];
    let mut tiled = TiledRows::default();
    for (rows, (inputs, outputs)) in counts.flat_map(|rows| shapes.map(|shape| (rows, shape))) {
        let (x, weights) = (numbers(rows * inputs, 1), numbers(inputs * outputs, 5));
        let bias = (rows % 2 == 0).then(|| numbers(outputs, 9));
        let expected = expected(&x, &weights, bias.as_deref(), inputs);
        for kernel in kernels() {
            let packed = TiledWeights::new(kernel, quantized(&weights, inputs), bias.clone());
            tiled.fill(inputs, x.chunks_exact(inputs));
            let mut y = vec![f32::NAN; rows * outputs];
            packed.multiply(&tiled, &mut y);
            assert_eq!(y, expected, "{kernel:?}: {rows} by {inputs} by {outputs}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no processor's own instructions")]
fn products_that_threads_share_are_the_same() {
    let (rows, inputs, outputs) = (3, 64, 4 * LEAST_BYTES / 64 + 5);
    let (x, weights) = (numbers(rows * inputs, 1), numbers(inputs * outputs, 5));
    let expected = expected(&x, &weights, None, inputs);
    let mut tiled = TiledRows::default();
    tiled.fill(inputs, x.chunks_exact(inputs));
    for kernel in kernels() {
        let mut y = vec![f32::NAN; rows * outputs];
        TiledWeights::new(kernel, quantized(&weights, inputs), None).multiply(&tiled, &mut y);
        assert!(y == expected, "{kernel:?}");
    }
}

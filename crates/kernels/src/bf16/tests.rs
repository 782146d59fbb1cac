//! Both ways against the definition.

use super::*;
use crate::amx::emulation;
use crate::numbers::numbers;

/// As bfloat16 has it.
fn rounded(number: f32) -> f64 {
    f64::from(f32::from_bits(pair_word(number, 0.0) << 16))
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no processor's own instructions")]
fn products_are_those_of_the_rounded_numbers() {
    let Some(pair) = Bf16Pair::detect() else {
        verbatim_testing::skip("the processor has no AVX-512 BF16");
        return;
    };
    let tiles = Bf16Tiles::with(emulation::amx()).expect("it has BF16");
    // Rows, inputs, the stride of rows, outputs: rows that overlap, as a convolution's do, an odd number of inputs, more
    // than one block of them, rows that fill no tile.
    let shapes =
        [(1, 1, 2, 64), (5, 240, 80, 64), (33, 63, 64, 128), (70, 300, 200, 192), (32, 129, 130, 64)];
    for (rows, inputs, stride, outputs) in shapes {
        let (x, weight) = (numbers((rows - 1) * stride + inputs, 1), numbers(inputs * outputs, 5));
        let bias = numbers(outputs, 9);
        for instructions in [Bf16::Pair(pair), Bf16::Tiles(tiles)] {
            let name = instructions.instruction_set();
            let weights = Bf16Weights::new(instructions, &weight, Some(bias.clone()), [inputs, outputs]);
            let mut y = vec![f32::NAN; rows * outputs];
            weights.multiply(&x, stride, &mut y);
            for (at, y) in y.iter().enumerate() {
                let (row, output) = (at / outputs, at % outputs);
                let products = x[row * stride..].iter().zip(&weight[output * inputs..][..inputs]);
                let sum: f64 = products.map(|(x, w)| rounded(*x) * rounded(*w)).sum();
                let expected = sum + f64::from(bias[output]);
                assert!(
                    (f64::from(*y) - expected).abs() < 1e-4,
                    "{name}: {y} for {expected} at {row}, {output}"
                );
            }
        }
    }
}

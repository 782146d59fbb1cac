//! What tests multiply.

/// Numbers that differ from place to place.
pub(crate) fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let number =
        |at: u32| (at.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0;
    (0..count as u32).map(number).collect()
}

//! Vectors and their dot product.

/// A sentence's vector, `[width]`, of length 1.
pub type Embedding = Vec<f32>;

/// `x · y`, in eight independent sums that can be computed in parallel.
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest: f32 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in xs.zip(ys) {
        (0..8).for_each(|lane| sums[lane] += x[lane] * y[lane]);
    }
    rest + sums.iter().sum::<f32>()
}

//! Makes a head's attention weights comparable with those of the others.

/// Frames that the median is taken of.
const MEDIAN_WIDTH: usize = 7;
const REACH: usize = MEDIAN_WIDTH / 2;

/// Takes one head's weights `[tokens, frames]`, each row of which sums up to 1, to how far each lies above the
/// mean of its frame, in standard deviations over the tokens; smoothed along time by a median filter.
///
/// A frame that many tokens look at says little of any of them. The median takes out single frames that stick
/// out, and keeps the edges at which words start.
pub(super) fn standardise(weights: &mut [f32], frames: usize) {
    if frames == 0 || weights.is_empty() {
        return;
    }
    let tokens = (weights.len() / frames) as f32;
    let mut mean = vec![0.0f32; frames];
    for row in weights.chunks_exact(frames) {
        for (mean, weight) in mean.iter_mut().zip(row) {
            *mean += weight;
        }
    }
    for mean in &mut mean {
        *mean /= tokens;
    }
    let mut scale = vec![0.0f32; frames];
    for row in weights.chunks_exact(frames) {
        for ((sum, weight), mean) in scale.iter_mut().zip(row).zip(&mean) {
            *sum += (weight - mean) * (weight - mean);
        }
    }
    for scale in &mut scale {
        // A frame that all tokens look at alike tells them apart by nothing.
        *scale = if *scale > 0.0 { (*scale / tokens).sqrt().recip() } else { 0.0 };
    }
    let mut padded = vec![0.0; frames + 2 * REACH];
    for row in weights.chunks_exact_mut(frames) {
        for ((weight, mean), scale) in row.iter_mut().zip(&mean).zip(&scale) {
            *weight = (*weight - mean) * scale;
        }
        smooth(row, &mut padded);
    }
}

/// Median filter, in place, mirrored at both ends. `padded` has room for the row and [`REACH`] on both sides.
/// A row too short to be mirrored stays as it is.
fn smooth(row: &mut [f32], padded: &mut [f32]) {
    let frames = row.len();
    if frames <= REACH {
        return;
    }
    padded[REACH..][..frames].copy_from_slice(row);
    for offset in 1..=REACH {
        padded[REACH - offset] = row[offset];
        padded[REACH + frames - 1 + offset] = row[frames - 1 - offset];
    }
    for (at, out) in row.iter_mut().enumerate() {
        let around = &padded[at..at + MEDIAN_WIDTH];
        *out = median([around[0], around[1], around[2], around[3], around[4], around[5], around[6]]);
    }
}

/// By a network of comparisons without branches, so that the compiler takes many frames at a time.
fn median(mut x: [f32; MEDIAN_WIDTH]) -> f32 {
    const COMPARISONS: [(usize, usize); 13] = [
        (0, 5),
        (0, 3),
        (1, 6),
        (2, 4),
        (0, 1),
        (3, 5),
        (2, 6),
        (2, 3),
        (3, 6),
        (4, 5),
        (1, 4),
        (1, 3),
        (3, 4),
    ];
    for (low, high) in COMPARISONS {
        let (a, b) = (x[low], x[high]);
        (x[low], x[high]) = if a < b { (a, b) } else { (b, a) };
    }
    x[MEDIAN_WIDTH / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_finds_the_median_of_any_seven() {
        // A network that is right for all sequences of two values is right for all sequences.
        for bits in 0..1u32 << MEDIAN_WIDTH {
            let values: [f32; MEDIAN_WIDTH] = std::array::from_fn(|at| (bits >> at & 1) as f32);
            assert_eq!(median(values), if bits.count_ones() > 3 { 1.0 } else { 0.0 }, "{values:?}");
        }
    }

    #[test]
    fn a_row_is_mirrored_at_its_ends() {
        let mut row = [9.0, 1.0, 2.0, 8.0, 0.0, 5.0];
        smooth(&mut row, &mut [0.0; 12]);
        // Around the first: 8 2 1 9 1 2 8, around the last: 2 8 0 5 0 8 2.
        assert_eq!((row[0], row[5]), (2.0, 2.0));
        let mut short = [3.0, 1.0, 2.0];
        smooth(&mut short, &mut [0.0; 9]);
        assert_eq!(short, [3.0, 1.0, 2.0]);
    }

    #[test]
    fn every_frame_has_mean_zero_and_deviation_one_over_the_tokens() {
        // Constant over time, which the median leaves alone; the last frames are looked at by all alike.
        let level = [0.1f32, 0.4, 0.2, 0.9];
        let mut weights: Vec<f32> =
            level.iter().flat_map(|level| [[*level; 10], [0.5; 10]].concat()).collect();
        standardise(&mut weights, 20);
        for frame in 0..8 {
            let column: Vec<f32> = (0..4).map(|token| weights[token * 20 + frame]).collect();
            let mean = column.iter().sum::<f32>() / 4.0;
            let variance = column.iter().map(|weight| (weight - mean).powi(2)).sum::<f32>() / 4.0;
            assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{column:?}");
        }
        assert!((0..4).all(|token| weights[token * 20 + 15] == 0.0));
    }
}

//! Finds a clip in a recording by the envelopes of their loudness, which codecs, resampling and inverted channels
//! preserve.

use std::path::Path;
use std::time::Duration;

use verbatim_media::PcmStream;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Samples per value of an envelope: 5 ms.
const STEP: usize = 80;

/// All samples of a recording.
pub(crate) fn decode(path: &Path) -> Vec<f32> {
    let stream = PcmStream::open(path, DAY).expect("ffmpeg starts");
    stream.map(|chunk| chunk.expect("the sound is whole")).collect::<Vec<_>>().concat()
}

pub(crate) fn seconds(samples: &[f32]) -> f64 {
    samples.len() as f64 / 16_000.0
}

pub(crate) fn loudness(samples: &[f32]) -> f32 {
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

/// The offset of the clip from `expected`, in seconds, searched within half a second; and the correlation of the two
/// envelopes there: 1 if they are the same, 0 if they have nothing in common.
pub(crate) fn find(clip: &[f32], recording: &[f32], expected: f64) -> (f64, f64) {
    let (clip, recording) = (envelope(clip), envelope(recording));
    let middle = (expected * 16_000.0 / STEP as f64).round() as i64;
    let alike = |shift: i64| {
        let at = |index: usize| usize::try_from(index as i64 + middle + shift).ok();
        let other: Vec<f64> =
            (0..clip.len()).map(|i| at(i).and_then(|at| recording.get(at)).copied().unwrap_or(0.0)).collect();
        (shift, correlation(&clip, &other))
    };
    let best = (-100..=100).map(alike).max_by(|one, other| one.1.total_cmp(&other.1));
    let (shift, alike) = best.expect("shifts were tried");
    ((shift * STEP as i64) as f64 / 16_000.0, alike)
}

/// Requires the clip at each of these seconds, to 60 ms, and nothing of it before the first.
pub(crate) fn assert_clip_at(name: &str, clip: &[f32], recording: &[f32], starts: &[f64]) {
    for start in starts {
        let (off, alike) = find(clip, recording, *start);
        assert!(alike > 0.8, "{name}: no clip at {start} s ({alike:.2}, in {:.2} s)", seconds(recording));
        assert!(off.abs() <= 0.06, "{name}: the clip of {start} s is off by {off:.3} s");
    }
    let first = ((starts[0] - 0.1).max(0.0) * 16_000.0) as usize;
    assert!(loudness(&recording[..first]) < 1e-3, "{name}: something comes before {} s", starts[0]);
    let end = starts[starts.len() - 1] + seconds(clip);
    assert!((seconds(recording) - end).abs() < 0.2, "{name}: {} s, not {end}", seconds(recording));
}

fn envelope(samples: &[f32]) -> Vec<f64> {
    samples.chunks(STEP).map(|chunk| f64::from(loudness(chunk))).collect()
}

fn correlation(one: &[f64], other: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_one, mean_other) = (mean(one), mean(other));
    let (mut product, mut of_one, mut of_other) = (0.0, 0.0, 0.0);
    for (one, other) in one.iter().zip(other) {
        let (one, other) = (one - mean_one, other - mean_other);
        product += one * other;
        of_one += one * one;
        of_other += other * other;
    }
    product / (of_one * of_other).sqrt().max(1e-12)
}

//! 16 kHz mono samples to the log-mel spectrogram that is Whisper's input.
//!
//! As in OpenAI's reference: Hann window of 400 samples every 160, reflected at both ends, power
//! spectrum, mel filters after Slaney, log10 clamped to 8 below the loudest, then (x + 4) / 4. As in
//! faster-whisper, a clip is transformed as it is (with 10 ms of silence behind it) and its spectrogram filled up
//! with zeros.

use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;
use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use verbatim_speech::SAMPLE_RATE;

/// Frames of 30 s, the longest window: one every 10 ms.
pub(crate) const FRAMES: usize = 3000;

/// Frames of which the encoder makes a state.
pub(crate) const STATE_FRAMES: usize = 2;

const FFT_SIZE: usize = 400;
/// Samples from a frame to the next.
pub(crate) const HOP: usize = 160;
const BINS: usize = FFT_SIZE / 2 + 1;

/// What a filter's weights, all below 0.03, may differ by from those that somebody else has computed.
const FILTER_ROUNDING: f32 = 1e-6;

/// Frames a thread transforms at a time.
const FRAMES_PER_TASK: usize = 100;

/// A window's spectrogram, `[n_mels, frames]`, row-major: a row for every mel band.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogMel {
    pub(crate) n_mels: usize,
    pub(crate) values: Vec<f32>,
}

impl LogMel {
    pub(crate) fn frames(&self) -> usize {
        self.values.len() / self.n_mels
    }

    /// `[frames, n_mels]`: a row for every 10 ms.
    pub(crate) fn time_major(&self) -> Vec<f32> {
        let mut rows = vec![0.0; self.values.len()];
        for (band, values) in self.values.chunks_exact(self.frames()).enumerate() {
            for (frame, value) in values.iter().enumerate() {
                rows[frame * self.n_mels + band] = *value;
            }
        }
        rows
    }
}

/// Makes spectrograms with a given number of mel bands.
pub(crate) struct MelExtractor {
    n_mels: usize,
    hann: Vec<f32>,
    filters: Vec<Filter>,
    fft: Arc<dyn RealToComplex<f32>>,
}

/// A triangle over the spectrum: the weights of the bins from `first` on.
#[derive(Debug)]
struct Filter {
    first: usize,
    weights: Vec<f32>,
}

impl fmt::Debug for MelExtractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MelExtractor({} bands)", self.n_mels)
    }
}

impl MelExtractor {
    pub(crate) fn new(n_mels: usize) -> Self {
        let turn = std::f64::consts::TAU / FFT_SIZE as f64;
        Self {
            n_mels,
            hann: (0..FFT_SIZE).map(|i| (0.5 - 0.5 * (turn * i as f64).cos()) as f32).collect(),
            filters: slaney_filters(n_mels),
            fft: RealFftPlanner::new().plan_fft_forward(FFT_SIZE),
        }
    }

    /// Whether these filters `[n_mels, BINS]` are the same but for rounding.
    pub(crate) fn has_filters(&self, weights: &[f32]) -> bool {
        weights.len() == self.n_mels * BINS
            && self.filters.iter().zip(weights.chunks_exact(BINS)).all(|(filter, weights)| {
                let own = |bin: usize| bin.checked_sub(filter.first).and_then(|at| filter.weights.get(at));
                weights
                    .iter()
                    .enumerate()
                    .all(|(bin, weight)| (weight - own(bin).copied().unwrap_or(0.0)).abs() <= FILTER_ROUNDING)
            })
    }

    /// The spectrogram of as many samples as `frames` have room for, filled up with zeros.
    pub(crate) fn extract(&self, samples: &[f32], frames: usize) -> LogMel {
        let samples = &samples[..samples.len().min(frames * HOP)];
        // One hop of silence behind the clip, then half a transform of reflection on either side.
        let mut padded = vec![0.0; samples.len() + HOP + FFT_SIZE];
        let middle = FFT_SIZE / 2;
        padded[middle..middle + samples.len()].copy_from_slice(samples);
        let last = middle + samples.len() + HOP - 1;
        for i in 1..=middle {
            padded[middle - i] = padded[middle + i];
            padded[last + i] = padded[last - i];
        }
        let known = (samples.len() / HOP + 1).min(frames);
        let mut by_frame = vec![0.0f32; known * self.n_mels];
        by_frame.par_chunks_mut(FRAMES_PER_TASK * self.n_mels).enumerate().for_each(|(task, out)| {
            self.transform(&padded[task * FRAMES_PER_TASK * HOP..], out);
        });
        let floor = verbatim_kernels::vector::max(&by_frame) - 8.0;
        let mut values = vec![0.0; self.n_mels * frames];
        for (band, values) in values.chunks_exact_mut(frames).enumerate() {
            for (frame, value) in values[..known].iter_mut().enumerate() {
                *value = (by_frame[frame * self.n_mels + band].max(floor) + 4.0) / 4.0;
            }
        }
        LogMel { n_mels: self.n_mels, values }
    }

    /// log10 of the mel energies of as many frames as `out` `[frames, n_mels]` has room for.
    fn transform(&self, samples: &[f32], out: &mut [f32]) {
        let mut time = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        for (frame, out) in out.chunks_exact_mut(self.n_mels).enumerate() {
            for ((time, sample), hann) in time.iter_mut().zip(&samples[frame * HOP..]).zip(&self.hann) {
                *time = sample * hann;
            }
            self.fft
                .process_with_scratch(&mut time, &mut spectrum, &mut scratch)
                .expect("the buffers were made for this transform");
            let power: [f32; BINS] = std::array::from_fn(|bin| Complex32::norm_sqr(&spectrum[bin]));
            for (out, filter) in out.iter_mut().zip(&self.filters) {
                let energy: f32 = filter
                    .weights
                    .iter()
                    .zip(&power[filter.first..])
                    .map(|(weight, power)| weight * power)
                    .sum();
                *out = energy.max(1e-10).log10();
            }
        }
    }
}

/// Triangular filters from 0 Hz to half the sample rate, spaced evenly on the mel scale of Slaney's
/// Auditory Toolbox (linear under 1 kHz, logarithmic above), each with an area of one.
fn slaney_filters(n_mels: usize) -> Vec<Filter> {
    let nyquist = SAMPLE_RATE as f64 / 2.0;
    let top = hertz_to_mel(nyquist);
    let corner = |i: usize| mel_to_hertz(top * i as f64 / (n_mels + 1) as f64);
    (0..n_mels)
        .map(|band| {
            let (low, centre, high) = (corner(band), corner(band + 1), corner(band + 2));
            let weight = |bin: usize| {
                let hertz = bin as f64 * nyquist / (BINS - 1) as f64;
                let rising = (hertz - low) / (centre - low);
                let falling = (high - hertz) / (high - centre);
                rising.min(falling).max(0.0) * 2.0 / (high - low)
            };
            let first = (0..BINS).find(|bin| weight(*bin) > 0.0).unwrap_or(0);
            let weights = (first..BINS).map(weight).take_while(|weight| *weight > 0.0).map(|w| w as f32);
            Filter { first, weights: weights.collect() }
        })
        .collect()
}

const LINEAR_HERTZ_PER_MEL: f64 = 200.0 / 3.0;
const LOG_FROM_HERTZ: f64 = 1000.0;
const LOG_FROM_MEL: f64 = LOG_FROM_HERTZ / LINEAR_HERTZ_PER_MEL;

/// 27 mel take a frequency above 1 kHz up by a factor of 6.4.
fn log_step() -> f64 {
    6.4f64.ln() / 27.0
}

fn hertz_to_mel(hertz: f64) -> f64 {
    if hertz < LOG_FROM_HERTZ {
        hertz / LINEAR_HERTZ_PER_MEL
    } else {
        LOG_FROM_MEL + (hertz / LOG_FROM_HERTZ).ln() / log_step()
    }
}

fn mel_to_hertz(mel: f64) -> f64 {
    if mel < LOG_FROM_MEL {
        mel * LINEAR_HERTZ_PER_MEL
    } else {
        LOG_FROM_HERTZ * ((mel - LOG_FROM_MEL) * log_step()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_of_any_length_give_a_full_window_of_finite_values() {
        let extractor = MelExtractor::new(80);
        for length in [0, 1, 159, 160, 399, 400, 16_000, 479_999, 480_000, 500_000] {
            let samples: Vec<f32> = (0..length).map(|i| ((i * 31) % 199) as f32 / 199.0 - 0.5).collect();
            let mel = extractor.extract(&samples, FRAMES);
            assert_eq!(mel.frames(), FRAMES);
            assert!(mel.values.iter().all(|value| value.is_finite()), "{length} samples");
        }
    }

    #[test]
    fn a_tone_lights_the_band_that_holds_it() {
        let extractor = MelExtractor::new(80);
        let tone = |hertz: f32| -> Vec<f32> {
            (0..16_000).map(|i| (std::f32::consts::TAU * hertz * i as f32 / 16_000.0).sin() * 0.5).collect()
        };
        let loudest = |hertz| {
            let mel = extractor.extract(&tone(hertz), 100);
            let at = |band: usize| mel.values[band * 100 + 50];
            (0..80).max_by(|a, b| at(*a).total_cmp(&at(*b))).unwrap()
        };
        for hertz in [440.0, 1000.0, 4000.0] {
            let band = loudest(hertz);
            let centre = mel_to_hertz(hertz_to_mel(8000.0) * (band + 1) as f64 / 81.0);
            assert!(
                (centre / f64::from(hertz) - 1.0).abs() < 0.06,
                "{hertz} Hz lit band {band} at {centre} Hz"
            );
        }
    }
}

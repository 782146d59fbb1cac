//! Voice activity detection: the probability of speech in every frame of 32 ms, by Silero's network (version 6).
//!
//! A frame and some samples before it give four short-time spectra. Four convolutions turn their magnitudes into 128
//! features. An LSTM runs over the features of all frames, and a last layer computes a probability from its state.

mod onnx;

use std::fmt;
use std::ops::Range;
use std::path::Path;

use rten_simd::SimdUnaryOp;
use rten_vecmath::{Sigmoid, Tanh};

use verbatim_kernels::panels::{Batched, Single};
use verbatim_speech::{Voice, Window};

use self::onnx::OnnxFile;
use crate::Error;

/// Samples in a frame, for which the network gives one probability: 32 ms.
pub(crate) const FRAME: usize = 512;

/// Samples before each frame that belong to the network's input.
const CONTEXT: usize = 64;

/// Samples in a spectrum, and from the start of one spectrum to that of the next.
const SPECTRUM: usize = 256;
const HOP: usize = 128;

/// Spectra of a frame. The last one reaches 64 samples beyond the frame's end, for which the frame is reflected.
const SPECTRA: usize = 4;
const REFLECTED: usize = (SPECTRA - 1) * HOP + SPECTRUM - CONTEXT - FRAME;

/// Frequency bins of a spectrum.
const BINS: usize = SPECTRUM / 2 + 1;

/// Width of a convolution's kernel. Its input is padded with one step of zeros at either end.
const TAPS: usize = 3;

/// Width of the recurrent state.
const STATE: usize = 128;

/// The number of gates: four for each element of the state.
const GATES: usize = 4 * STATE;

/// The loaded network. Any number of streams may share it, each with a state of its own.
pub struct Vad {
    /// From samples to the real parts of a spectrum, then its imaginary parts.
    spectrum: Batched,
    convolutions: [Batched; 4],
    /// From features to the gates of the LSTM, in ONNX's order: input, output, forget, cell.
    gates: Batched,
    /// From the previous state to the same gates.
    recurrence: Single,
    probability: Batched,
}

impl fmt::Debug for Vad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vad(Silero v6)")
    }
}

impl Vad {
    /// Loads `silero_vad_v6.onnx`. Only the weights are read from it; the structure of the network is written here.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged or holds another network.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::read(&OnnxFile::open(path)?)
    }

    fn read(file: &OnnxFile) -> Result<Self, Error> {
        let basis =
            file.tensor("encoder.feature_extractor.forward_basis_buffer", &[2 * BINS, 1, SPECTRUM])?;
        let convolution = |index: usize, inputs: usize, outputs: usize, taps: Range<usize>| {
            let name = format!("encoder.conv_layers.{index}");
            let weight = file.tensor(&format!("{name}.weight"), &[outputs, inputs, TAPS])?;
            let bias = file.tensor(&format!("{name}.bias"), &[outputs])?;
            let width = taps.len() * inputs;
            Ok::<_, Error>(Batched::new(width, &by_taps(&weight, inputs, taps), &bias))
        };
        let [_, weight, recurrence, bias, ..] = file.inputs_of("LSTM")? else {
            return Err(file.error("its operator `LSTM` has no weights and bias"));
        };
        let weight = file.tensor(weight, &[1, GATES, STATE])?;
        let recurrence = file.tensor(recurrence, &[1, GATES, STATE])?;
        // The file has one bias for each product; only their sum is ever used.
        let bias = file.tensor(bias, &[1, 2 * GATES])?;
        let (for_weight, for_recurrence) = bias.split_at(GATES);
        let bias: Vec<f32> = for_weight.iter().zip(for_recurrence).map(|(a, b)| a + b).collect();
        let probability = file.tensor("decoder.conv1d.weight", &[1, STATE, 1])?;
        let probability_bias = file.tensor("decoder.conv1d.bias", &[1])?;
        Ok(Self {
            spectrum: Batched::new(SPECTRUM, &basis, &[0.0; 2 * BINS]),
            // The third convolution has two steps as its input, the fourth has one. Taps that see only padding are
            // left out.
            convolutions: [
                convolution(0, BINS, 128, 0..3)?,
                convolution(1, 128, 64, 0..3)?,
                convolution(2, 64, 64, 1..3)?,
                convolution(3, 64, STATE, 1..2)?,
            ],
            gates: Batched::new(STATE, &weight, &bias),
            recurrence: Single::new(STATE, &recurrence, &[0.0; GATES]),
            probability: Batched::new(STATE, &probability, &probability_bias),
        })
    }

    /// A new stream, with a state of zeros.
    pub(crate) fn stream(&self) -> VadStream<'_> {
        VadStream { vad: self, context: [0.0; CONTEXT], hidden: [0.0; STATE], cell: [0.0; STATE] }
    }

    /// Adds the window's [`Voice`], which shows whether there is speech where a text was recognized. Windows of a
    /// [`Windows`](crate::Windows) iterator have one already.
    ///
    /// # Errors
    /// If a sample is not a number.
    pub fn annotate(&self, mut window: Window) -> Result<Window, Error> {
        let mut samples = window.samples.clone();
        samples.resize(samples.len().next_multiple_of(FRAME), 0.0);
        window.voice = Voice::default();
        for (frame, probability) in self.stream().push(&samples)?.into_iter().enumerate() {
            window.voice.push((frame * FRAME) as u64, probability);
        }
        Ok(window)
    }

    /// The part of the LSTM's gates that depends on the frames' features: from samples `[frames, 4, 256]` to
    /// `[frames, 512]`.
    fn encode(&self, samples: &[f32]) -> Vec<f32> {
        let mut magnitudes = Vec::with_capacity(samples.len() / SPECTRUM * BINS);
        self.spectrum.apply(samples, SPECTRUM, samples.len() / SPECTRUM, |_, row| {
            let (real, imaginary) = row.split_at(BINS);
            magnitudes.extend(real.iter().zip(imaginary).map(|(re, im)| (re * re + im * im).sqrt()));
        });
        let [first, second, third, fourth] = &self.convolutions;
        let x = multiply(first, &neighbourhoods(&magnitudes, BINS, 1), relu);
        let x = multiply(second, &neighbourhoods(&x, first.outputs(), 2), relu);
        let x = multiply(fourth, &multiply(third, &x, relu), relu);
        multiply(&self.gates, &x, |gate| gate)
    }
}

/// The state of the network for one stream of audio.
#[derive(Debug)]
pub(crate) struct VadStream<'v> {
    vad: &'v Vad,
    context: [f32; CONTEXT],
    hidden: [f32; STATE],
    cell: [f32; STATE],
}

impl VadStream<'_> {
    /// The probability of speech in each frame of 512 samples. `samples` must be a whole number of frames.
    pub(crate) fn push(&mut self, samples: &[f32]) -> Result<Vec<f32>, Error> {
        debug_assert_eq!(samples.len() % FRAME, 0);
        let gates = self.vad.encode(&self.spectra_of(samples));
        let mut features = Vec::with_capacity(gates.len() / 4);
        for gates in gates.chunks_exact(GATES) {
            self.step(gates);
            features.extend(self.hidden.map(relu));
        }
        let mut probabilities = multiply(&self.vad.probability, &features, |x| x);
        Sigmoid {}.map_mut(&mut probabilities);
        // The state is not finite either, and would make all later probabilities wrong.
        if probabilities.iter().any(|probability| !probability.is_finite()) {
            return Err(Error::Failed(
                "a sample is not a number, or far too large for one of a sound".into(),
            ));
        }
        Ok(probabilities)
    }

    /// The samples of each spectrum: `[frames, 4, 256]`.
    fn spectra_of(&mut self, samples: &[f32]) -> Vec<f32> {
        let mut spectra = Vec::with_capacity(samples.len() / FRAME * SPECTRA * SPECTRUM);
        let mut padded = [0.0; CONTEXT + FRAME + REFLECTED];
        for frame in samples.chunks_exact(FRAME) {
            padded[..CONTEXT].copy_from_slice(&self.context);
            padded[CONTEXT..][..FRAME].copy_from_slice(frame);
            let reflected = frame.iter().rev().skip(1);
            for (padding, sample) in padded[CONTEXT + FRAME..].iter_mut().zip(reflected) {
                *padding = *sample;
            }
            for start in (0..SPECTRA).map(|index| index * HOP) {
                spectra.extend_from_slice(&padded[start..][..SPECTRUM]);
            }
            self.context.copy_from_slice(&frame[FRAME - CONTEXT..]);
        }
        spectra
    }

    /// One step of the LSTM. `of_features` is the part of the gates that depends on the features.
    fn step(&mut self, of_features: &[f32]) {
        let mut gates = [0.0; GATES];
        self.vad.recurrence.apply(&self.hidden, of_features, &mut gates);
        let (gates, candidate) = gates.split_at_mut(3 * STATE);
        Sigmoid {}.map_mut(gates);
        Tanh {}.map_mut(candidate);
        let (input, gates) = gates.split_at(STATE);
        let (output, forget) = gates.split_at(STATE);
        for (index, cell) in self.cell.iter_mut().enumerate() {
            *cell = forget[index] * *cell + input[index] * candidate[index];
        }
        self.hidden = self.cell;
        Tanh {}.map_mut(&mut self.hidden);
        for (hidden, output) in self.hidden.iter_mut().zip(output) {
            *hidden *= output;
        }
    }
}

/// `x` is `[rows, inputs]`; gives `[rows, outputs]`, each element by `activation`.
fn multiply(weights: &Batched, x: &[f32], activation: impl Fn(f32) -> f32) -> Vec<f32> {
    let rows = x.len() / weights.inputs();
    let mut y = Vec::with_capacity(rows * weights.outputs());
    weights.apply(x, weights.inputs(), rows, |_, row| y.extend(row.iter().map(|x| activation(*x))));
    y
}

/// Unlike `f32::max`, keeps NaN, so that it shows in the probability.
fn relu(value: f32) -> f32 {
    if value < 0.0 { 0.0 } else { value }
}

/// A convolution's weights, `[outputs, inputs, 3]`, as `[outputs, taps, inputs]`.
fn by_taps(weight: &[f32], inputs: usize, taps: Range<usize>) -> Vec<f32> {
    let output = |kernel: &[f32]| -> Vec<f32> {
        taps.clone().flat_map(|tap| kernel.iter().skip(tap).step_by(TAPS).copied()).collect()
    };
    weight.chunks_exact(inputs * TAPS).flat_map(output).collect()
}

/// The inputs of a convolution at every `stride`th of a frame's four steps: the step before, the step itself and the
/// step after. `x` is `[frames, 4, width]`; gives `[frames, 4 / stride, 3 * width]`.
fn neighbourhoods(x: &[f32], width: usize, stride: usize) -> Vec<f32> {
    let mut padded = vec![0.0; (SPECTRA + TAPS - 1) * width];
    let mut rows = Vec::with_capacity(x.len() * TAPS / stride);
    for frame in x.chunks_exact(SPECTRA * width) {
        padded[width..][..frame.len()].copy_from_slice(frame);
        for step in (0..SPECTRA).step_by(stride) {
            rows.extend_from_slice(&padded[step * width..][..TAPS * width]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use verbatim_testing::{clip, floats, for_each_record, models};

    #[test]
    fn frames_may_come_one_by_one_or_together() {
        let vad = Vad::load(&models().join("silero_vad_v6.onnx")).unwrap();
        let clip = clip("austen-0870");
        let samples = &clip[..clip.len() / FRAME * FRAME];
        let together = vad.stream().push(samples).unwrap();
        let mut stream = vad.stream();
        let one_by_one: Vec<f32> =
            samples.chunks(FRAME).flat_map(|frame| stream.push(frame).unwrap()).collect();
        assert_eq!(together, one_by_one);
        assert!(together.iter().any(|probability| *probability > 0.9));
        assert!(stream.push(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_sample_that_is_no_number_is_an_error() {
        let vad = Vad::load(&models().join("silero_vad_v6.onnx")).unwrap();
        for value in [f32::NAN, f32::INFINITY, f32::MAX] {
            let mut samples = [0.0; 2 * FRAME];
            samples[FRAME + 100] = value;
            let sentence = vad.stream().push(&samples).unwrap_err().to_string();
            assert!(sentence.contains("a sample is not a number"), "{sentence}");
        }
    }

    #[test]
    fn a_damaged_file_is_refused_or_read_but_never_panics() {
        let path = models().join("silero_vad_v6.onnx");
        let bytes = std::fs::read(&path).unwrap();
        let load = |bytes: &[u8]| {
            OnnxFile::parse(&path, bytes)
                .and_then(|file| Vad::read(&file))
                .and_then(|vad| vad.stream().push(&[0.1; FRAME]))
        };
        assert_eq!(load(&bytes).unwrap().len(), 1);
        // The operators are at the beginning of the file; after them there are mostly numbers.
        for at in (0..1500).chain((1500..bytes.len()).step_by(4999)) {
            let sentence = load(&bytes[..at]).unwrap_err().to_string();
            assert!(sentence.contains("silero_vad_v6.onnx"), "{sentence}");
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            let _ = load(&changed);
        }
    }

    #[test]
    fn probabilities_are_within_a_thousandth_of_the_reference() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vad.json");
        let vad = Vad::load(&models().join("silero_vad_v6.onnx")).unwrap();
        for_each_record(&fixture, |record, samples| {
            let mut padded = samples.to_vec();
            padded.resize(samples.len().next_multiple_of(FRAME), 0.0);
            let mut stream = vad.stream();
            // In uneven batches: the state has to carry over.
            let probabilities: Vec<f32> =
                padded.chunks(37 * FRAME).flat_map(|batch| stream.push(batch).unwrap()).collect();
            let expected = floats(&record["probabilities"]);
            assert_eq!(probabilities.len(), expected.len());
            for (frame, (probability, expected)) in probabilities.iter().zip(&expected).enumerate() {
                assert!(
                    (probability - expected).abs() < 1e-3,
                    "{}: frame {frame}: {probability} for {expected}",
                    record["clip"]
                );
            }
        });
    }
}

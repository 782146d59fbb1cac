//! Adjusts the level of a stream before voice activity detection: amplifies very quiet recordings, and removes a DC
//! offset.
//!
//! Voice activity detection takes speech for silence if it is 40 dB too quiet or has a large DC offset. Samples at an
//! ordinary level are not changed, which holds for most recordings as a whole. The level of a recording is that of
//! its loudest stretches over minutes. So pauses are not amplified, nor is a speaker who is farther from the
//! microphone than another: beside the loudest stretches they stay as quiet as they were recorded.

use std::collections::VecDeque;

use verbatim_speech::SAMPLE_RATE;

use crate::silero::FRAME;

/// The gain is decided for blocks of this many frames: 4.1 s.
const BLOCK_FRAMES: usize = 128;
const BLOCK: usize = BLOCK_FRAMES * FRAME;

/// The level of a block is that of its frame of this rank, counted from the loudest. Clicks and knocks of less than
/// 0.3 s do not count.
const RANK: usize = 10;

/// Blocks that are read ahead before a block is passed on: 20 s, so that the gain is right when speech begins.
const LOOKAHEAD: usize = 5;

/// Earlier blocks that count for the level: ten minutes.
const MEMORY: usize = 600 * SAMPLE_RATE / BLOCK;

/// Recordings at this level or above are not amplified: -45 dB relative to full scale. Our recordings of speech are
/// at -39 dB and above.
const ORDINARY_LEVEL: f64 = -45.0;

/// Quieter recordings are amplified to this level, in dB.
const TARGET_LEVEL: f64 = -25.0;

/// Recordings below this level, in dB, are not amplified: 16-bit samples hold nothing of speech but a few steps
/// there.
const SILENCE_LEVEL: f64 = -85.0;

/// The maximum gain, in dB.
const MAX_GAIN: f64 = 50.0;

/// The offset of a block is measured without outliers: one in this many frames at either end.
const OUTLIERS: usize = 8;

/// An offset is removed if it is at least this share of the level.
const OFFSET_SHARE: f64 = 0.5;

/// Adjusts the level of a stream. Each block is passed on after [`LOOKAHEAD`] more blocks were read. The samples do
/// not depend on the sizes of the chunks that they come in.
#[derive(Debug, Default)]
pub(crate) struct Leveller {
    /// Samples that were not passed on yet, from the start of a block.
    waiting: VecDeque<f32>,
    /// Measurements of the blocks passed on in the last ten minutes, then of those in `waiting`.
    blocks: VecDeque<Block>,
    /// How many of `blocks` were passed on.
    passed: usize,
    /// The change at the end of the last block that was passed on.
    last: Option<Change>,
    read: u64,
    /// Whether all samples are passed on unchanged.
    off: bool,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    /// The mean without the frames whose means are outliers: clicks do not count here either.
    offset: f64,
    /// The mean square around the offset, in the frame of rank [`RANK`].
    power: f64,
}

/// A sample less `offset`, times `gain`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Change {
    offset: f64,
    gain: f64,
}

impl Change {
    const NONE: Self = Self { offset: 0.0, gain: 1.0 };
}

impl Leveller {
    /// Passes on all samples at once and unchanged: the later level of a live stream is not known.
    pub(crate) fn off() -> Self {
        Self { off: true, ..Self::default() }
    }

    /// The number of samples read.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Takes the next samples. Appends to `out` those that can be passed on.
    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.read += samples.len() as u64;
        if self.off {
            out.extend_from_slice(samples);
            return;
        }
        self.waiting.extend(samples);
        while self.waiting.len() >= (self.blocks.len() - self.passed + 1) * BLOCK {
            self.measure(BLOCK);
            if self.blocks.len() - self.passed > LOOKAHEAD {
                self.pass(BLOCK, out);
            }
        }
    }

    /// Ends the stream: passes all remaining samples on.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) {
        let rest = self.waiting.len() % BLOCK;
        if rest > 0 {
            self.measure(rest);
        }
        while !self.waiting.is_empty() {
            self.pass(self.waiting.len().min(BLOCK), out);
        }
    }

    /// Measures the next block, of `length` samples.
    fn measure(&mut self, length: usize) {
        let start = (self.blocks.len() - self.passed) * BLOCK;
        let block: Vec<f64> = self.waiting.range(start..start + length).copied().map(f64::from).collect();
        let mean = |frame: &[f64]| frame.iter().sum::<f64>() / frame.len() as f64;
        let mut means: Vec<f64> = block.chunks(FRAME).map(mean).collect();
        means.sort_by(f64::total_cmp);
        let outliers = means.len() / OUTLIERS;
        let offset = mean(&means[outliers..means.len() - outliers]);
        let power = |frame: &[f64]| {
            frame.iter().map(|sample| (sample - offset).powi(2)).sum::<f64>() / frame.len() as f64
        };
        let mut powers: Vec<f64> = block.chunks(FRAME).map(power).collect();
        powers.sort_by(|a, b| b.total_cmp(a));
        // A block cut short by the stream's end may have fewer frames.
        let rank = (RANK * powers.len()).div_ceil(BLOCK_FRAMES).clamp(1, powers.len());
        self.blocks.push_back(Block { offset, power: powers[rank - 1] });
    }

    /// Passes on the next block, of `length` samples. Its change is interpolated from the last block's.
    fn pass(&mut self, length: usize, out: &mut Vec<f32>) {
        let to = self.change();
        let from = self.last.replace(to).unwrap_or(to);
        let samples = self.waiting.drain(..length);
        if from == Change::NONE && to == Change::NONE {
            out.extend(samples);
        } else {
            out.extend(samples.enumerate().map(|(at, sample)| {
                let share = at as f64 / length as f64;
                let between = |from: f64, to: f64| from + (to - from) * share;
                let offset = between(from.offset, to.offset);
                ((f64::from(sample) - offset) * between(from.gain, to.gain)).clamp(-1.0, 1.0) as f32
            }));
        }
        self.passed += 1;
        if self.passed > MEMORY {
            self.blocks.pop_front();
            self.passed -= 1;
        }
    }

    /// The change that the next block ends with.
    fn change(&self) -> Change {
        let power = self.blocks.iter().map(|block| block.power).fold(0.0, f64::max);
        let level = 10.0 * power.log10();
        let gain = if (SILENCE_LEVEL..ORDINARY_LEVEL).contains(&level) {
            (TARGET_LEVEL - level).min(MAX_GAIN)
        } else {
            0.0
        };
        // The offset is that of the recording device and rarely changes, so it is averaged over neighbouring blocks.
        let near = self.passed.saturating_sub(1)..(self.passed + 2).min(self.blocks.len());
        let offset =
            self.blocks.range(near.clone()).map(|block| block.offset).sum::<f64>() / near.len() as f64;
        let counts = gain > 0.0 || (offset != 0.0 && offset.abs() >= OFFSET_SHARE * power.sqrt());
        Change { offset: if counts { offset } else { 0.0 }, gain: 10f64.powf(gain / 20.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verbatim_testing::clip;

    fn levelled(samples: &[f32], chunk: usize) -> Vec<f32> {
        let (mut leveller, mut out) = (Leveller::default(), Vec::new());
        for chunk in samples.chunks(chunk) {
            leveller.push(chunk, &mut out);
            assert!(leveller.waiting.len() < (LOOKAHEAD + 1) * BLOCK, "the delay is bounded");
            assert!(leveller.blocks.len() <= MEMORY + LOOKAHEAD + 1);
        }
        leveller.finish(&mut out);
        assert_eq!((out.len(), leveller.read()), (samples.len(), samples.len() as u64));
        out
    }

    /// The samples as a 16-bit recording.
    fn recorded(samples: &[f32], gain: f32, offset: f32) -> Vec<f32> {
        let step = |sample: &f32| ((sample * gain + offset) * 32768.0).round().clamp(-32768.0, 32767.0);
        samples.iter().map(step).map(|step| step / 32768.0).collect()
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
    }

    fn noise(seconds: usize) -> Vec<f32> {
        let mut x = 1u32;
        let mut next = || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 16) as i16 as f32 / 32768.0
        };
        (0..seconds * SAMPLE_RATE).map(|_| next()).collect()
    }

    #[test]
    fn an_ordinary_level_is_not_changed() {
        // Its own offset is a fifteenth of its level.
        let speech = clip("austen-joined");
        let pause = recorded(&noise(300), 0.001, 0.0);
        let samples = [speech.as_slice(), &pause, &speech].concat();
        assert!(levelled(&samples, 16_000) == samples, "and pauses of minutes with it");
        let far = recorded(&speech, 0.03, 0.0);
        let both = [&far[..10 * SAMPLE_RATE], &speech, &far].concat();
        assert!(levelled(&both, 16_000) == both, "a speaker who is far stays far beside one who is near");
        for samples in [vec![0.0; 100_000], recorded(&noise(40), 0.00004, 0.0), Vec::new()] {
            assert!(levelled(&samples, 999) == samples, "silence is silence");
        }
    }

    #[test]
    fn a_very_quiet_recording_is_amplified() {
        let speech = clip("austen-joined");
        for gain in [0.03, 0.01] {
            let raised = levelled(&recorded(&speech, gain, 0.0), 16_000);
            let ratio = rms(&raised) / rms(&speech);
            assert!((0.3..1.5).contains(&ratio), "{ratio}");
            assert!(levelled(&raised, 16_000) == raised, "what was raised is ordinary");
        }
    }

    #[test]
    fn an_offset_is_removed() {
        let speech = clip("austen-joined");
        for (gain, offset) in [(1.0, 0.3), (0.03, 0.1), (0.01, -0.2), (0.0, 0.5)] {
            let out = levelled(&recorded(&speech, gain, offset), 16_000);
            let mean = out.iter().sum::<f32>() / out.len() as f32;
            assert!(mean.abs() < 0.01, "{gain} {offset}: {mean}");
        }
    }

    #[test]
    fn clicks_do_not_make_a_recording_loud() {
        let speech = clip("austen-joined");
        let mut quiet = recorded(&speech, 0.01, 0.0);
        for click in quiet.chunks_exact_mut(2 * SAMPLE_RATE) {
            click[..160].fill(0.9);
        }
        let between = SAMPLE_RATE..2 * SAMPLE_RATE;
        let raised = levelled(&quiet, 16_000);
        assert!(rms(&raised[between.clone()]) > 10.0 * rms(&quiet[between]), "it is raised all the same");
        assert!(raised.iter().all(|sample| sample.abs() <= 1.0));
    }

    #[test]
    fn the_gain_is_right_when_speech_begins_and_depends_on_ten_minutes() {
        let speech = clip("austen-joined");
        let silence = vec![0.0; 60 * SAMPLE_RATE];
        let quiet = recorded(&speech, 0.01, 0.0);
        let late = levelled(&[silence.as_slice(), &quiet].concat(), 16_000);
        let first = 61 * SAMPLE_RATE..63 * SAMPLE_RATE;
        assert!(rms(&late[first]) > 0.3 * rms(&speech[SAMPLE_RATE..3 * SAMPLE_RATE]));
        let long = [speech.as_slice(), &quiet, &silence.repeat(11), &quiet].concat();
        let out = levelled(&long, 160_000);
        assert!(out[speech.len()..2 * speech.len()] == quiet[..], "loud speech was near");
        let last = long.len() - quiet.len();
        assert!(rms(&out[last..]) > 10.0 * rms(&quiet), "it is long forgotten");
    }

    #[test]
    fn chunks_of_any_size_give_the_same_samples() {
        let speech = clip("austen-joined");
        let samples = [recorded(&speech, 0.01, 0.1), speech].concat();
        let expected = levelled(&samples, samples.len());
        for chunk in [1_000, 65_536, 99_999] {
            assert!(levelled(&samples, chunk) == expected, "chunks of {chunk}");
        }
    }
}

//! Mixes channels to one, so that nothing said on any of them is lost.
//!
//! The usual mix is a weighted mean. It is silent if one channel is another's inverse, and quiet if only one channel
//! of many has speech. So the sound is measured in blocks of 20 ms, counted from the start of the stream, and each
//! block is mixed in one of three ways:
//!
//! - **mean**, as ffmpeg does, unless it is much quieter than the loudest channel;
//! - **sum**, at the level of the loudest channel, if channels are silent or differ;
//! - **solo**, only the loudest channel, if the sum cancels.
//!
//! The result depends on the samples alone, not on the sizes of the pieces that they come in.

use crate::SAMPLE_RATE;

/// Samples in a block: 20 ms.
const BLOCK: usize = SAMPLE_RATE / 50;

/// The weight of earlier blocks in the measured power, per block: half of it is left after 0.13 s.
const MEMORY: f32 = 0.9;

/// The mean is abandoned if its power falls below the first share of the loudest channel's power, and used again if
/// it rises above the second. For stereo, both are between 0.25 (one channel is silent) and 0.5 (two independent
/// voices): word error rates were measured with the mean.
const STEREO_MEAN: [f32; 2] = [0.3, 0.4];

/// The same for more channels, whose mean is rarely as loud as they are.
const SURROUND_MEAN: [f32; 2] = [0.6, 0.7];

/// The minimum power of the sum as a share of the loudest channel's; below it the channels cancel each other.
const MIN_SUM: f32 = 0.5;

/// A solo changes to another channel if that has this many times its power.
const LOUDER: f32 = 2.0;

/// The power below which the mode is not changed: -80 dB.
const SILENCE: f32 = 1e-8;

/// How a block is mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Mean,
    Sum,
    Solo(usize),
}

/// Mixes interleaved samples of several channels to one.
#[derive(Debug)]
pub(super) struct Downmix {
    /// The weight of each channel in the sum; 0 if it is not mixed.
    weights: Vec<f32>,
    /// Interleaved samples of the block that is not complete yet.
    waiting: Vec<i16>,
    /// The last sample of each channel, and of their sum.
    last: Vec<f32>,
    last_sum: f32,
    /// The mean power of each channel, and of their sum, without constant parts and rumble.
    power: Vec<f32>,
    power_of_sum: f32,
    mode: Mode,
    /// The gain of each channel at the end of the last block.
    gains: Option<Vec<f32>>,
}

impl Downmix {
    /// For channels with these weights, at least one of which is not 0.
    pub(super) fn new(weights: &[f32]) -> Self {
        Self {
            weights: weights.to_vec(),
            waiting: Vec::new(),
            last: vec![0.0; weights.len()],
            last_sum: 0.0,
            power: vec![0.0; weights.len()],
            power_of_sum: 0.0,
            mode: Mode::Mean,
            gains: None,
        }
    }

    /// Takes interleaved samples, and appends to `mixed` the blocks that are complete.
    pub(super) fn push(&mut self, samples: &[i16], mixed: &mut Vec<f32>) {
        if self.weights.len() == 1 {
            mixed.extend(samples.iter().map(|sample| to_float(*sample)));
            return;
        }
        let whole = BLOCK * self.weights.len();
        let mut samples = samples;
        while self.waiting.len() + samples.len() >= whole {
            let (block, rest) = samples.split_at(whole - self.waiting.len());
            self.waiting.extend(block);
            samples = rest;
            self.mix_waiting(mixed);
        }
        self.waiting.extend(samples);
    }

    /// [`push`](Self::push) for `count` samples of silence per channel.
    pub(super) fn push_silence(&mut self, count: usize, mixed: &mut Vec<f32>) {
        self.push(&vec![0; count * self.weights.len()], mixed);
    }

    /// Ends the stream: appends the rest.
    pub(super) fn finish(&mut self, mixed: &mut Vec<f32>) {
        if !self.waiting.is_empty() {
            self.mix_waiting(mixed);
        }
    }

    /// Mixes the samples in `waiting` as a block.
    fn mix_waiting(&mut self, mixed: &mut Vec<f32>) {
        let block: Vec<f32> = self.waiting.drain(..).map(to_float).collect();
        self.measure(&block);
        self.mode = self.decide();
        let target = self.target();
        let from = self.gains.replace(target.clone()).unwrap_or_else(|| target.clone());
        let frames = block.chunks_exact(self.weights.len());
        if from == target {
            mixed.extend(frames.map(|frame| dot(frame, &target)));
            return;
        }
        let count = frames.len() as f32;
        mixed.extend(frames.enumerate().map(|(index, frame)| {
            let share = (index + 1) as f32 / count;
            dot(frame, &from) * (1.0 - share) + dot(frame, &target) * share
        }));
    }

    /// Measures the power of the differences between samples. These have no constant part and little rumble, neither
    /// of which is speech.
    fn measure(&mut self, block: &[f32]) {
        let channels = self.weights.len();
        let mut power = vec![0.0; channels];
        let mut power_of_sum = 0.0;
        for frame in block.chunks_exact(channels) {
            for ((power, last), sample) in power.iter_mut().zip(&mut self.last).zip(frame) {
                *power += (sample - *last).powi(2);
                *last = *sample;
            }
            let sum = dot(frame, &self.weights);
            power_of_sum += (sum - self.last_sum).powi(2);
            self.last_sum = sum;
        }
        let count = (block.len() / channels).max(1) as f32;
        let average = |old: f32, new: f32| old * MEMORY + new / count * (1.0 - MEMORY);
        for (old, new) in self.power.iter_mut().zip(power) {
            *old = average(*old, new);
        }
        self.power_of_sum = average(self.power_of_sum, power_of_sum);
    }

    /// The loudest channel that is mixed.
    fn loudest(&self) -> usize {
        let mixed = (0..self.weights.len()).filter(|channel| self.weights[*channel] > 0.0);
        mixed.max_by(|one, other| self.power[*one].total_cmp(&self.power[*other])).unwrap_or(0)
    }

    /// The mode for the block just measured.
    fn decide(&self) -> Mode {
        let loudest = self.loudest();
        let power = self.power[loudest];
        if power < SILENCE {
            return self.mode;
        }
        let total: f32 = self.weights.iter().sum();
        let [abandon, resume] = if self.weights.len() == 2 { STEREO_MEAN } else { SURROUND_MEAN };
        let needed = if self.mode == Mode::Mean { abandon } else { resume };
        if self.power_of_sum / (total * total) >= needed * power {
            return Mode::Mean;
        }
        if self.power_of_sum >= MIN_SUM * power {
            return Mode::Sum;
        }
        match self.mode {
            Mode::Solo(channel) if power < LOUDER * self.power[channel] => Mode::Solo(channel),
            _ => Mode::Solo(loudest),
        }
    }

    /// The gain of each channel in the current mode.
    fn target(&self) -> Vec<f32> {
        let total: f32 = self.weights.iter().sum();
        let gain = match self.mode {
            Mode::Solo(solo) => {
                return (0..self.weights.len()).map(|channel| f32::from(u8::from(channel == solo))).collect();
            }
            Mode::Mean => 1.0 / total,
            Mode::Sum if self.power_of_sum < SILENCE => 1.0,
            // Not louder than the loudest channel, so that the sum does not clip if that did not.
            Mode::Sum => (self.power[self.loudest()] / self.power_of_sum).sqrt().clamp(1.0 / total, 1.0),
        };
        self.weights.iter().map(|weight| weight * gain).collect()
    }
}

fn dot(frame: &[f32], weights: &[f32]) -> f32 {
    frame.iter().zip(weights).map(|(sample, weight)| sample * weight).sum()
}

fn to_float(sample: i16) -> f32 {
    f32::from(sample) / 32768.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise with the given level; each seed gives different noise.
    fn noise(seed: u32, level: f32, count: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).max(1);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state as f32 / u32::MAX as f32 - 0.5) * 2.0 * level
        };
        (0..count).map(|_| next()).collect()
    }

    fn interleave(channels: &[&[f32]]) -> Vec<i16> {
        let frames = 0..channels[0].len();
        frames
            .flat_map(|at| channels.iter().map(move |channel| (channel[at] * 32768.0).round() as i16))
            .collect()
    }

    fn mix(weights: &[f32], samples: &[i16]) -> Vec<f32> {
        let (mut downmix, mut mixed) = (Downmix::new(weights), Vec::new());
        downmix.push(samples, &mut mixed);
        downmix.finish(&mut mixed);
        mixed
    }

    fn level(samples: &[f32]) -> f32 {
        (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
    }

    const STEREO: [f32; 2] = [1.0, 1.0];

    #[test]
    fn mono_is_not_changed() {
        let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let expected: Vec<f32> = samples.iter().map(|sample| f32::from(*sample) / 32768.0).collect();
        assert_eq!(mix(&[1.0], &samples), expected);
    }

    #[test]
    fn ordinary_stereo_is_the_mean() {
        let (middle, left, right) = (noise(1, 0.4, 50_000), noise(2, 0.4, 50_000), noise(3, 0.4, 50_000));
        // From identical channels to independent ones.
        for part in [1.0, 0.5, 0.1, 0.0] {
            let side = |own: &[f32]| -> Vec<f32> {
                middle.iter().zip(own).map(|(middle, own)| middle * part + own * (1.0 - part)).collect()
            };
            let samples = interleave(&[&side(&left), &side(&right)]);
            let expected: Vec<f32> =
                samples.chunks(2).map(|pair| (to_float(pair[0]) + to_float(pair[1])) / 2.0).collect();
            assert_eq!(mix(&STEREO, &samples), expected, "{part}");
        }
    }

    #[test]
    fn an_inverted_channel_cancels_nothing() {
        let sound = noise(1, 0.5, 30_000);
        for factor in [-1.0, -0.9, -0.5] {
            let inverse: Vec<f32> = sound.iter().map(|sample| sample * factor).collect();
            for samples in [interleave(&[&sound, &inverse]), interleave(&[&inverse, &sound])] {
                let mixed = mix(&STEREO, &samples);
                let difference = level(&mixed) / level(&sound);
                assert!((0.89..1.01).contains(&difference), "{factor}: {difference}");
            }
        }
    }

    #[test]
    fn a_silent_channel_does_not_weaken_the_other() {
        let (sound, silence) = (noise(1, 0.5, 30_000), vec![0.0; 30_000]);
        let constant = vec![0.2; 30_000];
        for other in [&silence, &constant] {
            let mixed = mix(&STEREO, &interleave(&[&sound, other]));
            let constant = other[0];
            let rest: Vec<f32> = mixed.iter().map(|sample| sample - constant).collect();
            assert!((level(&rest) / level(&sound) - 1.0).abs() < 0.01);
        }
        // The same for sixteen discrete channels.
        let mut channels = vec![&silence[..]; 16];
        channels[11] = &sound;
        let mixed = mix(&[1.0; 16], &interleave(&channels));
        assert!((level(&mixed) / level(&sound) - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_change_is_followed_without_a_click() {
        let tone: Vec<f32> = (0..64_000).map(|at| (at as f32 * 0.1).sin() * 0.4).collect();
        let right: Vec<f32> =
            tone.iter().enumerate().map(|(at, sample)| if at < 32_000 { *sample } else { -sample }).collect();
        let mixed = mix(&STEREO, &interleave(&[&tone, &right]));
        assert!(level(&mixed[..32_000]) > 0.27 && level(&mixed[40_000..]) > 0.27);
        // The tone itself changes by 0.04 from sample to sample.
        let step = mixed[1..].iter().zip(&mixed).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
        let cut = 32_000;
        let at_cut = (mixed[cut] - mixed[cut - 1]).abs();
        assert!(step <= at_cut.max(0.05), "{step}");
    }

    #[test]
    fn speech_on_few_of_many_channels_keeps_its_level() {
        let weights = [0.707, 0.707, 1.0, 0.1, 0.5, 0.5];
        let (speech, silence) = (noise(1, 0.3, 30_000), vec![0.0; 30_000]);
        let rumble: Vec<f32> = (0..30_000).map(|at| (at as f32 * 0.02).sin() * 0.9).collect();
        let level_of = |spoken: &[usize], low: &[f32]| {
            let mut channels = [&silence[..]; 6];
            channels[3] = low;
            spoken.iter().for_each(|channel| channels[*channel] = &speech);
            let mixed = mix(&weights, &interleave(&channels));
            let rest: Vec<f32> = mixed.iter().zip(low).map(|(sample, low)| sample - low * 0.1).collect();
            level(&rest) / level(&speech)
        };
        // In the centre with rumble, in front, behind, and in the low-frequency channel.
        assert!((level_of(&[2], &rumble) - 1.0).abs() < 0.05);
        for spoken in [&[0, 1][..], &[4, 5], &[0, 1, 2], &[5], &[3]] {
            let level = level_of(spoken, &silence);
            assert!((0.7..1.1).contains(&level), "{spoken:?}: {level}");
        }
        // All at once does not clip.
        let loud = noise(3, 0.99, 30_000);
        let mixed = mix(&weights, &interleave(&[&loud; 6].map(|channel| &channel[..])));
        assert!(mixed.iter().all(|sample| sample.abs() <= 1.0));
    }

    #[test]
    fn the_sizes_of_pieces_do_not_matter() {
        let (left, right) = (noise(1, 0.5, 20_000), noise(2, 0.1, 20_000));
        let flipped: Vec<f32> = left
            .iter()
            .zip(&right)
            .enumerate()
            .map(|(at, (left, right))| if at % 7000 < 3000 { -left } else { *right })
            .collect();
        let samples = interleave(&[&left, &flipped]);
        let whole = mix(&STEREO, &samples);
        assert_eq!(whole.len(), 20_000);
        for piece in [2, 34, 640, 1000, 7778] {
            let (mut downmix, mut mixed) = (Downmix::new(&STEREO), Vec::new());
            samples.chunks(piece).for_each(|piece| downmix.push(piece, &mut mixed));
            downmix.finish(&mut mixed);
            assert_eq!(mixed, whole, "{piece}");
        }
    }
}

//! The level of a stream: recordings that are far too quiet are raised, and an offset from zero is taken out, before
//! anybody listens.
//!
//! Voice activity detection takes speech that is 40 dB too quiet, or that rides on an offset, for silence. What is at an
//! ordinary level goes through bit by bit, so most recordings do as a whole. The level of a recording is that of its
//! loudest stretches over minutes, so that pauses are not raised, nor a speaker who is farther from the microphone than
//! another: both are as they were recorded beside the loudest.

use std::collections::VecDeque;

use crate::SAMPLE_RATE;
use crate::vad::FRAME;

/// The gain is decided for blocks of this many frames: 4.1 s.
const BLOCK_FRAMES: usize = 128;
const BLOCK: usize = BLOCK_FRAMES * FRAME;

/// A block is as loud as its frame of this rank, counted from the loudest: clicks and knocks of less than 0.3 s do not count.
const RANK: usize = 10;

/// Blocks that are looked at before a block goes on: 20 s, so that the gain is right when speech begins.
const AHEAD: usize = 5;

/// Blocks that a level is remembered for: ten minutes.
const MEMORY: usize = 600 * SAMPLE_RATE / BLOCK;

/// Recordings with this level or more are ordinary: -45 dB below full scale. Those of our speech are at -39 and more.
const ORDINARY: f64 = -45.0;

/// What is more quiet is raised to this level …
const RAISED: f64 = -25.0;

/// … unless it is under this one, where 16 bits leave nothing of speech but steps.
const NOTHING: f64 = -85.0;

/// No more than this is added, in dB.
const MOST_GAIN: f64 = 50.0;

/// An offset counts if it is this share of the level or more.
const OFFSET_SHARE: f64 = 0.5;

/// A stream on its way through. Gives the samples on once it knows what is [`AHEAD`]; the same ones in whatever chunks
/// they come.
#[derive(Debug, Default)]
pub(crate) struct Leveller {
    /// What was not given on, from the start of a block.
    waiting: VecDeque<f32>,
    /// Blocks that went on, as long as they are remembered, then those in `waiting`.
    blocks: VecDeque<Block>,
    /// How many of the blocks went on.
    gone: usize,
    /// What the last block was changed by at its end.
    last: Option<Change>,
    read: u64,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    /// Mean of its samples.
    offset: f64,
    /// Mean square about that, of the frame that counts.
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
    /// Samples that came in.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Takes in what comes next, and puts what can go on behind `out`.
    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.read += samples.len() as u64;
        self.waiting.extend(samples);
        while self.waiting.len() >= (self.blocks.len() - self.gone + 1) * BLOCK {
            self.measure(BLOCK);
            if self.blocks.len() - self.gone > AHEAD {
                self.pass(BLOCK, out);
            }
        }
    }

    /// The stream has ended: all of the rest goes on.
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
        let start = (self.blocks.len() - self.gone) * BLOCK;
        let block: Vec<f64> = self.waiting.range(start..start + length).copied().map(f64::from).collect();
        let offset = block.iter().sum::<f64>() / length as f64;
        let power = |frame: &[f64]| {
            frame.iter().map(|sample| (sample - offset).powi(2)).sum::<f64>() / frame.len() as f64
        };
        let mut powers: Vec<f64> = block.chunks(FRAME).map(power).collect();
        powers.sort_by(|a, b| b.total_cmp(a));
        // A block cut short by the stream's end may have fewer frames.
        let rank = (RANK * powers.len()).div_ceil(BLOCK_FRAMES).clamp(1, powers.len());
        self.blocks.push_back(Block { offset, power: powers[rank - 1] });
    }

    /// Gives the next block, of `length` samples, on.
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
        self.gone += 1;
        if self.gone > MEMORY {
            self.blocks.pop_front();
            self.gone -= 1;
        }
    }

    /// What is right for the next block.
    fn change(&self) -> Change {
        let power = self.blocks.iter().map(|block| block.power).fold(0.0, f64::max);
        let level = 10.0 * power.log10();
        let gain = if (NOTHING..ORDINARY).contains(&level) { (RAISED - level).min(MOST_GAIN) } else { 0.0 };
        // An offset is the recording device's, and as long as that is the same so is the offset.
        let near = self.gone.saturating_sub(1)..(self.gone + 2).min(self.blocks.len());
        let offset = self.blocks.range(near.clone()).map(|block| block.offset).sum::<f64>() / near.len() as f64;
        let counts = gain > 0.0 || (offset != 0.0 && offset.abs() >= OFFSET_SHARE * power.sqrt());
        Change { offset: if counts { offset } else { 0.0 }, gain: 10f64.powf(gain / 20.0) }
    }
}

//! Windows: stretches of speech of at most 30 s, cut from a stream by voice activity.

use std::io;

use crate::{SAMPLE_RATE, Vad};

/// Speech to transcribe: at most 30 s of samples, possibly joined from pieces of the original audio
/// with long silences between them left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Its place among the stream's windows, from 0.
    pub index: usize,
    /// 16 kHz mono.
    pub samples: Vec<f32>,
    /// Where each piece of `samples` was in the original; in order, the first at offset 0.
    pieces: Vec<Piece>,
}

/// `samples[offset..]` up to the next piece were the original's samples from `origin` on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    offset: usize,
    origin: u64,
}

impl Window {
    /// One uncut stretch that starts `start` seconds into the original.
    pub fn new(index: usize, start: f64, samples: Vec<f32>) -> Self {
        let origin = (start * SAMPLE_RATE as f64).round() as u64;
        Self { index, samples, pieces: vec![Piece { offset: 0, origin }] }
    }

    /// Where the window starts in the original, in seconds.
    pub fn start(&self) -> f64 {
        self.original_time(0.0)
    }

    /// Where the window ends in the original, in seconds.
    pub fn end(&self) -> f64 {
        self.original_time(self.samples.len() as f64 / SAMPLE_RATE as f64)
    }

    /// From seconds within the window to seconds in the original.
    pub fn original_time(&self, seconds: f64) -> f64 {
        let _ = (seconds, &self.pieces);
        todo!()
    }
}

/// Cuts a stream of 16 kHz mono samples into windows of speech. Holds no more than about two windows
/// of samples, however long the stream. The same stream always gives the same windows.
#[derive(Debug)]
pub struct Windows<'v, I> {
    vad: &'v Vad,
    pcm: I,
}

impl<'v, I: Iterator<Item = io::Result<Vec<f32>>>> Windows<'v, I> {
    /// `pcm` gives the stream in chunks of any size.
    pub fn new(vad: &'v Vad, pcm: I) -> Self {
        Self { vad, pcm }
    }

    /// How much of the stream was read so far, in seconds.
    pub fn seconds_read(&self) -> f64 {
        todo!()
    }
}

impl<I: Iterator<Item = io::Result<Vec<f32>>>> Iterator for Windows<'_, I> {
    type Item = io::Result<Window>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = (self.vad, &mut self.pcm);
        todo!()
    }
}

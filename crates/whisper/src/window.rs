//! Windows: stretches of speech of at most 30 s, cut from a stream by voice activity.

use std::collections::VecDeque;
use std::io;

use crate::spans::{Span, SpanDetector};
use crate::vad::{FRAME, Vad, VadStream};
use crate::{SAMPLE_RATE, WINDOW_SECONDS};

const MAX_SAMPLES: u64 = (WINDOW_SECONDS * SAMPLE_RATE) as u64;

/// Kept around speech, so that soft first and last sounds are heard: 0.4 s. A silence of more than twice
/// this within a window is shortened to that.
const PADDING: u64 = SAMPLE_RATE as u64 * 400 / 1000;

/// Frames that voice activity detection takes at once: about a second.
const FRAMES_AT_ONCE: usize = 32;

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
    offset: u64,
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
        self.original_start(0.0)
    }

    /// Where the window ends in the original, in seconds.
    pub fn end(&self) -> f64 {
        self.original_end(self.samples.len() as f64 / SAMPLE_RATE as f64)
    }

    /// Where in the original something was that was heard from `start` to `end` seconds into the window.
    ///
    /// The model puts the border of two segments somewhere into the silence between them. Where most of that
    /// was left out, a segment that only just reaches over it is taken to stop, or to start, at it.
    pub fn original_span(&self, start: f64, end: f64) -> (f64, f64) {
        const REACH: f64 = 2.0 * PADDING as f64 / SAMPLE_RATE as f64;
        let cuts = || self.pieces.iter().skip(1).map(|piece| seconds_of(piece.offset));
        let cut_before_end = cuts().find(|cut| start < *cut && *cut < end && end - cut <= REACH);
        let cut_after_start = cuts().find(|cut| start < *cut && *cut < end && cut - start <= REACH);
        match (cut_before_end, cut_after_start) {
            (Some(cut), None) => (self.original_start(start), self.original_end(cut)),
            (None, Some(cut)) => (self.original_start(cut), self.original_end(end)),
            _ => (self.original_start(start), self.original_end(end)),
        }
    }

    /// Where in the original a word was that was heard from `start` to `end` seconds into the window: all of it on
    /// one side of a silence that was left out.
    pub(crate) fn original_word(&self, start: f64, end: f64) -> (f64, f64) {
        let middle = (start + end) / 2.0;
        let next = self.pieces.partition_point(|piece| seconds_of(piece.offset) <= middle);
        let from = self.pieces.get(next.max(1) - 1).map_or(0, |piece| piece.offset);
        let to = self.pieces.get(next).map_or(self.samples.len() as u64, |piece| piece.offset);
        let within = |seconds: f64| seconds.max(seconds_of(from)).min(seconds_of(to));
        (self.original(within(start), next), self.original(within(end), next))
    }

    /// On the border of two pieces, in the later one.
    fn original_start(&self, seconds: f64) -> f64 {
        self.original(seconds, self.pieces.partition_point(|piece| seconds_of(piece.offset) <= seconds))
    }

    /// On the border of two pieces, in the earlier one.
    fn original_end(&self, seconds: f64) -> f64 {
        self.original(seconds, self.pieces.partition_point(|piece| seconds_of(piece.offset) < seconds))
    }

    /// By the piece before `next`.
    fn original(&self, seconds: f64, next: usize) -> f64 {
        let piece = self.pieces[next.max(1) - 1];
        let time = seconds - seconds_of(piece.offset) + seconds_of(piece.origin);
        // Milliseconds are finer than the model's own steps, and read better than 1.3800000000000001.
        (time * 1000.0).round() / 1000.0
    }
}

fn seconds_of(samples: u64) -> f64 {
    samples as f64 / SAMPLE_RATE as f64
}

/// Cuts a stream of 16 kHz mono samples into windows of speech. Holds no more than about two windows
/// of samples, however long the stream. The same stream always gives the same windows, in whatever
/// chunks it comes.
#[derive(Debug)]
pub struct Windows<'v, I> {
    pcm: I,
    vad: VadStream<'v>,
    detector: SpanDetector,
    tape: Tape,
    /// Samples up to here went through voice activity detection.
    heard: u64,
    open: Option<OpenWindow>,
    /// Where the last window ended in the original: the next does not start before.
    taken: u64,
    count: usize,
    ready: VecDeque<Window>,
    ended: bool,
    failure: Option<io::Error>,
}

/// The part of the stream that may still be needed.
#[derive(Debug, Default)]
struct Tape {
    start: u64,
    samples: Vec<f32>,
}

impl Tape {
    fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    fn slice(&self, from: u64, to: u64) -> &[f32] {
        &self.samples[(from - self.start) as usize..(to.min(self.end()) - self.start) as usize]
    }

    fn forget_before(&mut self, position: u64) {
        // Moving what is left is worth it only every few seconds.
        let count = position.saturating_sub(self.start);
        if count >= 4 * SAMPLE_RATE as u64 {
            self.samples.drain(..count as usize);
            self.start = position;
        }
    }
}

/// A window that may still take in more speech.
#[derive(Debug)]
struct OpenWindow {
    samples: Vec<f32>,
    pieces: Vec<Piece>,
    /// Samples of the original up to here are in it.
    end: u64,
    /// The padding behind its last speech is in it, too: a long silence follows.
    sealed: bool,
}

impl OpenWindow {
    fn start(tape: &Tape, from: u64, to: u64) -> Self {
        let pieces = vec![Piece { offset: 0, origin: from }];
        Self { samples: tape.slice(from, to).to_vec(), pieces, end: to, sealed: false }
    }

    /// Takes in what follows directly.
    fn extend(&mut self, tape: &Tape, to: u64) {
        self.samples.extend_from_slice(tape.slice(self.end, to));
        self.end = to;
    }

    /// Leaves a silence out and goes on behind it.
    fn skip_to(&mut self, tape: &Tape, from: u64, to: u64) {
        self.pieces.push(Piece { offset: self.samples.len() as u64, origin: from });
        self.samples.extend_from_slice(tape.slice(from, to));
        self.end = to;
        self.sealed = false;
    }
}

impl<'v, I: Iterator<Item = io::Result<Vec<f32>>>> Windows<'v, I> {
    /// `pcm` gives the stream in chunks of any size.
    pub fn new(vad: &'v Vad, pcm: I) -> Self {
        Self {
            pcm,
            vad: vad.stream(),
            detector: SpanDetector::new(MAX_SAMPLES - 2 * PADDING),
            tape: Tape::default(),
            heard: 0,
            open: None,
            taken: 0,
            count: 0,
            ready: VecDeque::new(),
            ended: false,
            failure: None,
        }
    }

    /// How much of the stream was read so far, in seconds.
    pub fn seconds_read(&self) -> f64 {
        seconds_of(self.tape.end())
    }

    /// Listens to what was read, as far as it makes up whole batches of frames: batches do not depend on
    /// how the stream was cut into chunks, so that neither do the windows.
    fn listen(&mut self) -> io::Result<()> {
        let batch = FRAMES_AT_ONCE * FRAME;
        while self.tape.end() - self.heard >= batch as u64 {
            let samples = self.tape.slice(self.heard, self.heard + batch as u64).to_vec();
            self.listen_to(&samples)?;
        }
        Ok(())
    }

    /// Listens to the rest, filled up with silence, and closes the last window.
    fn finish(&mut self) -> io::Result<()> {
        let end = self.tape.end();
        let mut rest = self.tape.slice(self.heard, end).to_vec();
        rest.resize(rest.len().next_multiple_of(FRAME), 0.0);
        self.listen_to(&rest)?;
        if let Some(span) = self.detector.finish(end) {
            self.take(span);
        }
        if let Some(mut open) = self.open.take() {
            if !open.sealed {
                open.extend(&self.tape, (open.end + PADDING).min(end));
            }
            self.emit(open);
        }
        Ok(())
    }

    fn listen_to(&mut self, samples: &[f32]) -> io::Result<()> {
        let probabilities = self.vad.push(samples).map_err(io::Error::other)?;
        for (frame, probability) in samples.chunks_exact(FRAME).zip(probabilities) {
            let power = frame.iter().map(|sample| sample * sample).sum();
            self.heard += FRAME as u64;
            if let Some(span) = self.detector.push(probability, power) {
                self.take(span);
            }
            self.seal();
        }
        self.tape.forget_before(self.needed_from());
        Ok(())
    }

    /// Adds a span of speech to the open window, or closes that and opens the next.
    fn take(&mut self, span: Span) {
        let end = span.end.min(self.tape.end());
        let Some(open) = &mut self.open else {
            let lead = PADDING.min(span.start - self.taken);
            self.open = Some(OpenWindow::start(&self.tape, span.start - lead, end));
            return;
        };
        let gap = span.start - open.end;
        let lead = if open.sealed { PADDING.min(gap) } else { gap };
        let total = open.samples.len() as u64 + lead + (end - span.start) + PADDING;
        if total > MAX_SAMPLES {
            if !open.sealed {
                open.extend(&self.tape, open.end + gap / 2);
            }
            self.taken = open.end;
            let lead = PADDING.min(span.start - self.taken);
            let next = OpenWindow::start(&self.tape, span.start - lead, end);
            if let Some(full) = self.open.replace(next) {
                self.emit(full);
            }
        } else if open.sealed {
            open.skip_to(&self.tape, span.start - lead, end);
        } else {
            open.extend(&self.tape, end);
        }
    }

    /// Once a silence behind the open window is known to be long, its padding can be taken in and the rest
    /// of the silence forgotten.
    fn seal(&mut self) {
        let silent_until = self.detector.open_since().unwrap_or(self.heard).min(self.tape.end());
        if let Some(open) = &mut self.open
            && !open.sealed
            && silent_until > open.end + 2 * PADDING
        {
            open.extend(&self.tape, open.end + PADDING);
            open.sealed = true;
        }
    }

    /// The first sample that a window may still take in.
    fn needed_from(&self) -> u64 {
        let padded = self.detector.open_since().unwrap_or(self.heard).saturating_sub(PADDING);
        match &self.open {
            Some(open) if !open.sealed => open.end.min(padded),
            _ => padded,
        }
    }

    fn emit(&mut self, open: OpenWindow) {
        self.taken = self.taken.max(open.end);
        self.ready.push_back(Window { index: self.count, samples: open.samples, pieces: open.pieces });
        self.count += 1;
    }
}

impl<I: Iterator<Item = io::Result<Vec<f32>>>> Iterator for Windows<'_, I> {
    type Item = io::Result<Window>;

    /// The next window. An error of the stream comes after the windows of what was read before it, and is
    /// the last item.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(window) = self.ready.pop_front() {
                return Some(Ok(window));
            }
            if self.ended {
                return self.failure.take().map(Err);
            }
            let step = match self.pcm.next() {
                Some(Ok(samples)) => {
                    self.tape.samples.extend_from_slice(&samples);
                    self.listen()
                }
                Some(Err(error)) => self.finish().and(Err(error)),
                None => {
                    self.ended = true;
                    self.finish()
                }
            };
            if let Err(error) = step {
                self.ended = true;
                self.failure = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    fn vad() -> Vad {
        Vad::load(&reference::models().join("silero_vad_v6.onnx")).unwrap()
    }

    fn windows(vad: &Vad, samples: &[f32], chunk: usize) -> Vec<Window> {
        let chunks = samples.chunks(chunk).map(|chunk| Ok(chunk.to_vec()));
        Windows::new(vad, chunks).map(Result::unwrap).collect()
    }

    /// Speech with silences between, as so many (clip, seconds of silence behind it).
    fn speech(parts: &[(&str, usize)]) -> Vec<f32> {
        let mut samples = Vec::new();
        for (clip, silence) in parts {
            samples.extend(reference::clip(clip));
            samples.resize(samples.len() + silence * SAMPLE_RATE, 0.0);
        }
        samples
    }

    #[test]
    fn windows_hold_the_original_samples_at_the_times_they_claim() {
        let parts = [
            ("austen-0870", 1),
            ("cards-005", 5),
            ("austen-joined", 0),
            ("austen-joined", 61),
            ("cards-001", 2),
        ];
        let samples = speech(&parts);
        let windows = windows(&vad(), &samples, 16_000);
        assert!(windows.len() >= 3, "{}", windows.len());
        let mut last_end = 0.0;
        for (index, window) in windows.iter().enumerate() {
            assert_eq!(window.index, index);
            assert!(window.samples.len() as u64 <= MAX_SAMPLES);
            assert!(window.start() >= last_end, "windows do not overlap");
            last_end = window.end();
            let ends =
                window.pieces.iter().skip(1).map(|piece| piece.offset).chain([window.samples.len() as u64]);
            for (piece, end) in window.pieces.iter().zip(ends) {
                let length = (end - piece.offset) as usize;
                let original = &samples[piece.origin as usize..][..length];
                assert_eq!(&window.samples[piece.offset as usize..][..length], original);
            }
        }
        assert!(last_end <= samples.len() as f64 / SAMPLE_RATE as f64);
        assert!(
            windows.iter().any(|window| window.pieces.len() > 1),
            "a long silence was left out of a window"
        );
    }

    #[test]
    fn chunks_of_any_size_give_the_same_windows() {
        let vad = vad();
        let samples = speech(&[("cards-005", 3), ("austen-joined", 0), ("austen-0870", 20)]);
        let expected = windows(&vad, &samples, samples.len());
        for chunk in [511, 16_000, 99_999] {
            assert_eq!(windows(&vad, &samples, chunk), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn a_sound_that_never_pauses_is_cut_into_windows_that_lose_nothing() {
        let mut samples = Vec::new();
        while samples.len() < 100 * SAMPLE_RATE {
            samples.extend(reference::clip("austen-0870").iter().filter(|sample| sample.abs() > 0.01));
        }
        let windows = windows(&vad(), &samples, 16_000);
        assert!(windows.len() >= 4);
        let heard: f64 = windows.iter().map(|window| window.end() - window.start()).sum();
        assert!(heard > 95.0, "only {heard} s of 100 were taken");
    }

    #[test]
    fn silence_and_nothing_at_all_give_no_windows() {
        let vad = vad();
        for length in [0, 1, 511, 512, 16_000 * 40] {
            assert_eq!(windows(&vad, &vec![0.0; length], 16_000), [], "{length} samples");
        }
    }

    #[test]
    fn what_was_read_before_an_error_still_comes_and_then_the_error() {
        let vad = vad();
        let pcm = [Ok(speech(&[("austen-0870", 0)])), Err(io::Error::other("the decoder died"))];
        let items: Vec<_> = Windows::new(&vad, pcm.into_iter()).collect();
        assert_eq!(items.len(), 2);
        assert!(items[0].is_ok());
        assert_eq!(items[1].as_ref().unwrap_err().to_string(), "the decoder died");
    }

    #[test]
    fn times_are_those_of_the_original_and_keep_to_one_side_of_a_silence() {
        let pieces = vec![Piece { offset: 0, origin: 16_000 }, Piece { offset: 64_000, origin: 320_000 }];
        let window = Window { index: 0, samples: vec![0.0; 128_000], pieces };
        assert_eq!((window.start(), window.end()), (1.0, 24.0));
        assert_eq!(window.original_span(0.5, 4.0), (1.5, 5.0));
        assert_eq!(window.original_span(4.0, 5.0), (20.0, 21.0));
        assert_eq!(window.original_span(1.0, 4.5), (2.0, 5.0), "it stops before the silence");
        assert_eq!(window.original_span(3.5, 6.0), (20.0, 22.0), "it starts behind it");
        assert_eq!(window.original_span(1.0, 6.0), (2.0, 22.0), "it goes on over it");
        assert_eq!(window.original_span(3.7, 4.3), (4.7, 20.3), "nothing tells where it was");
        assert_eq!(window.original_word(3.5, 4.3), (4.5, 5.0), "most of the word was before the silence");
        assert_eq!(window.original_word(3.8, 4.6), (20.0, 20.6), "most of it was behind");
        assert_eq!(window.original_word(7.9, 8.0), (23.9, 24.0));
    }
}

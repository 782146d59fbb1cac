//! Windows: stretches of speech of at most 30 s, cut from a stream by voice activity.

use std::collections::VecDeque;
use std::io;

use verbatim_kernels::stages::{Stage, within};
use verbatim_speech::{PADDING, Piece, SAMPLE_RATE, Voice, WINDOW_SECONDS, Window, seconds_of};

use crate::level::Leveller;
use crate::silero::{FRAME, Vad, VadStream};
use crate::spans::{Span, SpanDetector};

const MAX_SAMPLES: u64 = (WINDOW_SECONDS * SAMPLE_RATE) as u64;

/// Frames that voice activity detection takes at once: about a second.
const FRAMES_AT_ONCE: usize = 32;

/// Behind music or noise speech is found late. It is looked for back to where it was this probable before …
const FAINT: f32 = 0.1;

/// … on and off, with gaps shorter than 0.5 s …
const FAINT_GAP: u64 = SAMPLE_RATE as u64 / 2;

/// … for up to 2 s …
const LATE: u64 = 2 * SAMPLE_RATE as u64;

/// … if the second before that, without speech, has at least this share of its power. Behind a silence, or a pause for
/// breath, speech is found at once.
const LOUD: f32 = 0.1;
const SECOND: u64 = SAMPLE_RATE as u64;

/// To be raised whenever the same stream gives other windows, or a window other samples, than before. Checkpoints of
/// jobs under way carry it, so that windows of two versions are not put together.
pub const CUTTER_VERSION: u32 = 2;

/// Cuts a stream of 16 kHz mono samples into windows of speech. Holds no more than about three windows
/// of samples, however long the stream. The same stream always gives the same windows, in whatever
/// chunks it comes.
///
/// A recording that is quieter than any ordinary one, below -45 dB of full scale where it is loudest, is raised, and an
/// offset from zero that speech would drown in is taken out. All others go through as they are.
#[derive(Debug)]
pub struct Windows<'v, I> {
    pcm: I,
    leveller: Leveller,
    vad: VadStream<'v>,
    detector: SpanDetector,
    tape: Tape,
    /// Samples up to here went through voice activity detection.
    heard: u64,
    open: Option<OpenWindow>,
    /// A span that counts only if other speech comes near enough behind it.
    doubtful: Option<Span>,
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
    voice: Voice,
}

impl Tape {
    fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    fn slice(&self, from: u64, to: u64) -> &[f32] {
        &self.samples[(from - self.start) as usize..(to.min(self.end()) - self.start) as usize]
    }

    /// Mean square of the samples.
    fn power(&self, from: u64, to: u64) -> f32 {
        let samples = self.slice(from, to);
        samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32
    }

    fn forget_before(&mut self, position: u64) {
        // Moving what is left is worth it only every few seconds.
        let count = position.saturating_sub(self.start);
        if count >= 4 * SAMPLE_RATE as u64 {
            self.samples.drain(..count as usize);
            self.voice.forget_before(position);
            self.start = position;
        }
    }
}

/// A window that may still take in more speech.
#[derive(Debug)]
struct OpenWindow {
    samples: Vec<f32>,
    pieces: Vec<Piece>,
    voice: Voice,
    /// Samples of the original up to here are in it.
    end: u64,
    /// The padding behind its last speech is in it, too: a long silence follows.
    sealed: bool,
}

impl OpenWindow {
    fn start(tape: &Tape, from: u64, to: u64) -> Self {
        let mut window = Self {
            samples: Vec::new(),
            pieces: Vec::new(),
            voice: Voice::default(),
            end: from,
            sealed: false,
        };
        window.skip_to(tape, from, to);
        window
    }

    /// Takes in what follows directly.
    fn extend(&mut self, tape: &Tape, to: u64) {
        self.voice.append(self.samples.len() as u64, &tape.voice, self.end, to);
        self.samples.extend_from_slice(tape.slice(self.end, to));
        self.end = to;
    }

    /// Leaves a silence out and goes on behind it.
    fn skip_to(&mut self, tape: &Tape, from: u64, to: u64) {
        self.pieces.push(Piece { offset: self.samples.len() as u64, origin: from });
        self.end = from;
        self.extend(tape, to);
        self.sealed = false;
    }
}

impl<'v, I: Iterator<Item = io::Result<Vec<f32>>>> Windows<'v, I> {
    /// `pcm` gives the stream in chunks of any size.
    pub fn new(vad: &'v Vad, pcm: I) -> Self {
        Self {
            pcm,
            leveller: Leveller::default(),
            vad: vad.stream(),
            detector: SpanDetector::new(MAX_SAMPLES - 2 * PADDING),
            tape: Tape::default(),
            heard: 0,
            open: None,
            doubtful: None,
            taken: 0,
            count: 0,
            ready: VecDeque::new(),
            ended: false,
            failure: None,
        }
    }

    /// How much of the stream was read so far, in seconds.
    pub fn seconds_read(&self) -> f64 {
        seconds_of(self.leveller.read())
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
        self.leveller.finish(&mut self.tape.samples);
        self.listen()?;
        let end = self.tape.end();
        let mut rest = self.tape.slice(self.heard, end).to_vec();
        rest.resize(rest.len().next_multiple_of(FRAME), 0.0);
        self.listen_to(&rest)?;
        if let Some(span) = self.detector.finish(end) {
            self.weigh(span);
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
        let probabilities = within(Stage::Voice, || self.vad.push(samples)).map_err(io::Error::other)?;
        for (frame, probability) in samples.chunks_exact(FRAME).zip(probabilities) {
            self.tape.voice.push(self.heard, probability);
            let power = frame.iter().map(|sample| sample * sample).sum();
            self.heard += FRAME as u64;
            if let Some(span) = self.detector.push(probability, power) {
                self.weigh(span);
            }
            self.seal();
        }
        self.tape.forget_before(self.needed_from());
        Ok(())
    }

    /// Takes a span, but a doubtful one only if it is near other speech.
    fn weigh(&mut self, span: Span) {
        if let Some(before) = self.doubtful.take_if(|before| span.start <= before.end + 2 * PADDING) {
            self.take(before);
        }
        self.doubtful = None;
        let follows_speech = self.open.as_ref().is_some_and(|open| !open.sealed);
        if span.doubtful && !follows_speech {
            self.doubtful = Some(span);
        } else {
            self.take(span);
        }
    }

    /// Where a window may start that takes in this span after a long pause: [`PADDING`] before it, or before faint
    /// speech that leads to it out of music or noise. Not before `earliest`.
    fn lead_in(&self, span: Span, earliest: u64) -> u64 {
        let Span { start, end, .. } = span;
        let faint = self.tape.voice.on_and_off_since(start, FAINT, FAINT_GAP, start.saturating_sub(LATE));
        let is_loud = || {
            faint >= earliest + SECOND
                && self.tape.power(faint - SECOND, faint) >= LOUD * self.tape.power(start, end)
        };
        // What the padding holds need not be looked for.
        let from = if faint + PADDING < start && is_loud() { faint } else { start };
        let longest = (end + PADDING).saturating_sub(MAX_SAMPLES);
        from.saturating_sub(PADDING).max(earliest).max(longest)
    }

    /// Adds a span of speech to the open window, or closes that and opens the next.
    fn take(&mut self, span: Span) {
        let end = span.end.min(self.tape.end());
        let lead_in = self.lead_in(span, self.open.as_ref().map_or(self.taken, |open| open.end));
        let Some(open) = &mut self.open else {
            self.open = Some(OpenWindow::start(&self.tape, lead_in, end));
            return;
        };
        let gap = span.start - open.end;
        let from = if open.sealed { lead_in } else { open.end };
        let total = open.samples.len() as u64 + (end - from) + PADDING;
        if total > MAX_SAMPLES {
            if !open.sealed {
                open.extend(&self.tape, open.end + gap / 2);
            }
            self.taken = open.end;
            let next = OpenWindow::start(&self.tape, lead_in.max(self.taken), end);
            if let Some(full) = self.open.replace(next) {
                self.emit(full);
            }
        } else if open.sealed {
            open.skip_to(&self.tape, from, end);
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
        let next = self.doubtful.map(|span| span.start).or(self.detector.open_since()).unwrap_or(self.heard);
        let padded = next.saturating_sub(LATE + SECOND);
        match &self.open {
            Some(open) if !open.sealed => open.end.min(padded),
            _ => padded,
        }
    }

    fn emit(&mut self, open: OpenWindow) {
        self.taken = self.taken.max(open.end);
        let OpenWindow { samples, pieces, voice, .. } = open;
        self.ready.push_back(Window { index: self.count, samples, pieces, voice });
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
                    self.leveller.push(&samples, &mut self.tape.samples);
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
mod tests;

//! Cuts a stream into windows: stretches of speech of at most 30 s, by voice activity.

use std::collections::VecDeque;
use std::io;

use verbatim_kernels::stages::{Stage, within};
use verbatim_speech::{PADDING, Piece, SAMPLE_RATE, Voice, WINDOW_SECONDS, Window, seconds_of};

use crate::level::Leveller;
use crate::silero::{FRAME, Vad, VadStream};
use crate::spans::{Span, SpanDetector};

const MAX_SAMPLES: u64 = (WINDOW_SECONDS * SAMPLE_RATE) as u64;

/// Frames that go through voice activity detection together: about a second.
const FRAMES_AT_ONCE: usize = 32;

/// The minimum probability of faint speech. After music or noise, speech is detected late; a window then also takes
/// in the faint speech that leads to it.
const FAINT_THRESHOLD: f32 = 0.1;

/// Faint speech may have gaps shorter than this: 0.5 s.
const FAINT_GAP: u64 = SAMPLE_RATE as u64 / 2;

/// Faint speech is searched for this far back: 2 s.
const MAX_FAINT: u64 = 2 * SAMPLE_RATE as u64;

/// Faint speech is included only after music or noise: the second before it must have at least this share of the
/// power of the speech. After a silence or a pause for breath, speech is detected at once.
const NOISE_SHARE: f32 = 0.1;
const SECOND: u64 = SAMPLE_RATE as u64;

/// A doubtful span counts beside other speech that follows within this: 0.8 s.
const NEAR: u64 = SAMPLE_RATE as u64 * 800 / 1000;

/// A window that is full is cut at the longest pause from here on, 20 s, so that a sentence is rarely cut where a later
/// one would have had to wait.
const EARLIEST_CUT: u64 = 20 * SAMPLE_RATE as u64;

/// Must be raised whenever the same stream gives other windows than before, or windows with other samples.
/// Checkpoints of jobs under way store it, so that windows of two versions are not combined.
pub const CUTTER_VERSION: u32 = 3;

/// Cuts a stream of 16 kHz mono samples into windows of speech. Keeps at most about three windows of samples in
/// memory, however long the stream is. The windows do not depend on the sizes of the chunks that the stream comes in.
///
/// A recording whose loudest parts are below -45 dB relative to full scale is amplified, and a DC offset that is
/// large compared to the speech is removed. The samples of all other recordings are not changed.
#[derive(Debug)]
pub struct Windows<'v, I> {
    pcm: I,
    leveller: Leveller,
    vad: VadStream<'v>,
    detector: SpanDetector,
    buffer: Buffer,
    /// The number of samples that went through voice activity detection.
    analyzed: u64,
    open: Option<OpenWindow>,
    /// A doubtful span: it counts only if it is followed closely by other speech.
    doubtful: Option<Span>,
    /// The end of the last window in the original. The next one does not start before.
    last_end: u64,
    count: usize,
    ready: VecDeque<Window>,
    ended: bool,
    failure: Option<io::Error>,
}

/// The part of the stream that may still become part of a window.
#[derive(Debug, Default)]
struct Buffer {
    start: u64,
    samples: Vec<f32>,
    voice: Voice,
}

impl Buffer {
    fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    fn slice(&self, from: u64, to: u64) -> &[f32] {
        &self.samples[(from - self.start) as usize..(to.min(self.end()) - self.start) as usize]
    }

    /// The mean square of the samples.
    fn power(&self, from: u64, to: u64) -> f32 {
        let samples = self.slice(from, to);
        samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32
    }

    fn forget_before(&mut self, position: u64) {
        // The rest of the samples is moved, so this is done only every few seconds.
        let count = position.saturating_sub(self.start);
        if count >= 4 * SAMPLE_RATE as u64 {
            self.samples.drain(..count as usize);
            self.voice.forget_before(position);
            self.start = position;
        }
    }
}

/// A window to which more speech may still be added.
#[derive(Debug, Clone)]
struct OpenWindow {
    samples: Vec<f32>,
    pieces: Vec<Piece>,
    voice: Voice,
    /// The end of its samples in the original.
    end: u64,
    /// The pauses within it.
    pauses: Vec<Pause>,
    /// Whether it already has the padding after its last speech, because a long silence follows.
    padded: bool,
}

/// A pause between two spans of speech in an open window.
#[derive(Debug, Clone, Copy)]
struct Pause {
    /// Its middle, or where silence was left out: an index into the window's samples.
    middle: u64,
    /// Samples of silence in the original.
    length: u64,
}

impl OpenWindow {
    fn start(buffer: &Buffer, from: u64, to: u64) -> Self {
        let mut window = Self {
            samples: Vec::new(),
            pieces: Vec::new(),
            voice: Voice::default(),
            end: from,
            pauses: Vec::new(),
            padded: false,
        };
        window.skip_to(buffer, from, to);
        window
    }

    /// Appends the samples of the original from its end up to `to`.
    fn extend(&mut self, buffer: &Buffer, to: u64) {
        self.voice.append(self.samples.len() as u64, &buffer.voice, self.end, to);
        self.samples.extend_from_slice(buffer.slice(self.end, to));
        self.end = to;
    }

    /// Leaves out the samples up to `from`, and appends those up to `to` as a new piece.
    fn skip_to(&mut self, buffer: &Buffer, from: u64, to: u64) {
        self.pieces.push(Piece { offset: self.samples.len() as u64, origin: from });
        self.end = from;
        self.extend(buffer, to);
        self.padded = false;
    }

    fn len(&self) -> u64 {
        self.samples.len() as u64
    }

    /// The silence between its speech and speech that starts at `start`.
    fn pause_before(&self, start: u64) -> Pause {
        let (silent, gap) = if self.padded { (PADDING, 0) } else { (0, start - self.end) };
        Pause { middle: self.len() + gap / 2, length: start - self.end + silent }
    }

    /// The middle of the longest pause late in the window, if that is longer than `last`, which follows it, and leaves
    /// room for `more` samples behind it.
    fn better_cut(&self, last: Pause, more: u64) -> Option<u64> {
        let late = self.pauses.iter().filter(|pause| pause.middle >= EARLIEST_CUT);
        let longest = late.max_by_key(|pause| pause.length)?;
        let fits = self.len() - longest.middle + more <= MAX_SAMPLES;
        (longest.length > last.length && fits).then_some(longest.middle)
    }

    /// Cuts the window at sample `at`. The rest stays open.
    fn split(self, at: u64) -> (Window, Self) {
        let Self { samples, pieces, voice, end, pauses, padded } = self;
        let whole = Window { index: 0, samples, pieces, voice };
        let rest = whole.part(at..whole.samples.len() as u64);
        let later = pauses.into_iter().filter(|pause| pause.middle > at);
        let pauses = later.map(|pause| Pause { middle: pause.middle - at, ..pause }).collect();
        let Window { samples, pieces, voice, .. } = rest;
        (whole.part(0..at), Self { samples, pieces, voice, end, pauses, padded })
    }
}

impl<'v, I: Iterator<Item = io::Result<Vec<f32>>>> Windows<'v, I> {
    /// Cuts the stream `pcm`, which comes in chunks of any size.
    pub fn new(vad: &'v Vad, pcm: I) -> Self {
        Self::with(vad, pcm, Leveller::default())
    }

    /// Cuts a live stream. Its level is not adjusted, so that a window is ready as soon as its speech has ended, not
    /// 20 s later.
    pub fn live(vad: &'v Vad, pcm: I) -> Self {
        Self::with(vad, pcm, Leveller::off())
    }

    fn with(vad: &'v Vad, pcm: I, leveller: Leveller) -> Self {
        Self {
            pcm,
            leveller,
            vad: vad.stream(),
            detector: SpanDetector::new(MAX_SAMPLES - 2 * PADDING),
            buffer: Buffer::default(),
            analyzed: 0,
            open: None,
            doubtful: None,
            last_end: 0,
            count: 0,
            ready: VecDeque::new(),
            ended: false,
            failure: None,
        }
    }

    /// The seconds of the stream that were read so far.
    pub fn seconds_read(&self) -> f64 {
        seconds_of(self.leveller.read())
    }

    /// The window that is still open, with all speech up to the last second that was read. Its transcript can be
    /// shown until the window is closed, and may change then. `None` if there was no speech since the last window.
    pub fn open_window(&self) -> Option<Window> {
        let speech_start = self.detector.open_since().map(|start| start.saturating_sub(PADDING));
        let mut open = match (self.open.clone(), speech_start) {
            (None, None) => return None,
            (None, Some(start)) => OpenWindow::start(&self.buffer, start.max(self.last_end), self.analyzed),
            (Some(open), None) => open,
            (Some(mut open), Some(start)) => {
                if open.padded {
                    open.skip_to(&self.buffer, start.max(open.end), self.analyzed);
                } else {
                    open.extend(&self.buffer, self.analyzed);
                }
                open
            }
        };
        open.samples.truncate(MAX_SAMPLES as usize);
        open.pieces.retain(|piece| piece.offset < MAX_SAMPLES);
        let OpenWindow { samples, pieces, voice, .. } = open;
        Some(Window { index: self.count, samples, pieces, voice })
    }

    /// Reads the next chunk of the stream. Returns `false` at its end.
    ///
    /// # Errors
    /// If the stream or voice activity detection fails. The windows of what was read before remain available.
    pub fn read_chunk(&mut self) -> io::Result<bool> {
        match self.pcm.next() {
            Some(Ok(samples)) => {
                self.leveller.push(&samples, &mut self.buffer.samples);
                self.detect().map(|()| true)
            }
            Some(Err(error)) => self.finish().and(Err(error)),
            None => {
                self.ended = true;
                self.finish().map(|()| false)
            }
        }
    }

    /// Runs voice activity detection on the whole batches of frames that were read. Batches, and therefore windows,
    /// do not depend on the sizes of chunks.
    fn detect(&mut self) -> io::Result<()> {
        let batch = FRAMES_AT_ONCE * FRAME;
        while self.buffer.end() - self.analyzed >= batch as u64 {
            let samples = self.buffer.slice(self.analyzed, self.analyzed + batch as u64).to_vec();
            self.detect_in(&samples)?;
        }
        Ok(())
    }

    /// Runs voice activity detection on the rest, padded with silence, and closes the last window.
    fn finish(&mut self) -> io::Result<()> {
        self.leveller.finish(&mut self.buffer.samples);
        self.detect()?;
        let end = self.buffer.end();
        let mut rest = self.buffer.slice(self.analyzed, end).to_vec();
        rest.resize(rest.len().next_multiple_of(FRAME), 0.0);
        self.detect_in(&rest)?;
        if let Some(span) = self.detector.finish(end) {
            self.add_span(span);
        }
        if let Some(mut open) = self.open.take() {
            if !open.padded {
                open.extend(&self.buffer, (open.end + PADDING).min(end));
            }
            self.emit(open);
        }
        Ok(())
    }

    fn detect_in(&mut self, samples: &[f32]) -> io::Result<()> {
        let probabilities = within(Stage::Voice, || self.vad.push(samples)).map_err(io::Error::other)?;
        for (frame, probability) in samples.chunks_exact(FRAME).zip(probabilities) {
            self.buffer.voice.push(self.analyzed, probability);
            let power = frame.iter().map(|sample| sample * sample).sum();
            self.analyzed += FRAME as u64;
            if let Some(span) = self.detector.push(probability, power) {
                self.add_span(span);
            }
            self.pad_open_window();
        }
        self.buffer.forget_before(self.needed_from());
        Ok(())
    }

    /// Adds a span of speech. A doubtful one is added only if it is near other speech.
    fn add_span(&mut self, span: Span) {
        if let Some(before) = self.doubtful.take_if(|before| span.start <= before.end + NEAR) {
            self.add_speech(before);
        }
        self.doubtful = None;
        let follows_speech = self.open.as_ref().is_some_and(|open| !open.padded);
        if span.doubtful && !follows_speech {
            self.doubtful = Some(span);
        } else {
            self.add_speech(span);
        }
    }

    /// The start of a window or piece that begins with this span: [`PADDING`] before it, or before the faint speech
    /// that leads to it after music or noise. Not before `earliest`.
    fn padded_start(&self, span: Span, earliest: u64) -> u64 {
        let Span { start, end, .. } = span;
        let faint = self.buffer.voice.on_and_off_since(
            start,
            FAINT_THRESHOLD,
            FAINT_GAP,
            start.saturating_sub(MAX_FAINT),
        );
        let is_loud = || {
            faint >= earliest + SECOND
                && self.buffer.power(faint - SECOND, faint) >= NOISE_SHARE * self.buffer.power(start, end)
        };
        // Faint speech within the padding is included anyway.
        let from = if faint + PADDING < start && is_loud() { faint } else { start };
        let longest = (end + PADDING).saturating_sub(MAX_SAMPLES);
        from.saturating_sub(PADDING).max(earliest).max(longest)
    }

    /// Adds a span to the open window, or closes the window and opens the next.
    fn add_speech(&mut self, span: Span) {
        let end = span.end.min(self.buffer.end());
        let padded_start = self.padded_start(span, self.open.as_ref().map_or(self.last_end, |open| open.end));
        let Some(mut open) = self.open.take() else {
            self.open = Some(OpenWindow::start(&self.buffer, padded_start, end));
            return;
        };
        let pause = open.pause_before(span.start);
        let from = if open.padded { padded_start } else { open.end };
        let more = end - from + PADDING;
        if open.len() + more > MAX_SAMPLES {
            let Some(cut) = open.better_cut(pause, more) else {
                if !open.padded {
                    open.extend(&self.buffer, open.end + pause.length / 2);
                }
                self.emit(open);
                let start = padded_start.max(self.last_end);
                self.open = Some(OpenWindow::start(&self.buffer, start, end));
                return;
            };
            let (full, rest) = open.split(cut);
            self.push(full);
            open = rest;
        }
        open.pauses.push(open.pause_before(span.start));
        if open.padded {
            open.skip_to(&self.buffer, from, end);
        } else {
            open.extend(&self.buffer, end);
        }
        self.open = Some(open);
    }

    /// Once the silence after the open window is known to be long, appends its padding, so that the rest of the
    /// silence can be dropped.
    fn pad_open_window(&mut self) {
        let silent_until = self.detector.open_since().unwrap_or(self.analyzed).min(self.buffer.end());
        if let Some(open) = &mut self.open
            && !open.padded
            && silent_until > open.end + 2 * PADDING
        {
            open.extend(&self.buffer, open.end + PADDING);
            open.padded = true;
        }
    }

    /// The first sample that may still become part of a window.
    fn needed_from(&self) -> u64 {
        let next =
            self.doubtful.map(|span| span.start).or(self.detector.open_since()).unwrap_or(self.analyzed);
        let padded = next.saturating_sub(MAX_FAINT + SECOND);
        match &self.open {
            Some(open) if !open.padded => open.end.min(padded),
            _ => padded,
        }
    }

    fn emit(&mut self, open: OpenWindow) {
        self.last_end = self.last_end.max(open.end);
        let OpenWindow { samples, pieces, voice, .. } = open;
        self.push(Window { index: 0, samples, pieces, voice });
    }

    /// Numbers a window that is done.
    fn push(&mut self, window: Window) {
        self.ready.push_back(Window { index: self.count, ..window });
        self.count += 1;
    }
}

impl<I: Iterator<Item = io::Result<Vec<f32>>>> Iterator for Windows<'_, I> {
    type Item = io::Result<Window>;

    /// The next window. An error of the stream comes after the windows of what was read before it, and is the last
    /// item.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(window) = self.ready.pop_front() {
                return Some(Ok(window));
            }
            if self.ended {
                return self.failure.take().map(Err);
            }
            if let Err(error) = self.read_chunk() {
                self.ended = true;
                self.failure = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests;

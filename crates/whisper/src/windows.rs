//! Windows: stretches of speech of at most 30 s, cut from a stream by voice activity.

use std::collections::VecDeque;
use std::io;

use crate::level::Leveller;
use crate::spans::{Span, SpanDetector};
use crate::stages::{Stage, within};
use crate::vad::{FRAME, Vad, VadStream};
use crate::voice::Voice;
use crate::window::{PADDING, Piece, Window, seconds_of};
use crate::{SAMPLE_RATE, WINDOW_SECONDS};

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
    fn windows_know_where_they_have_speech() {
        let vad = vad();
        let samples = speech(&[("austen-0870", 1), ("cards-005", 5), ("austen-0870", 0)]);
        let all = Window::new(0, 0.0, samples.clone()).listen(&vad).unwrap();
        let share =
            |window: &Window| window.voiced(0.0, seconds_of(window.samples.len() as u64), 0.5).unwrap();
        for window in windows(&vad, &samples, 16_000) {
            let ends =
                window.pieces.iter().skip(1).map(|next| next.offset).chain([window.samples.len() as u64]);
            for (piece, end) in window.pieces.iter().zip(ends) {
                let here = window.voice.share(piece.offset, end, 0.5);
                assert_eq!(here, all.voice.share(piece.origin, piece.origin + end - piece.offset, 0.5));
            }
            assert!((0.5..0.95).contains(&share(&window)), "{}", share(&window));
        }
        assert_eq!(Window::new(0, 0.0, samples).voiced(0.0, 1.0, 0.5), None);
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
    fn loudness_and_an_offset_do_not_decide_what_is_heard() {
        let vad = vad();
        let samples = speech(&[("austen-0870", 1), ("cards-005", 5), ("austen-joined", 0)]);
        let expected = windows(&vad, &samples, 16_000);
        for (gain, offset) in [(0.03, 0.0), (0.01, 0.0), (0.03, 0.1), (1.0, 0.3), (10.0, 0.0)] {
            let step = |sample: &f32| ((sample * gain + offset) * 32768.0).round().clamp(-32768.0, 32767.0);
            let other: Vec<f32> = samples.iter().map(step).map(|step| step / 32768.0).collect();
            let found = windows(&vad, &other, 16_000);
            assert_eq!(found.len(), expected.len(), "{gain} {offset}");
            for (found, expected) in found.iter().zip(&expected) {
                let apart =
                    (found.start() - expected.start()).abs().max((found.end() - expected.end()).abs());
                assert!(apart < 0.3, "{gain} {offset}: {apart} s");
                assert_eq!(found.pieces.len(), expected.pieces.len(), "{gain} {offset}");
            }
            for chunk in [511, 99_999] {
                assert!(windows(&vad, &other, chunk) == found, "{gain} {offset}: chunks of {chunk}");
            }
        }
    }

    /// The first chord passes for speech for a tenth of a second.
    #[test]
    fn a_chord_opens_no_window_and_speech_behind_music_is_taken_in_whole() {
        let vad = vad();
        assert_eq!(windows(&vad, &reference::chords(40), 16_000), []);
        let windows = windows(&vad, &[reference::chords(40), reference::clip("german")].concat(), 16_000);
        assert_eq!(windows.len(), 1);
        assert_eq!(windows[0].pieces.len(), 1, "{:?}", windows[0].pieces);
        // It begins with the recording, and is certain only after 1.8 s.
        assert!((39.5..40.1).contains(&windows[0].start()), "{}", windows[0].start());
    }

    #[test]
    fn a_doubtful_sound_counts_beside_speech() {
        let vad = vad();
        let chord = &reference::chords(1)[..SAMPLE_RATE / 4];
        let speech = reference::clip("austen-0870");
        let found = |samples: &[f32]| windows(&vad, samples, 16_000);
        let near = found(&[chord, &speech].concat());
        assert_eq!((near.len(), near[0].start()), (1, 0.0), "the chord is before the speech");
        let silence = vec![0.0; 5 * SAMPLE_RATE];
        let far = found(&[chord, &silence, &speech].concat());
        assert!(far[0].start() > 5.0, "{}", far[0].start());
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
}

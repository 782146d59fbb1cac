//! Turns probabilities of speech into spans of speech.

use verbatim_speech::SAMPLE_RATE;

use crate::silero::FRAME;

/// A span of speech starts with a frame of at least this probability.
const START_THRESHOLD: f32 = 0.5;

/// A span ends if the probability falls below this, and does not rise to [`START_THRESHOLD`] within [`MIN_SILENCE`].
const END_THRESHOLD: f32 = 0.35;

/// Samples of silence that end a span: 160 ms. A shorter silence is a pause within a sentence.
const MIN_SILENCE: u64 = SAMPLE_RATE as u64 * 160 / 1000;

/// A span with fewer frames of speech is a click, and is dropped.
const MIN_VOICED_FRAMES: usize = 3;

/// A span with fewer frames of speech (256 ms) is doubtful if its probability stays below [`SURE`]: it may be a knock
/// or the beginning of a chord.
const BRIEF_FRAMES: usize = 8;

/// A brief span that reaches this probability is not doubtful. Words that stand alone reach 0.9 and more.
const SURE: f32 = 0.75;

/// A span that becomes too long is cut in the middle of its quietest stretch of this many frames: 160 ms.
const QUIET_FRAMES: usize = 5;

/// A span of speech: samples `start..end` of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// It counts as speech only if other speech is near.
    pub(crate) doubtful: bool,
}

/// Finds the spans of speech in a stream, frame by frame. No span is longer than `max_length` samples.
#[derive(Debug)]
pub(crate) struct SpanDetector {
    max_length: u64,
    position: u64,
    open: Option<OpenSpan>,
}

/// Speech that has started and not yet ended.
#[derive(Debug)]
struct OpenSpan {
    start: u64,
    /// The start of the silence at the end of the span so far, if there is one.
    quiet_since: Option<u64>,
    voiced_frames: usize,
    /// The highest probability in the span so far.
    max_probability: f32,
    /// The power of every frame since `start`.
    power: Vec<f32>,
}

impl SpanDetector {
    pub(crate) fn new(max_length: u64) -> Self {
        Self { max_length, position: 0, open: None }
    }

    /// The start of the span that is still open, if there is one.
    pub(crate) fn open_since(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.start)
    }

    /// Takes the next frame's probability of speech and its power. Returns the span that ends with it, if one does.
    pub(crate) fn push(&mut self, probability: f32, power: f32) -> Option<Span> {
        let frame_start = self.position;
        self.position += FRAME as u64;
        let Some(open) = &mut self.open else {
            if probability >= START_THRESHOLD {
                self.open = Some(OpenSpan {
                    start: frame_start,
                    quiet_since: None,
                    voiced_frames: 1,
                    max_probability: probability,
                    power: vec![power],
                });
            }
            return None;
        };
        open.power.push(power);
        open.max_probability = open.max_probability.max(probability);
        if probability >= START_THRESHOLD {
            open.quiet_since = None;
            open.voiced_frames += 1;
        } else if probability < END_THRESHOLD {
            let since = *open.quiet_since.get_or_insert(frame_start);
            if self.position - since >= MIN_SILENCE {
                return self.close(since);
            }
        }
        if self.position - open.start + FRAME as u64 > self.max_length {
            return Some(open.split_at_quietest());
        }
        None
    }

    /// Ends the stream after `end` samples. Returns the span that was still open, if there was one.
    pub(crate) fn finish(&mut self, end: u64) -> Option<Span> {
        let open = self.open.as_ref()?;
        let end = open.quiet_since.unwrap_or(end);
        self.close(end)
    }

    fn close(&mut self, end: u64) -> Option<Span> {
        let open = self.open.take()?;
        let doubtful = open.voiced_frames < BRIEF_FRAMES && open.max_probability < SURE;
        (open.voiced_frames >= MIN_VOICED_FRAMES).then_some(Span { start: open.start, end, doubtful })
    }
}

impl OpenSpan {
    /// Cuts the span at the quietest place of its second half. Returns the first part; the second stays open.
    fn split_at_quietest(&mut self) -> Span {
        let first = self.power.len() / 2;
        let loudness = |at: &usize| self.power[*at..at + QUIET_FRAMES].iter().sum::<f32>();
        let last = self.power.len() - QUIET_FRAMES;
        let quietest = (first..=last).min_by(|a, b| loudness(a).total_cmp(&loudness(b))).unwrap_or(first);
        let frames = quietest + QUIET_FRAMES / 2;
        let cut = self.start + (frames * FRAME) as u64;
        let span = Span { start: self.start, end: cut, doubtful: false };
        self.start = cut;
        self.power.drain(..frames);
        // The second part continues a long span, so it is neither a click nor doubtful.
        self.voiced_frames = BRIEF_FRAMES;
        self.quiet_since = self.quiet_since.map(|since| since.max(cut));
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 29 * SAMPLE_RATE as u64;

    fn spans(frames: impl IntoIterator<Item = (f32, f32)>) -> Vec<(u64, u64)> {
        let mut detector = SpanDetector::new(MAX);
        let mut found: Vec<Span> =
            frames.into_iter().filter_map(|(p, power)| detector.push(p, power)).collect();
        found.extend(detector.finish(detector.position));
        found.iter().map(|span| (span.start / FRAME as u64, span.end / FRAME as u64)).collect()
    }

    fn frames(runs: &[(usize, f32)]) -> Vec<(f32, f32)> {
        runs.iter().flat_map(|(count, p)| vec![(*p, 1.0); *count]).collect()
    }

    #[test]
    fn speech_ends_after_a_pause_and_not_in_a_dip() {
        assert_eq!(spans(frames(&[(10, 0.1), (20, 0.9), (4, 0.1), (10, 0.9), (20, 0.1)])), [(10, 44)]);
        assert_eq!(spans(frames(&[(10, 0.1), (20, 0.9), (30, 0.4), (10, 0.9), (20, 0.1)])), [(10, 70)]);
        assert_eq!(spans(frames(&[(10, 0.9), (5, 0.1), (10, 0.9)])), [(0, 10), (15, 25)]);
    }

    #[test]
    fn clicks_and_silence_are_no_speech() {
        assert_eq!(spans(frames(&[(100, 0.3)])), []);
        assert_eq!(spans(frames(&[(10, 0.1), (2, 0.9), (20, 0.1)])), []);
    }

    #[test]
    fn a_brief_span_of_low_probability_is_doubtful() {
        let doubtful = |count, probability| {
            let mut detector = SpanDetector::new(MAX);
            let run = frames(&[(count, probability), (20, 0.0)]);
            let span = run.into_iter().find_map(|(p, power)| detector.push(p, power)).unwrap();
            span.doubtful
        };
        assert!(doubtful(3, 0.6) && doubtful(7, 0.7));
        assert!(!doubtful(8, 0.6), "it lasts");
        assert!(!doubtful(3, 0.9), "it is sure");
    }

    #[test]
    fn speech_without_a_pause_is_cut_where_it_is_quietest() {
        let frames = (0..2000).map(|frame| (0.9, if (700..710).contains(&frame) { 0.1 } else { 1.0 }));
        let spans = spans(frames);
        assert!((700..710).contains(&spans[0].1), "{spans:?}");
        assert!(spans.windows(2).all(|pair| pair[0].1 == pair[1].0), "nothing is lost: {spans:?}");
        assert!(spans.iter().all(|(start, end)| (end - start) * FRAME as u64 <= MAX));
        assert_eq!((spans[0].0, spans.last().unwrap().1), (0, 2000));
    }
}

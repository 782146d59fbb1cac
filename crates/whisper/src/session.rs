//! Windows in decoding, and what has been found of each so far.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use verbatim_speech::{
    DecodeOptions, LanguageProbabilities, SAMPLE_RATE, WINDOW_SECONDS, Window, WindowTranscript,
};

use crate::decoding::search::Batch;
use crate::decoding::untranscribed::Stretch;
use crate::network::decoder::{Context, Memory};

/// A window of at most this many seconds is also decoded without timestamps: the model makes fewer errors so on single
/// utterances, and more where several follow each other. Beside encoding a short window, decoding it again takes
/// little time.
const SHORT: f64 = 12.0;

/// The text without timestamps is taken if it leaves at most so many seconds of speech more without words in one
/// stretch than the text with them does, …
const MORE_UNTRANSCRIBED: f64 = 0.6;

/// … and has at least this share of its letters. Without timestamps the model at times leaves out the last sentence,
/// whose time alignment may then give to the words before it.
const LEAST_TEXT: f64 = 0.8;

/// A stretch with so many seconds of speech and no words is decoded again, as a window of its own.
const LEAST_VOICED: f64 = 1.0;

/// What is found in a stretch counts if the mean logarithm of its tokens' probabilities is at least this. What is less
/// probable was wrong more often than right.
const LEAST_LOGPROB: f32 = -0.75;

/// A window after the encoder: what language detection and decoding work on. Cheap to clone; about
/// 20 MB for the base model.
#[derive(Debug, Clone)]
pub struct Encoded(pub(crate) Arc<EncodedWindow>);

#[derive(Debug)]
pub(crate) struct EncodedWindow {
    pub(crate) window: Window,
    pub(crate) memory: Arc<Memory>,
    pub(crate) languages: OnceLock<LanguageProbabilities>,
}

impl Encoded {
    pub(crate) fn context(&self) -> Context {
        Context::new(Arc::clone(&self.0.memory))
    }

    /// Seconds of sound that were encoded.
    pub(crate) fn duration(&self) -> f64 {
        (self.0.window.samples.len() as f64 / SAMPLE_RATE as f64).min(WINDOW_SECONDS as f64)
    }

    /// What was judged, once it was.
    pub(crate) fn languages(&self) -> LanguageProbabilities {
        self.0.languages.get().cloned().expect("languages are judged before they are asked for")
    }
}

/// Windows in decoding, taken further together a token at a time by [`Transcriber::step`]. One that is done makes
/// room at once: no window waits for the longest of its batch.
///
/// A step computes on the thread that asks for it, and lets rayon's idle threads help. To use all processors well,
/// give each thread of rayon's a session of its own.
///
/// [`Transcriber::step`]: crate::Transcriber::step
#[derive(Debug, Default)]
pub struct Session {
    pub(crate) batch: Batch<Entry>,
    /// What has been found of each window, by its key.
    pub(crate) windows: BTreeMap<u64, Findings>,
}

/// One decoding in a session.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Of the window that it belongs to.
    pub(crate) key: u64,
    pub(crate) encoded: Encoded,
    pub(crate) of: Decoding,
}

/// What of a window a decoding is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoding {
    /// All of it, as the options say.
    Whole,
    /// All of it, without timestamps.
    Untimed,
    /// A stretch that the transcript had no words for.
    Stretch,
}

impl Session {
    /// Windows in decoding.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives up the window that was added with this key, if it is still in decoding. The transcripts of the others
    /// do not change.
    pub fn remove(&mut self, key: u64) {
        self.windows.remove(&key);
        self.batch.retain(|entry| entry.key != key);
    }
}

/// The result of one decoding.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) transcript: WindowTranscript,
    /// Speech that it has no words for.
    pub(crate) untranscribed: Vec<Stretch>,
    /// It passed the thresholds at the first temperature.
    pub(crate) passed: bool,
}

/// What has been found of a window.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) encoded: Encoded,
    pub(crate) options: DecodeOptions,
    /// Decodings that are not done.
    pending: usize,
    whole: Option<Decoded>,
    untimed: Option<Decoded>,
    stretches: Vec<Decoded>,
}

impl Findings {
    pub(crate) fn new(encoded: Encoded, options: DecodeOptions) -> Self {
        Self { encoded, options, pending: 0, whole: None, untimed: None, stretches: Vec::new() }
    }

    /// The options of a decoding without timestamps, where there is to be one.
    pub(crate) fn untimed_options(&self) -> Option<DecodeOptions> {
        let DecodeOptions { timestamps, whole_windows, hotwords, initial_prompt, .. } = &self.options;
        // Without timestamps the model follows a prompt less.
        let has_prompt = hotwords.is_some() || initial_prompt.is_some();
        let wanted = *timestamps && *whole_windows && !has_prompt && self.encoded.duration() <= SHORT;
        let mut options = DecodeOptions { timestamps: false, ..self.options.clone() };
        options.temperatures.truncate(1);
        wanted.then_some(options)
    }

    /// Another decoding was begun.
    pub(crate) fn begin(&mut self) {
        self.pending += 1;
    }

    /// Takes in the result of a decoding. Gives the stretches of the window that are to be decoded next, which are
    /// known once all of it has been decoded.
    pub(crate) fn take(&mut self, of: Decoding, decoded: Decoded) -> Vec<Stretch> {
        self.pending -= 1;
        match of {
            Decoding::Whole => self.whole = Some(decoded),
            Decoding::Untimed => self.untimed = Some(decoded),
            Decoding::Stretch => self.stretches.push(decoded),
        }
        if of == Decoding::Stretch || self.pending > 0 || !self.options.whole_windows {
            return Vec::new();
        }
        let Some(whole) = &mut self.whole else { return Vec::new() };
        if let Some(untimed) = self.untimed.take_if(|untimed| is_better(untimed, whole)) {
            *whole = untimed;
        }
        // What the model holds for silence is not to be tried until it says something.
        if whole.transcript.segments.is_empty() {
            return Vec::new();
        }
        whole.untranscribed.extract_if(.., |stretch| stretch.voiced >= LEAST_VOICED).collect()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.pending == 0
    }

    /// The transcript, with what was found in stretches at its place: a segment with words before and behind it is cut.
    pub(crate) fn into_transcript(self) -> Option<WindowTranscript> {
        let mut transcript = self.whole?.transcript;
        for Decoded { transcript: found, .. } in self.stretches {
            let counts = found.segments.iter().all(|one| !one.suspect && one.avg_logprob >= LEAST_LOGPROB);
            let Some(first) = found.segments.first().filter(|_| counts) else { continue };
            let around = transcript.segments.into_iter().flat_map(|segment| segment.cut(&[first.start]));
            transcript.segments = around.chain(found.segments.iter().cloned()).collect();
            transcript.segments.sort_by(|a, b| a.start.total_cmp(&b.start));
        }
        if !self.options.word_timestamps {
            transcript.segments.iter_mut().for_each(|segment| segment.words.clear());
        }
        Some(transcript)
    }
}

/// Whether the text without timestamps is to be taken.
fn is_better(untimed: &Decoded, timed: &Decoded) -> bool {
    let longest =
        |decoded: &Decoded| decoded.untranscribed.iter().map(|stretch| stretch.voiced).fold(0.0, f64::max);
    let letters = |decoded: &Decoded| {
        let texts = decoded.transcript.segments.iter().map(|segment| segment.text.chars().count());
        texts.sum::<usize>() as f64
    };
    let is_suspect = untimed.transcript.segments.iter().any(|segment| segment.suspect);
    let is_complete = letters(untimed) >= LEAST_TEXT * letters(timed)
        && longest(untimed) <= longest(timed) + MORE_UNTRANSCRIBED;
    let is_right = match (timed.passed, untimed.passed) {
        (true, true) => is_complete,
        (true, false) => false,
        // A text that was drawn at a higher temperature is no measure of what is complete, and says more that is wrong.
        (false, _) => true,
    };
    is_right && !is_suspect && letters(timed) > 0.0 && letters(untimed) > 0.0
}

#[cfg(test)]
mod tests {
    use verbatim_speech::{Language, Segment, Word};

    use super::*;
    use crate::reference;

    fn segment(start: f64, text: &str) -> Segment {
        Segment { start, end: start + 1.0, text: text.to_owned(), avg_logprob: -0.3, ..Segment::default() }
    }

    fn decoded(segments: Vec<Segment>, untranscribed: &[f64]) -> Decoded {
        let transcript = WindowTranscript {
            segments,
            language: Language::ENGLISH,
            language_probabilities: LanguageProbabilities::new(vec![(Language::ENGLISH, 1.0)]),
        };
        let stretch = |voiced: &f64| Stretch { samples: 0..16_000, voiced: *voiced };
        Decoded { transcript, untranscribed: untranscribed.iter().map(stretch).collect(), passed: true }
    }

    fn text_at(start: f64, text: &str) -> Decoded {
        decoded(vec![segment(start, text)], &[])
    }

    fn text(text: &str, untranscribed: &[f64]) -> Decoded {
        decoded(vec![segment(0.0, text)], untranscribed)
    }

    #[test]
    fn a_text_without_timestamps_is_taken_if_it_is_complete() {
        let timed = text(" A first one. A second.", &[0.2]);
        assert!(is_better(&text(" A first one, a second.", &[0.7]), &timed));
        assert!(!is_better(&text(" A first one, a second.", &[0.9]), &timed), "speech is left out");
        assert!(!is_better(&text(" A first one.", &[]), &timed), "so is text");
        assert!(!is_better(&decoded(vec![], &[]), &timed));
        assert!(!is_better(&text(" Thank you.", &[]), &decoded(vec![], &[])), "silence stays silent");
        let mut suspect = text(" A first one, a second.", &[]);
        suspect.transcript.segments[0].suspect = true;
        assert!(!is_better(&suspect, &timed));
    }

    #[test]
    fn what_was_drawn_at_a_higher_temperature_counts_less() {
        let failed = |text_of: &str| Decoded { passed: false, ..text(text_of, &[]) };
        assert!(is_better(&text(" Something.", &[]), &failed(" Something that goes on for long.")));
        assert!(is_better(&failed(" Something."), &failed(" Something that goes on for long.")));
        assert!(!is_better(&failed(" Something."), &text(" Something.", &[])));
    }

    #[test]
    fn stretches_are_decoded_once_and_what_is_probable_in_them_is_put_in_its_place() {
        let transcriber = reference::base();
        let encoded = transcriber.encode(&Window::new(0, 0.0, vec![0.0; 20 * SAMPLE_RATE]));
        let mut findings = Findings::new(encoded, DecodeOptions::default());
        assert_eq!(findings.untimed_options(), None, "the window is not short");
        findings.begin();
        let whole = decoded(vec![segment(0.0, " One."), segment(9.0, " Four.")], &[0.9, 1.0, 2.0, 5.0]);
        let stretches = findings.take(Decoding::Whole, whole);
        assert_eq!(stretches.iter().map(|stretch| stretch.voiced).collect::<Vec<_>>(), [1.0, 2.0, 5.0]);
        assert!(findings.is_done(), "until a stretch is begun");
        stretches.iter().for_each(|_| findings.begin());
        let found = decoded(vec![segment(3.0, " Two."), segment(5.0, " Three.")], &[4.0]);
        assert_eq!(findings.take(Decoding::Stretch, found), [], "a stretch has no stretches");
        assert!(!findings.is_done());
        let mut improbable = text(" Nonsense.", &[]);
        improbable.transcript.segments[0].avg_logprob = -0.9;
        findings.take(Decoding::Stretch, improbable);
        let mut suspect = text(" Thank you.", &[]);
        suspect.transcript.segments[0].suspect = true;
        findings.take(Decoding::Stretch, suspect);
        assert!(findings.is_done());
        let segments = findings.into_transcript().unwrap().segments;
        let words: String = segments.into_iter().map(|segment| segment.text).collect();
        assert_eq!(words, " One. Two. Three. Four.");
    }

    #[test]
    fn what_is_found_within_a_segment_cuts_it() {
        let transcriber = reference::base();
        let encoded = transcriber.encode(&Window::new(0, 0.0, vec![0.0; 20 * SAMPLE_RATE]));
        let word =
            |word: &str, start: f64| Word { word: word.into(), start, end: start + 0.5, probability: 1.0 };
        let words = vec![word(" One.", 0.0), word(" Three.", 9.0)];
        let around = Segment { end: 9.5, words, ..segment(0.0, " One. Three.") };
        for word_timestamps in [true, false] {
            let options = DecodeOptions { word_timestamps, ..DecodeOptions::default() };
            let mut findings = Findings::new(encoded.clone(), options);
            findings.begin();
            findings.take(Decoding::Whole, decoded(vec![around.clone()], &[5.0]));
            findings.begin();
            findings.take(Decoding::Stretch, text_at(3.0, " Two."));
            let segments = findings.into_transcript().unwrap().segments;
            let texts: Vec<_> = segments.iter().map(|one| (one.text.as_str(), one.start, one.end)).collect();
            assert_eq!(texts, [(" One.", 0.0, 0.5), (" Two.", 3.0, 4.0), (" Three.", 9.0, 9.5)]);
            assert_eq!(segments[0].words.is_empty(), !word_timestamps);
        }
    }

    #[test]
    fn silence_is_not_tried_again() {
        let transcriber = reference::base();
        let encoded = transcriber.encode(&Window::new(0, 0.0, vec![0.0; 5 * SAMPLE_RATE]));
        let mut findings = Findings::new(encoded.clone(), DecodeOptions::default());
        let untimed = findings.untimed_options().unwrap();
        assert!(!untimed.timestamps && untimed.temperatures == [0.0]);
        findings.begin();
        findings.begin();
        assert_eq!(findings.take(Decoding::Untimed, text(" Thank you.", &[])), []);
        assert_eq!(findings.take(Decoding::Whole, decoded(vec![], &[5.0])), []);
        assert!(findings.is_done());
        assert_eq!(findings.into_transcript().unwrap().segments, []);
        let untimed = |options| Findings::new(encoded.clone(), options).untimed_options();
        let reference = DecodeOptions { whole_windows: false, ..DecodeOptions::default() };
        assert_eq!(untimed(reference), None, "the reference decodes a window once");
        let hotwords = DecodeOptions { hotwords: Some("Dashwoode".into()), ..DecodeOptions::default() };
        assert_eq!(untimed(hotwords), None, "a prompt is followed");
    }
}

//! The public face of recognition: windows in, transcripts out.

use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use crate::align::misplaced::{LONG_SILENCE, misplaced};
use crate::align::{Text, spans, voiced};
use crate::decoding::language::choose;
use crate::decoding::rules::Timing;
use crate::decoding::search::{Batch, Finished, Request};
use crate::decoding::suspect::{lacks_voice, looping};
use crate::decoding::untranscribed::{Stretch, untranscribed};
use crate::network::decoder::Memory;
use crate::session::{Decoded, Decoding, Encoded, EncodedWindow, Entry, Findings, Session};
use crate::text::segments::{TextSegment, split};
use crate::text::tokenizer::Previous;
use crate::{Error, Model};
use verbatim_kernels::stages::{Stage, within};
use verbatim_speech::seconds_of;
use verbatim_speech::{
    DecodeOptions, Language, LanguageProbabilities, Segment, Window, WindowTranscript, Word,
};

/// One window to decode, with its own options: a batch may mix languages and tasks.
#[derive(Debug, Clone, Copy)]
pub struct DecodeRequest<'a> {
    pub encoded: &'a Encoded,
    pub options: &'a DecodeOptions,
}

/// Turns windows of speech into text. `Send` and `Sync`; every call blocks until its batch is done and
/// uses rayon's global pool.
#[derive(Debug)]
pub struct Transcriber {
    model: Model,
}

impl Transcriber {
    pub fn new(model: Model) -> Self {
        Self { model }
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Runs the encoder. A window of more than 30 s is cut off at 30 s.
    pub fn encode(&self, window: &Window) -> Encoded {
        Encoded(Arc::new(EncodedWindow {
            window: window.clone(),
            memory: self.memory(&window.samples),
            languages: if self.model.is_multilingual() {
                OnceLock::new()
            } else {
                LanguageProbabilities::new(vec![(Language::ENGLISH, 1.0)]).into()
            },
        }))
    }

    /// A probability for every language. English-only models say English, 1.0.
    pub fn detect_language(&self, encoded: &Encoded) -> LanguageProbabilities {
        // Not within the cell's initialisation: while the decoder waits for other threads, this one may come here again.
        if encoded.0.languages.get().is_none() {
            let _ = encoded.0.languages.set(self.model.search().languages(encoded.context()));
        }
        encoded.languages()
    }

    /// Decodes a batch of windows together, each by its own options. A window's transcript does not
    /// depend on the others in its batch.
    ///
    /// # Errors
    /// If a language or task is asked for that the model does not know, or a prompt cannot be encoded.
    pub fn decode(&self, requests: &[DecodeRequest<'_>]) -> Result<Vec<WindowTranscript>, Error> {
        // Each thread has a session of its own.
        let threads = rayon::current_num_threads();
        let mut sessions: Vec<Session> = Vec::new();
        sessions.resize_with(threads.min(requests.len()), Session::default);
        for (index, request) in requests.iter().enumerate() {
            self.add(&mut sessions[index % threads], index as u64, request.encoded, request.options)?;
        }
        let run = |mut session: Session| {
            let mut done = Vec::new();
            while !session.is_empty() {
                done.extend(self.step(&mut session));
            }
            done
        };
        let mut done: Vec<(u64, WindowTranscript)> = sessions.into_par_iter().flat_map_iter(run).collect();
        done.sort_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, transcript)| transcript).collect())
    }

    /// Takes a window into a session. `key` is given back with its transcript.
    ///
    /// # Errors
    /// As [`Self::decode`]; the session goes on without the window.
    pub fn add(
        &self,
        session: &mut Session,
        key: u64,
        encoded: &Encoded,
        options: &DecodeOptions,
    ) -> Result<(), Error> {
        let mut findings = Findings::new(encoded.clone(), options.clone());
        self.begin(&mut session.batch, key, Decoding::Whole, encoded, options)?;
        findings.begin();
        if let Some(options) = findings.untimed_options() {
            self.begin(&mut session.batch, key, Decoding::Untimed, encoded, &options)?;
            findings.begin();
        }
        session.windows.insert(key, findings);
        Ok(())
    }

    /// Begins a decoding for a window.
    fn begin(
        &self,
        batch: &mut Batch<Entry>,
        key: u64,
        of: Decoding,
        encoded: &Encoded,
        options: &DecodeOptions,
    ) -> Result<(), Error> {
        let request = self.request(&DecodeRequest { encoded, options })?;
        batch.add(Entry { key, encoded: encoded.clone(), of }, request, &self.model.tokenizer);
        Ok(())
    }

    /// Takes every window of a session a token further, and gives the transcripts of those that are done.
    pub fn step(&self, session: &mut Session) -> Vec<(u64, WindowTranscript)> {
        let finished = within(Stage::Search, || session.batch.step(self.model.search()));
        for Finished { key, request, .. } in &finished {
            // Another decoding of the same window may have judged them before, the same.
            let languages = request.languages.clone().expect("languages are judged with the first token");
            let _ = key.encoded.0.languages.set(languages);
        }
        let segments: Vec<Vec<TextSegment>> =
            finished.iter().map(|finished| self.segments(finished)).collect();
        let words = within(Stage::Words, || self.words(&finished, &segments));
        let mut transcripts = Vec::new();
        for (finished, (segments, words)) in finished.into_iter().zip(segments.into_iter().zip(words)) {
            let decoded = self.decoded(&finished, segments, words);
            let Entry { key, of, .. } = finished.key;
            transcripts.extend(self.take(session, key, of, decoded).map(|transcript| (key, transcript)));
        }
        transcripts
    }

    /// Takes in the result of a decoding, and begins those that it calls for. Gives the window's transcript once all
    /// are done.
    fn take(
        &self,
        session: &mut Session,
        key: u64,
        of: Decoding,
        decoded: Decoded,
    ) -> Option<WindowTranscript> {
        let mut findings = session.windows.remove(&key)?;
        for Stretch { samples, .. } in findings.take(of, decoded) {
            let encoded = self.encode(&findings.encoded.0.window.part(samples));
            // What could be decoded with these options once can be again; a stretch that cannot stays without words.
            let batch = &mut session.batch;
            if self.begin(batch, key, Decoding::Stretch, &encoded, &findings.options).is_ok() {
                findings.begin();
            }
        }
        if findings.is_done() {
            return findings.into_transcript();
        }
        session.windows.insert(key, findings);
        None
    }

    /// Encodes and decodes.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn transcribe(
        &self,
        windows: &[Window],
        options: &DecodeOptions,
    ) -> Result<Vec<WindowTranscript>, Error> {
        let encoded: Vec<Encoded> = windows.iter().map(|window| self.encode(window)).collect();
        let requests: Vec<_> = encoded.iter().map(|encoded| DecodeRequest { encoded, options }).collect();
        self.decode(&requests)
    }

    /// Prompt and tokens of every window.
    #[cfg(test)]
    pub(crate) fn decode_tokens(
        &self,
        requests: &[DecodeRequest<'_>],
    ) -> Vec<(Vec<u32>, crate::decoding::search::Decoded)> {
        let mut batch = Batch::default();
        for (index, request) in requests.iter().enumerate() {
            let request = self.request(request).expect("the model knows what is asked");
            batch.add(index, request, &self.model.tokenizer);
        }
        let mut finished = Vec::new();
        while finished.len() < requests.len() {
            finished.extend(batch.step(self.model.search()));
        }
        finished.sort_by_key(|finished| finished.key);
        finished.into_iter().map(|finished| (finished.request.prompt, finished.decoded)).collect()
    }

    fn request(&self, request: &DecodeRequest<'_>) -> Result<Request, Error> {
        let options = request.options.clone();
        let languages = request.encoded.0.languages.get().cloned();
        // What stands here until the language is judged has to be one that the model knows.
        let language = match &languages {
            Some(languages) => choose(languages, options.language, options.follow_language),
            None => options.language.unwrap_or(Language::ENGLISH),
        };
        let previous = Previous {
            hotwords: options.hotwords.as_deref(),
            initial_prompt: options.initial_prompt.as_deref(),
        };
        let prompt = self.model.tokenizer.prompt(previous, language, options.task, options.timestamps)?;
        let timing = match (options.timestamps, options.whole_windows) {
            (false, _) => Timing::None,
            (true, false) => Timing::Reference,
            (true, true) => Timing::Whole { duration: request.encoded.duration() },
        };
        let seed = options.seed.wrapping_add(request.encoded.0.window.index as u64);
        Ok(Request { context: request.encoded.context(), prompt, options, timing, seed, languages })
    }

    /// The window's segments; none where it is silent.
    fn segments(&self, Finished { key, request, decoded }: &Finished<Entry>) -> Vec<TextSegment> {
        if decoded.is_silence(&request.options) {
            return Vec::new();
        }
        let tokenizer = &self.model.tokenizer;
        let mut segments = split(&decoded.tokens, tokenizer, key.encoded.duration());
        segments.retain(|segment| {
            segment.start < segment.end && !tokenizer.decode(&segment.tokens).trim().is_empty()
        });
        segments
    }

    /// The words of every window's segments.
    fn words(&self, finished: &[Finished<Entry>], segments: &[Vec<TextSegment>]) -> Vec<Vec<Vec<Word>>> {
        let texts: Vec<Text<'_>> =
            finished.iter().zip(segments).map(|(finished, segments)| self.text(finished, segments)).collect();
        let mut words = self.model.aligner().words(&texts);
        for ((finished, text), words) in finished.iter().zip(&texts).zip(&mut words) {
            let window = &finished.key.encoded.0.window;
            self.correct_misplaced(window, text, words);
            voiced::fit(window, words);
        }
        words
    }

    /// What is to be aligned: nothing where nobody needs the words.
    fn text<'a>(&self, finished: &'a Finished<Entry>, segments: &'a [TextSegment]) -> Text<'a> {
        let Finished { key: Entry { encoded, .. }, request, .. } = finished;
        let window = &encoded.0.window;
        let DecodeOptions { word_timestamps, whole_windows, .. } = request.options;
        // Words also tell what speech has none.
        let needed = word_timestamps || whole_windows || reaches_over_silence(window, segments);
        Text {
            memory: &encoded.0.memory,
            prompt: self.model.tokenizer.bare_prompt(&request.prompt),
            language: DecodeRequest { encoded, options: &request.options }.language(),
            task: request.options.task,
            samples: window.samples.len(),
            segments: if needed { segments } else { &[] },
        }
    }

    /// Moves words that were put before or behind a long silence, though they were said on its other side.
    fn correct_misplaced(&self, window: &Window, text: &Text<'_>, words: &mut [Vec<Word>]) {
        for apart in misplaced(window, words) {
            let samples = apart.without_sound(window);
            let memory = self.memory(&samples);
            let elsewhere =
                Text { memory: &memory, samples: samples.len(), prompt: text.prompt.clone(), ..*text };
            apart.correct(words, &self.model.aligner().words(&[elsewhere]).concat());
        }
    }

    /// The encoder's view of a window's samples.
    fn memory(&self, samples: &[f32]) -> Arc<Memory> {
        let mel = within(Stage::Mel, || self.model.spectrogram(samples));
        let states = within(Stage::EncoderProducts, || self.model.encoder.forward(&mel));
        Arc::new(self.model.decoder.memory(&states))
    }

    fn decoded(
        &self,
        Finished { key: Entry { encoded, .. }, request, decoded }: &Finished<Entry>,
        segments: Vec<TextSegment>,
        words: Vec<Vec<Word>>,
    ) -> Decoded {
        let window = &encoded.0.window;
        let spans = spans(&segments, &words);
        let untranscribed = untranscribed(window, &spans, &words);
        let looping = looping(&segments, &self.model.tokenizer);
        let mut words = words.into_iter();
        let segment = |(segment, (span, looping)): (TextSegment, ((f64, f64), bool))| {
            let words = words.next().unwrap_or_default();
            let text = self.model.tokenizer.decode(&segment.tokens);
            let suspect = looping || lacks_voice(window, span, &words, &text, decoded.avg_logprob.exp());
            let words: Vec<Word> = words.into_iter().map(|word| in_original(word, window)).collect();
            let (start, end) = match (words.first(), words.last()) {
                (Some(first), Some(last)) if first.start < last.end => (first.start, last.end),
                _ => window.original_span(span.0, span.1),
            };
            Segment {
                seek: (window.start() * 100.0).round() as u64,
                start,
                end,
                text,
                tokens: segment.tokens,
                temperature: decoded.temperature,
                avg_logprob: decoded.avg_logprob,
                compression_ratio: decoded.compression_ratio,
                no_speech_prob: decoded.no_speech_prob,
                suspect,
                words,
            }
        };
        let transcript = WindowTranscript {
            segments: segments.into_iter().zip(spans.into_iter().zip(looping)).map(segment).collect(),
            language: DecodeRequest { encoded, options: &request.options }.language(),
            language_probabilities: encoded.languages(),
        };
        Decoded { transcript, untranscribed, passed: decoded.passed_at_once(&request.options) }
    }
}

/// Whether a segment goes on over a long silence by the model's own times, which are no finer than words are.
fn reaches_over_silence(window: &Window, segments: &[TextSegment]) -> bool {
    let over = |cut: f64| segments.iter().any(|segment| segment.start < cut && cut < segment.end);
    window.cuts(LONG_SILENCE).map(seconds_of).any(over)
}

/// From seconds in the window to seconds in the original.
fn in_original(word: Word, window: &Window) -> Word {
    let (start, end) = window.original_word(word.start, word.end);
    Word { start, end, ..word }
}

impl DecodeRequest<'_> {
    /// The language that the window is written down in.
    fn language(&self) -> Language {
        let DecodeOptions { language, follow_language, .. } = *self.options;
        choose(&self.encoded.languages(), language, follow_language)
    }
}

//! The public face of recognition: windows in, transcripts out.

use std::sync::{Arc, OnceLock};

use crate::decoder::Memory;
use crate::rules::Timing;
use crate::search::{Decoded, Request};
use crate::segments::cut;
use crate::{
    Error, Language, LanguageProbabilities, Model, Options, SAMPLE_RATE, Segment, WINDOW_SECONDS, Window,
    WindowTranscript,
};

/// A window after the encoder: what language detection and decoding work on. Cheap to clone; about
/// 5 MB for the base model.
#[derive(Debug, Clone)]
pub struct Encoded(Arc<EncodedWindow>);

#[derive(Debug)]
struct EncodedWindow {
    window: Window,
    /// `[1500, width]`
    states: Vec<f32>,
    languages: OnceLock<LanguageProbabilities>,
}

/// One window to decode, with its own options: a batch may mix languages and tasks.
#[derive(Debug, Clone, Copy)]
pub struct DecodeRequest<'a> {
    pub encoded: &'a Encoded,
    pub options: &'a Options,
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
    pub fn encode(&self, windows: &[&Window]) -> Vec<Encoded> {
        windows
            .iter()
            .map(|window| {
                let states = self.model.encoder.forward(&self.model.mel.extract(&window.samples));
                Encoded(Arc::new(EncodedWindow {
                    window: (*window).clone(),
                    states,
                    languages: OnceLock::new(),
                }))
            })
            .collect()
    }

    /// A probability for every language, for each window. English-only models say English, 1.0.
    pub fn detect_language(&self, windows: &[&Encoded]) -> Vec<LanguageProbabilities> {
        let unknown: Vec<&&Encoded> =
            windows.iter().filter(|encoded| encoded.0.languages.get().is_none()).collect();
        let memories: Vec<Memory> = unknown.iter().map(|encoded| self.memory(encoded)).collect();
        self.note_languages(&unknown, &memories);
        windows.iter().map(|encoded| encoded.languages()).collect()
    }

    /// Decodes a batch of windows together, each by its own options. A window's transcript does not
    /// depend on the others in its batch.
    ///
    /// # Errors
    /// If a language or task is asked for that the model does not know, or a prompt cannot be encoded.
    pub fn decode(&self, requests: &[DecodeRequest<'_>]) -> Result<Vec<WindowTranscript>, Error> {
        let encoded: Vec<&&Encoded> = requests.iter().map(|request| &request.encoded).collect();
        let memories: Vec<Memory> = encoded.iter().map(|encoded| self.memory(encoded)).collect();
        self.note_languages(&encoded, &memories);
        let searches = requests
            .iter()
            .zip(&memories)
            .map(|(request, memory)| self.request(request, memory))
            .collect::<Result<Vec<_>, _>>()?;
        let decoded = self.model.search().decode(&searches);
        Ok(requests
            .iter()
            .zip(decoded)
            .map(|(request, decoded)| self.transcript(request, &decoded))
            .collect())
    }

    /// Encodes and decodes.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn transcribe(&self, windows: &[Window], options: &Options) -> Result<Vec<WindowTranscript>, Error> {
        let encoded = self.encode(&windows.iter().collect::<Vec<_>>());
        let requests: Vec<_> = encoded.iter().map(|encoded| DecodeRequest { encoded, options }).collect();
        self.decode(&requests)
    }

    /// Prompt and tokens of every window.
    #[cfg(test)]
    pub(crate) fn decode_tokens(&self, requests: &[DecodeRequest<'_>]) -> Vec<(Vec<u32>, Decoded)> {
        let memories: Vec<Memory> = requests.iter().map(|request| self.memory(request.encoded)).collect();
        let searches = requests.iter().zip(&memories).map(|(request, memory)| self.request(request, memory));
        let searches: Vec<Request<'_>> =
            searches.map(|search| search.expect("the model knows what is asked")).collect();
        let decoded = self.model.search().decode(&searches);
        searches.into_iter().map(|search| search.prompt).zip(decoded).collect()
    }

    fn memory(&self, encoded: &Encoded) -> Memory {
        self.model.decoder.memory(&encoded.0.states)
    }

    /// Judges the languages of those windows that have not been judged yet.
    fn note_languages(&self, encoded: &[&&Encoded], memories: &[Memory]) {
        let (encoded, memories): (Vec<&&&Encoded>, Vec<&Memory>) =
            encoded.iter().zip(memories).filter(|(encoded, _)| encoded.0.languages.get().is_none()).unzip();
        if encoded.is_empty() {
            return;
        }
        let judged = if self.model.is_multilingual() {
            self.model.search().languages(&memories)
        } else {
            vec![LanguageProbabilities::new(vec![(Language::ENGLISH, 1.0)]); encoded.len()]
        };
        for (encoded, languages) in encoded.iter().zip(judged) {
            // Another thread may have judged the same window meanwhile, to the same result.
            let _ = encoded.0.languages.set(languages);
        }
    }

    fn request<'a>(&self, request: &DecodeRequest<'a>, memory: &'a Memory) -> Result<Request<'a>, Error> {
        let options = request.options;
        let prompt = self.model.tokenizer.prompt(
            options.initial_prompt.as_deref(),
            request.language(),
            options.task,
            options.timestamps,
        )?;
        let timing = match (options.timestamps, options.whole_windows) {
            (false, _) => Timing::None,
            (true, false) => Timing::Reference,
            (true, true) => Timing::Whole { duration: request.encoded.duration() },
        };
        let seed = options.seed.wrapping_add(request.encoded.0.window.index as u64);
        Ok(Request { memory, prompt, options, timing, seed })
    }

    fn transcript(&self, request: &DecodeRequest<'_>, decoded: &Decoded) -> WindowTranscript {
        let window = &request.encoded.0.window;
        let duration = request.encoded.duration();
        let mut segments = Vec::new();
        if !decoded.is_silence(request.options) {
            for piece in cut(&decoded.tokens, &self.model.tokenizer, duration) {
                let text = self.model.tokenizer.decode(&piece.tokens);
                if text.trim().is_empty() || piece.start >= piece.end {
                    continue;
                }
                let (start, end) = window.original_span(piece.start, piece.end);
                segments.push(Segment {
                    seek: (window.start() * 100.0).round() as u64,
                    start,
                    end,
                    text,
                    tokens: piece.tokens,
                    temperature: decoded.temperature,
                    avg_logprob: decoded.avg_logprob,
                    compression_ratio: decoded.compression_ratio,
                    no_speech_prob: decoded.no_speech_prob,
                });
            }
        }
        WindowTranscript {
            segments,
            language: request.language(),
            language_probabilities: request.encoded.languages(),
        }
    }
}

impl Encoded {
    #[cfg(test)]
    pub(crate) fn states(&self) -> &[f32] {
        &self.0.states
    }

    /// Seconds that were heard.
    fn duration(&self) -> f64 {
        (self.0.window.samples.len() as f64 / SAMPLE_RATE as f64).min(WINDOW_SECONDS as f64)
    }

    /// What was judged, once it was.
    fn languages(&self) -> LanguageProbabilities {
        self.0.languages.get().cloned().expect("languages are judged before they are asked for")
    }
}

impl DecodeRequest<'_> {
    /// The language asked for, or else the most probable.
    fn language(&self) -> Language {
        let detected = || self.encoded.languages().best().map_or(Language::ENGLISH, |(language, _)| language);
        self.options.language.unwrap_or_else(detected)
    }
}

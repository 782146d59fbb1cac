//! The public face of recognition: model, options, transcriber.

use std::path::Path;

use crate::{Error, Language, LanguageProbabilities, Window, WindowTranscript};

/// A Whisper model in memory.
#[derive(Debug)]
pub struct Model {}

impl Model {
    /// Loads a folder in CTranslate2's format: `model.bin`, `config.json`, `tokenizer.json`.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let _ = dir;
        todo!()
    }

    /// False for the English-only models (`tiny.en` …).
    pub fn is_multilingual(&self) -> bool {
        todo!()
    }
}

/// What to do with the speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// Write it down in its own language.
    #[default]
    Transcribe,
    /// Write it down in English.
    Translate,
}

/// How to decode. The defaults are those of OpenAI's reference implementation.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// `None`: the window's most probable language.
    pub language: Option<Language>,
    pub task: Task,
    /// Let the model say where segments start and end. Without, a window is one segment.
    pub timestamps: bool,
    /// Text that the model is to believe came before every window: names, spelling, style.
    pub initial_prompt: Option<String>,
    /// Tried in turn until a decoding passes the thresholds below.
    pub temperatures: Vec<f32>,
    /// A higher compression ratio of the text means that it repeats itself: try the next temperature.
    pub compression_ratio_threshold: Option<f32>,
    /// A lower mean log-probability means that the model is lost: try the next temperature.
    pub logprob_threshold: Option<f32>,
    /// A window above this with a mean log-probability under `logprob_threshold` is silence.
    pub no_speech_threshold: Option<f32>,
    /// Samples drawn at temperatures above 0; the most probable is kept.
    pub best_of: usize,
    /// Seeds the sampling, so that a run repeats.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            language: None,
            task: Task::Transcribe,
            timestamps: true,
            initial_prompt: None,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            compression_ratio_threshold: Some(2.4),
            logprob_threshold: Some(-1.0),
            no_speech_threshold: Some(0.6),
            best_of: 5,
            seed: 0,
        }
    }
}

/// A window after the encoder: what language detection and decoding work on. Cheap to clone; about
/// 3 MB for the base model.
#[derive(Debug, Clone)]
pub struct Encoded {}

/// One window to decode, with its own options: a batch may mix languages and tasks.
#[derive(Debug, Clone, Copy)]
pub struct DecodeRequest<'a> {
    pub encoded: &'a Encoded,
    pub options: &'a Options,
}

/// Turns windows of speech into text. `Send` and `Sync`; every call blocks until its batch is done and
/// uses rayon's global pool.
#[derive(Debug)]
pub struct Transcriber {}

impl Transcriber {
    pub fn new(model: Model) -> Self {
        let _ = model;
        todo!()
    }

    pub fn model(&self) -> &Model {
        todo!()
    }

    /// Runs the encoder. A window of more than 30 s is cut off at 30 s.
    pub fn encode(&self, windows: &[&Window]) -> Vec<Encoded> {
        let _ = windows;
        todo!()
    }

    /// A probability for every language, for each window. English-only models say English, 1.0.
    pub fn detect_language(&self, windows: &[&Encoded]) -> Vec<LanguageProbabilities> {
        let _ = windows;
        todo!()
    }

    /// Decodes a batch of windows together, each by its own options. A window's transcript does not
    /// depend on the others in its batch.
    pub fn decode(&self, requests: &[DecodeRequest<'_>]) -> Result<Vec<WindowTranscript>, Error> {
        let _ = requests;
        todo!()
    }

    /// Encodes and decodes.
    pub fn transcribe(&self, windows: &[Window], options: &Options) -> Result<Vec<WindowTranscript>, Error> {
        let encoded = self.encode(&windows.iter().collect::<Vec<_>>());
        let requests: Vec<_> = encoded.iter().map(|encoded| DecodeRequest { encoded, options }).collect();
        self.decode(&requests)
    }
}

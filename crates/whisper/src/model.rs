//! A Whisper model in memory: all its parts, loaded and checked.

use std::path::Path;

use crate::decoder::Decoder;
use crate::encoder::Encoder;
use crate::mel::MelExtractor;
use crate::precision::{ComputeType, Precision};
use crate::rules::Rules;
use crate::search::Search;
use crate::tokenizer::Tokenizer;
use crate::weights::{Config, Weights};
use crate::{Error, Language};

/// A Whisper model in memory.
#[derive(Debug)]
pub struct Model {
    pub(crate) mel: MelExtractor,
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Decoder,
    pub(crate) tokenizer: Tokenizer,
    rules: Rules,
}

impl Model {
    /// Loads a folder in CTranslate2's format: `model.bin`, `config.json`, `tokenizer.json`.
    pub fn load(dir: &Path, compute: ComputeType) -> Result<Self, Error> {
        let precision = Precision::from(compute);
        let config = Config::load(&dir.join("config.json"))?;
        let weights = Weights::open(&dir.join("model.bin"))?;
        let encoder = Encoder::load(&weights, precision)?;
        let decoder = Decoder::load(&weights, precision, encoder.width())?;
        let tokenizer = Tokenizer::load(&dir.join("tokenizer.json"), decoder.vocabulary())?;
        Ok(Self {
            mel: MelExtractor::new(encoder.n_mels()),
            rules: Rules::new(&config, &tokenizer),
            encoder,
            decoder,
            tokenizer,
        })
    }

    /// False for the English-only models (`tiny.en` …).
    pub fn is_multilingual(&self) -> bool {
        self.tokenizer.is_multilingual()
    }

    /// Whether the model can be told to write down this language.
    pub fn knows(&self, language: Language) -> bool {
        if !self.is_multilingual() {
            return language == Language::ENGLISH;
        }
        self.tokenizer.languages().iter().any(|(known, _)| *known == language)
    }

    pub(crate) fn search(&self) -> Search<'_> {
        Search { decoder: &self.decoder, tokenizer: &self.tokenizer, rules: &self.rules }
    }
}

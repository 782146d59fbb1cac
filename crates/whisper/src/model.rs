//! A Whisper model in memory: all its parts, loaded and checked.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::align::Aligner;
use crate::config::{Config, ConfigFile, Heads};
use crate::decoding::rules::Rules;
use crate::decoding::search::Search;
use crate::network::decoder::Decoder;
use crate::network::encoder::Encoder;
use crate::network::mel::{LogMel, MelExtractor};
use crate::network::precision::{ComputeType, Padding, Precision};
use crate::text::tokenizer::Tokenizer;
use crate::weights::Weights;
use verbatim_kernels::stages::{Stage, within};
use verbatim_speech::Language;

/// A Whisper model in memory.
#[derive(Debug)]
pub struct Model {
    mel: MelExtractor,
    padding: Padding,
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Decoder,
    pub(crate) tokenizer: Tokenizer,
    rules: Rules,
    /// Layers of the decoder and heads of their cross attention that look at the moment at which a token is said.
    pub(crate) alignment_heads: Vec<(usize, usize)>,
}

impl Model {
    /// Loads a folder in CTranslate2's format (`model.bin`, `config.json`, `tokenizer.json`) or a `ggml-*.bin` of
    /// whisper.cpp. Instead of the latter, its folder will do where there is no other model in it.
    ///
    /// # Errors
    /// If there is no such model, or a file of it cannot be read or used; the sentence names the file.
    pub fn load(path: &Path, compute: ComputeType) -> Result<Self, Error> {
        let precision = Precision::from(compute);
        within(Stage::Loading, || match ggml_file(path)? {
            Some(file) => Self::load_ggml(&file, precision),
            None => Self::load_ctranslate2(path, precision),
        })
    }

    fn load_ctranslate2(dir: &Path, precision: Precision) -> Result<Self, Error> {
        let config = ConfigFile::load(&dir.join("config.json"))?;
        let weights = Weights::open(&dir.join("model.bin"))?;
        Self::new(&weights, precision, config, |vocabulary| {
            Tokenizer::load(&dir.join("tokenizer.json"), vocabulary)
        })
    }

    fn load_ggml(file: &Path, precision: Precision) -> Result<Self, Error> {
        let (weights, ggml) = Weights::open_ggml(file)?;
        let model = Self::new(&weights, precision, ConfigFile::default(), |vocabulary| {
            Tokenizer::of_tokens(&ggml.tokens, vocabulary, file)
        })?;
        if !model.mel.has_filters(&ggml.filters) {
            return Err(Error::Model {
                path: file.into(),
                reason: "its mel filters are not Whisper's, so it would hear what it was not trained on"
                    .into(),
            });
        }
        Ok(model)
    }

    fn new(
        weights: &Weights,
        precision: Precision,
        config: ConfigFile,
        tokenizer: impl FnOnce(usize) -> Result<Tokenizer, Error> + Send,
    ) -> Result<Self, Error> {
        let vocabulary = Decoder::vocabulary_of(weights)?;
        let (tokenizer, (encoder, decoder)) = rayon::join(
            || tokenizer(vocabulary),
            || rayon::join(|| Encoder::load(weights, precision), || Decoder::load(weights, precision)),
        );
        let (tokenizer, encoder, decoder) = (tokenizer?, encoder?, decoder?);
        let config = Config::new(config, &tokenizer, Heads::of(weights)?)?;
        Ok(Self {
            mel: MelExtractor::new(encoder.n_mels()),
            padding: precision.padding,
            rules: Rules::new(&config, &tokenizer),
            alignment_heads: config.alignment_heads,
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
        knows(&self.tokenizer, language)
    }

    /// The languages that the model at `path` can be told to write down, in the order of [`Language::all`]. Reads its
    /// vocabulary alone, not its weights.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn languages(path: &Path) -> Result<Vec<Language>, Error> {
        let tokenizer = match ggml_file(path)? {
            Some(file) => {
                let (weights, ggml) = Weights::open_ggml(&file)?;
                Tokenizer::of_tokens(&ggml.tokens, Decoder::vocabulary_of(&weights)?, &file)?
            }
            None => {
                let weights = Weights::open(&path.join("model.bin"))?;
                Tokenizer::load(&path.join("tokenizer.json"), Decoder::vocabulary_of(&weights)?)?
            }
        };
        Ok(Language::all().filter(|language| knows(&tokenizer, *language)).collect())
    }

    /// The spectrogram of a window's samples, and of the silence behind them that the encoder is to see.
    pub(crate) fn spectrogram(&self, samples: &[f32]) -> LogMel {
        self.mel.extract(samples, self.padding.frames(samples.len()))
    }

    pub(crate) fn search(&self) -> Search<'_> {
        Search { decoder: &self.decoder, tokenizer: &self.tokenizer, rules: &self.rules }
    }

    pub(crate) fn aligner(&self) -> Aligner<'_> {
        Aligner { decoder: &self.decoder, tokenizer: &self.tokenizer, heads: &self.alignment_heads }
    }
}

fn knows(tokenizer: &Tokenizer, language: Language) -> bool {
    if !tokenizer.is_multilingual() {
        return language == Language::ENGLISH;
    }
    tokenizer.languages().iter().any(|(known, _)| *known == language)
}

/// The ggml file that `path` is or holds; `None` for what can only be a folder of CTranslate2's.
fn ggml_file(path: &Path) -> Result<Option<PathBuf>, Error> {
    if path.is_file() {
        return Ok(Some(path.into()));
    }
    if path.join("model.bin").exists() || path.join("config.json").exists() {
        return Ok(None);
    }
    let read = |source| Error::Read { path: path.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(read)? {
        let file = entry.map_err(read)?.path();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("ggml-") && name.ends_with(".bin") {
            found.push(file);
        }
    }
    let reason = match &found[..] {
        [file] => return Ok(Some(file.clone())),
        [] => "it holds neither CTranslate2's model.bin, config.json and tokenizer.json nor a ggml-*.bin",
        _ => "it holds several ggml-*.bin; name the one to load",
    };
    Err(Error::Model { path: path.into(), reason: reason.into() })
}

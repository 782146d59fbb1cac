//! Tokens and text: the byte-pair vocabulary, Whisper's control tokens, prompts.

use std::path::Path;

use tokenizers::Tokenizer as BytePairs;

use crate::Error;
use verbatim_speech::{Language, Task};

/// Timestamp tokens stand for multiples of this many seconds, from 0 to 30.
pub(crate) const TIMESTAMP_STEP: f64 = 0.02;

/// 0.00 to 30.00 s in steps of 0.02 s.
const TIMESTAMPS: u32 = 1501;

/// What is told of before the recording may fill at most half of the decoder's context, less the `<|startofprev|>`
/// before it.
const MAX_PREVIOUS_TOKENS: usize = 223;

/// What the decoder is told of what came before the recording.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Previous<'a> {
    pub(crate) hotwords: Option<&'a str>,
    pub(crate) initial_prompt: Option<&'a str>,
}

#[derive(Debug)]
pub(crate) struct Tokenizer {
    pairs: BytePairs,
    pub(crate) end_of_text: u32,
    pub(crate) start_of_transcript: u32,
    pub(crate) no_timestamps: u32,
    pub(crate) no_speech: u32,
    start_of_previous: u32,
    transcribe: u32,
    translate: u32,
    /// Every language of the model, with its token; none for an English-only model.
    languages: Vec<(Language, u32)>,
}

impl Tokenizer {
    /// Reads `tokenizer.json`; `vocabulary` is the number of rows of the model's embeddings.
    pub(crate) fn load(path: &Path, vocabulary: usize) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
        let broken = |reason: String| Error::Model { path: path.into(), reason };
        let mut pairs =
            BytePairs::from_bytes(bytes).map_err(|error| broken(format!("it is no tokenizer: {error}")))?;
        super::vocabulary::complete(&mut pairs).map_err(broken)?;
        Self::new(pairs, vocabulary, path)
    }

    /// Takes the bytes of the text tokens, by their ids, out of the model file at `path`.
    pub(crate) fn of_tokens(tokens: &[Vec<u8>], vocabulary: usize, path: &Path) -> Result<Self, Error> {
        let pairs = super::vocabulary::tokenizer(tokens, vocabulary)
            .map_err(|reason| Error::Model { path: path.into(), reason })?;
        Self::new(pairs, vocabulary, path)
    }

    fn new(pairs: BytePairs, vocabulary: usize, path: &Path) -> Result<Self, Error> {
        let broken = |reason: String| Error::Model { path: path.into(), reason };
        let find = |name: &str| pairs.token_to_id(name);
        let token = |name: &str| find(name).ok_or_else(|| broken(format!("it has no token {name}")));
        let no_timestamps = token("<|notimestamps|>")?;
        // Only the multilingual vocabularies have this many tokens: the English ones are one shorter, and
        // carry the language tokens without having been trained on them.
        let multilingual = token("<|endoftext|>")? > 50256;
        let languages = if multilingual {
            Language::all()
                .filter_map(|language| Some((language, find(&format!("<|{language}|>"))?)))
                .filter(|(_, token)| *token < no_timestamps)
                .collect()
        } else {
            Vec::new()
        };
        if vocabulary < (no_timestamps + 1 + TIMESTAMPS) as usize {
            return Err(broken(format!(
                "its timestamp tokens end at {}, but the model knows only {vocabulary} tokens",
                no_timestamps + TIMESTAMPS
            )));
        }
        Ok(Self {
            end_of_text: token("<|endoftext|>")?,
            start_of_transcript: token("<|startoftranscript|>")?,
            no_timestamps,
            // Older files call it nocaptions.
            no_speech: find("<|nospeech|>").map_or_else(|| token("<|nocaptions|>"), Ok)?,
            start_of_previous: token("<|startofprev|>")?,
            transcribe: token("<|transcribe|>")?,
            translate: token("<|translate|>")?,
            languages,
            pairs,
        })
    }

    /// The tokens that steer the decoder, which it never has to write itself.
    pub(crate) fn steering(&self) -> Vec<u32> {
        [self.start_of_transcript, self.translate, self.transcribe, self.start_of_previous, self.no_speech]
            .into_iter()
            .chain(self.pairs.token_to_id("<|startoflm|>"))
            .collect()
    }

    pub(crate) fn is_multilingual(&self) -> bool {
        !self.languages.is_empty()
    }

    /// Every language of the model with its token; none for an English-only model.
    pub(crate) fn languages(&self) -> &[(Language, u32)] {
        &self.languages
    }

    /// The token of a language; `None` where the model does not know it.
    pub(crate) fn language_token(&self, language: Language) -> Option<u32> {
        self.languages.iter().find(|(known, _)| *known == language).map(|(_, token)| *token)
    }

    /// The token of 0.00 s; all tokens from it on are timestamps.
    pub(crate) fn first_timestamp(&self) -> u32 {
        self.no_timestamps + 1
    }

    pub(crate) fn is_timestamp(&self, token: u32) -> bool {
        token > self.no_timestamps
    }

    /// Seconds that a timestamp token stands for.
    pub(crate) fn seconds(&self, timestamp: u32) -> f64 {
        f64::from(timestamp - self.first_timestamp()) * TIMESTAMP_STEP
    }

    /// The text of the tokens, without control and timestamp tokens.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        let text: Vec<u32> = tokens.iter().copied().filter(|token| *token < self.end_of_text).collect();
        self.pairs.decode(&text, true).expect("byte-level tokens always decode")
    }

    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let encoding =
            self.pairs.encode_fast(text, false).map_err(|error| Error::Prompt(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// What of a [`Self::prompt`] comes before a text without times that is told the decoder: nothing that was said
    /// before, and no timestamps.
    pub(crate) fn bare_prompt(&self, prompt: &[u32]) -> Vec<u32> {
        let start = prompt.iter().position(|token| *token == self.start_of_transcript).unwrap_or(0);
        let mut bare = prompt[start..].to_vec();
        if bare.last() != Some(&self.no_timestamps) {
            bare.push(self.no_timestamps);
        }
        bare
    }

    /// What the decoder is fed before the first token of its own: `<|startofprev|>` and what came before the recording,
    /// if there is anything, then start of transcript, language, task, and `<|notimestamps|>` where no timestamps
    /// are wanted.
    pub(crate) fn prompt(
        &self,
        previous: Previous<'_>,
        language: Language,
        task: Task,
        timestamps: bool,
    ) -> Result<Vec<u32>, Error> {
        let mut prompt = Vec::new();
        let previous = self.previous(previous)?;
        if !previous.is_empty() {
            prompt.push(self.start_of_previous);
            prompt.extend(previous);
        }
        prompt.push(self.start_of_transcript);
        if self.is_multilingual() {
            prompt.push(self.language_token(language).ok_or(Error::Language(language))?);
            prompt.push(match task {
                Task::Transcribe => self.transcribe,
                Task::Translate => self.translate,
            });
        } else if language != Language::ENGLISH {
            return Err(Error::EnglishOnly(format!("transcribe {}", language.name())));
        } else if task == Task::Translate {
            return Err(Error::EnglishOnly("translate".into()));
        }
        if !timestamps {
            prompt.push(self.no_timestamps);
        }
        Ok(prompt)
    }

    /// The start of the hotwords and the end of the initial prompt. Hotwords come first, as in faster-whisper, so that
    /// the text goes on where the initial prompt ends; what they leave of the room is the initial prompt's.
    fn previous(&self, Previous { hotwords, initial_prompt }: Previous<'_>) -> Result<Vec<u32>, Error> {
        let mut tokens = self.text_tokens(hotwords)?;
        tokens.truncate(MAX_PREVIOUS_TOKENS);
        let initial_prompt = self.text_tokens(initial_prompt)?;
        let room = MAX_PREVIOUS_TOKENS - tokens.len();
        tokens.extend(&initial_prompt[initial_prompt.len().saturating_sub(room)..]);
        Ok(tokens)
    }

    /// A text as it stands behind others. Control tokens that it names are left out: a text may not steer the decoder.
    fn text_tokens(&self, text: Option<&str>) -> Result<Vec<u32>, Error> {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
        let mut tokens = self.encode(&format!(" {text}"))?;
        tokens.retain(|token| *token < self.end_of_text);
        Ok(tokens)
    }
}

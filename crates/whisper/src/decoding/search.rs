//! Finds the text: greedy decoding, beam search, sampling, and the fallback to higher temperatures.
//!
//! Decision rules and thresholds are those of OpenAI's reference (Radford et al. 2022, section 4.5). Windows
//! are decoded in a [`Batch`] that others join and leave while it runs.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rayon::prelude::*;

use super::hypothesis::{Hypothesis, beams, samples};
use super::language::{choose, judged};
use super::rules::{Rules, Timing};
use crate::network::decoder::{Context, Decoder, Feed, Row};
use crate::text::repetition::loops;
use crate::text::tokenizer::Tokenizer;
use verbatim_kernels::stages::{Stage, within};
use verbatim_kernels::vector::log_sum_exp;
use verbatim_speech::{DecodeOptions, LanguageProbabilities};

/// All that decoding needs of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search<'a> {
    pub(crate) decoder: &'a Decoder,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) rules: &'a Rules,
}

impl Search<'_> {
    /// How probable the model holds every language for a window.
    pub(crate) fn languages(&self, mut context: Context) -> LanguageProbabilities {
        let row = Row { token: self.tokenizer.start_of_transcript, path: &[0], wanted: true };
        let mut logits = Vec::new();
        self.decoder.step(&mut [Feed { context: &mut context, rows: vec![row] }], &mut logits);
        judged(&logits, self.tokenizer)
    }
}

/// One window to decode.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) context: Context,
    pub(crate) prompt: Vec<u32>,
    pub(crate) options: DecodeOptions,
    pub(crate) timing: Timing,
    /// Different for every window, so that their samples differ.
    pub(crate) seed: u64,
    /// How probable every language is; `None` where that is to be judged as well.
    pub(crate) languages: Option<LanguageProbabilities>,
}

impl Request {
    /// Whether the prompt is right whatever language the window is in, and its first token's logits say which that is.
    fn tells_language(&self, tokenizer: &Tokenizer) -> bool {
        let DecodeOptions { language, follow_language, .. } = self.options;
        language.is_some() && !follow_language && start_of_transcript(&self.prompt, tokenizer) == 0
    }
}

/// A window's text as tokens, with the figures that tell how good it is.
#[derive(Debug, Clone)]
pub(crate) struct Decoded {
    pub(crate) tokens: Vec<u32>,
    pub(crate) temperature: f32,
    pub(crate) avg_logprob: f32,
    pub(crate) compression_ratio: f32,
    /// A phrase comes many times in a row, which a long text's compression ratio need not show.
    pub(crate) loops: bool,
    pub(crate) no_speech_prob: f32,
}

impl Decoded {
    /// The model holds it for silence, and has nothing to say that it is sure of.
    pub(crate) fn is_silence(&self, options: &DecodeOptions) -> bool {
        let unsure = options.logprob_threshold.is_none_or(|threshold| self.avg_logprob < threshold);
        options.no_speech_threshold.is_some_and(|threshold| self.no_speech_prob > threshold) && unsure
    }

    fn repeats_itself(&self, options: &DecodeOptions) -> bool {
        let repeats = |threshold| self.loops || self.compression_ratio > threshold;
        options.compression_ratio_threshold.is_some_and(repeats)
    }

    fn needs_fallback(&self, options: &DecodeOptions) -> bool {
        let lost = options.logprob_threshold.is_some_and(|threshold| self.avg_logprob < threshold);
        (self.repeats_itself(options) || lost) && !self.is_silence(options)
    }

    /// It is good enough, and is from the first temperature.
    pub(crate) fn passed_at_once(&self, options: &DecodeOptions) -> bool {
        self.temperature <= temperatures(options)[0] && !self.needs_fallback(options)
    }
}

/// Windows in decoding, each with a key of its caller's.
#[derive(Debug)]
pub(crate) struct Batch<K> {
    decodings: Vec<(K, Decoding)>,
    /// Those of the last step: tens of megabytes that are used again.
    logits: Vec<f32>,
}

/// A window in decoding.
#[derive(Debug)]
struct Decoding {
    request: Request,
    /// Which of the temperatures is tried.
    attempt: usize,
    next: Next,
    live: Vec<Hypothesis>,
    ended: Vec<Hypothesis>,
    no_speech_prob: f32,
    /// The results at the temperatures before.
    tried: Vec<Decoded>,
    rng: StdRng,
}

/// What is fed next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The start of the transcript alone, behind which the language is judged. The prompt's language depends on it.
    Start,
    Prompt,
    /// The last token of every hypothesis.
    Token,
}

/// A window that was decoded, and what it was decoded from.
#[derive(Debug)]
pub(crate) struct Finished<K> {
    pub(crate) key: K,
    pub(crate) request: Request,
    pub(crate) decoded: Decoded,
}

impl<K> Default for Batch<K> {
    fn default() -> Self {
        Self { decodings: Vec::new(), logits: Vec::new() }
    }
}

impl<K: Send> Batch<K> {
    pub(crate) fn add(&mut self, key: K, request: Request, tokenizer: &Tokenizer) {
        self.decodings.push((key, Decoding::new(request, tokenizer)));
    }

    /// Gives up the windows whose keys are not to be kept. The others are decoded as if those had never been there.
    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.decodings.retain(|(key, _)| keep(key));
    }

    /// Takes every window a token further, and gives those that are done.
    ///
    /// A window is decoded at the first of its temperatures whose result is good enough. Where none is, it
    /// gets the most probable of those that do not repeat themselves.
    pub(crate) fn step(&mut self, search: Search<'_>) -> Vec<Finished<K>> {
        if self.decodings.is_empty() {
            return Vec::new();
        }
        // Prompts are the first rows of their windows, so that the path of the longest serves all.
        let to_start = self.decodings.iter().filter(|(_, decoding)| decoding.next != Next::Token);
        let longest = to_start.map(|(_, decoding)| decoding.request.prompt.len()).max().unwrap_or(0);
        let prompt_path: Vec<u32> = (0..longest as u32).collect();
        let mut counts = Vec::with_capacity(self.decodings.len());
        let mut feeds = Vec::with_capacity(self.decodings.len());
        for (_, decoding) in &mut self.decodings {
            let feed = decoding.feed(&prompt_path, search.tokenizer);
            counts.push(feed.rows.iter().filter(|row| row.wanted).count());
            feeds.push(feed);
        }
        search.decoder.step(&mut feeds, &mut self.logits);
        drop(feeds);

        let vocabulary = search.decoder.vocabulary();
        let mut rest = &mut self.logits[..];
        let mut shares = Vec::with_capacity(counts.len());
        for count in counts {
            let (share, behind) = rest.split_at_mut(count * vocabulary);
            shares.push(share);
            rest = behind;
        }
        let done: Vec<Option<Decoded>> = self
            .decodings
            .par_iter_mut()
            .zip(shares)
            .map(|((_, decoding), logits)| within(Stage::Search, || decoding.advance(search, logits)))
            .collect();
        let mut finished = Vec::new();
        for ((key, decoding), done) in std::mem::take(&mut self.decodings).into_iter().zip(done) {
            match done {
                Some(decoded) => finished.push(Finished { key, request: decoding.request, decoded }),
                None => self.decodings.push((key, decoding)),
            }
        }
        finished
    }
}

impl Decoding {
    fn new(request: Request, tokenizer: &Tokenizer) -> Self {
        let is_judged = request.languages.is_some() || request.tells_language(tokenizer);
        let rng = StdRng::seed_from_u64(request.seed.wrapping_mul(1_000_003));
        Self {
            request,
            attempt: 0,
            next: if is_judged { Next::Prompt } else { Next::Start },
            live: Vec::new(),
            ended: Vec::new(),
            no_speech_prob: 0.0,
            tried: Vec::new(),
            rng,
        }
    }

    fn temperature(&self) -> f32 {
        temperatures(&self.request.options)[self.attempt]
    }

    /// The rows of the prompt, which every hypothesis starts with.
    fn prompt_path(&self) -> Vec<u32> {
        (0..self.request.prompt.len() as u32).collect()
    }

    /// The rows of what is [`Next`].
    fn feed<'f>(&'f mut self, prompt_path: &'f [u32], tokenizer: &Tokenizer) -> Feed<'f> {
        let Request { prompt, context, .. } = &mut self.request;
        let rows = match self.next {
            Next::Start => {
                vec![Row { token: tokenizer.start_of_transcript, path: &prompt_path[..1], wanted: true }]
            }
            Next::Prompt => {
                // Whether there is speech is told behind the start of the transcript, which token comes first
                // behind the whole prompt.
                let wanted = [start_of_transcript(prompt, tokenizer), prompt.len() - 1];
                let row = |(at, token): (usize, &u32)| Row {
                    token: *token,
                    path: &prompt_path[..=at],
                    wanted: wanted.contains(&at),
                };
                prompt.iter().enumerate().map(row).collect()
            }
            Next::Token => {
                let next = context.next_row();
                for (row, hypothesis) in (next..).zip(&mut self.live) {
                    hypothesis.path.push(row);
                }
                let last = |hypothesis: &'f Hypothesis| Row {
                    token: *hypothesis.tokens.last().expect("a hypothesis is fed once it has a token"),
                    path: &hypothesis.path,
                    wanted: true,
                };
                self.live.iter().map(last).collect()
            }
        };
        Feed { context, rows }
    }

    /// Takes in the languages. Where they were judged before the prompt, it gets the language that is chosen.
    fn note_languages(&mut self, languages: LanguageProbabilities, tokenizer: &Tokenizer) {
        let Request { prompt, options, .. } = &mut self.request;
        if self.next == Next::Start {
            let language = choose(&languages, options.language, options.follow_language);
            let start = start_of_transcript(prompt, tokenizer);
            let token = tokenizer.language_token(language);
            prompt[start + 1] = token.expect("a prompt is made only for a language of the model's");
        }
        self.request.languages = Some(languages);
    }

    /// Takes in the logits of the rows that were wanted. Gives the result once there is one.
    fn advance(&mut self, search: Search<'_>, logits: &mut [f32]) -> Option<Decoded> {
        let vocabulary = search.decoder.vocabulary();
        if self.request.languages.is_none() {
            self.note_languages(judged(&logits[..vocabulary], search.tokenizer), search.tokenizer);
        }
        if self.next == Next::Start {
            self.next = Next::Prompt;
            self.request.context.clear();
            return None;
        }
        let options = &self.request.options;
        let width = if self.temperature() > 0.0 { options.best_of } else { options.beam_size }.max(1);
        let mut first;
        let logits = if self.next == Next::Token {
            logits
        } else {
            self.next = Next::Token;
            self.live = vec![Hypothesis::new(self.prompt_path())];
            let start = &logits[..vocabulary];
            self.no_speech_prob = (start[search.tokenizer.no_speech as usize] - log_sum_exp(start)).exp();
            let last = logits.len() - vocabulary;
            if self.temperature() > 0.0 {
                self.live = vec![Hypothesis::new(self.prompt_path()); width];
                first = logits[last..].repeat(width);
                &mut first
            } else {
                &mut logits[last..]
            }
        };
        for (hypothesis, logits) in self.live.iter().zip(logits.chunks_exact_mut(vocabulary)) {
            search.rules.apply(logits, &hypothesis.tokens, self.request.timing);
        }
        let live = std::mem::take(&mut self.live);
        let end = search.tokenizer.end_of_text;
        if self.temperature() > 0.0 {
            let temperature = self.temperature();
            (self.live, self.ended) =
                samples(live, std::mem::take(&mut self.ended), logits, temperature, &mut self.rng, end);
        } else {
            (self.live, self.ended) = beams(live, std::mem::take(&mut self.ended), logits, width, end);
        }
        let context = search.decoder.context();
        let limit = (context / 2).min(context.saturating_sub(self.request.prompt.len()));
        let full = self.live.first().is_some_and(|hypothesis| hypothesis.tokens.len() >= limit);
        if full {
            self.ended.append(&mut self.live);
        }
        if !self.live.is_empty() {
            return None;
        }
        self.judge(search)
    }

    /// Chooses among what ended. Gives it if it is good enough or nothing is left to try; else starts again at
    /// the next temperature.
    fn judge(&mut self, search: Search<'_>) -> Option<Decoded> {
        let ended = std::mem::take(&mut self.ended);
        let best = ended.into_iter().max_by(|a, b| a.mean_logprob().total_cmp(&b.mean_logprob()));
        let best = best.expect("a search ends with at least one text");
        let options = &self.request.options;
        let text = search.tokenizer.decode(&best.tokens);
        let is_text = |token: &u32| *token < search.tokenizer.end_of_text;
        let text_tokens: Vec<u32> = best.tokens.iter().copied().filter(is_text).collect();
        let decoded = Decoded {
            avg_logprob: best.sum_logprob / (best.tokens.len() + 1) as f32,
            compression_ratio: compression_ratio(text.trim()),
            loops: !loops(&text_tokens).is_empty(),
            no_speech_prob: self.no_speech_prob,
            temperature: self.temperature(),
            tokens: best.tokens,
        };
        let again = decoded.needs_fallback(options) && self.attempt + 1 < temperatures(options).len();
        self.tried.push(decoded);
        if again {
            self.attempt += 1;
            self.next = Next::Prompt;
            self.request.context.clear();
            return None;
        }
        Some(best_of_attempts(std::mem::take(&mut self.tried), options))
    }
}

fn start_of_transcript(prompt: &[u32], tokenizer: &Tokenizer) -> usize {
    prompt.iter().position(|token| *token == tokenizer.start_of_transcript).unwrap_or(0)
}

/// At least one temperature, whatever the options say.
fn temperatures(options: &DecodeOptions) -> &[f32] {
    if options.temperatures.is_empty() { &[0.0] } else { &options.temperatures }
}

/// The last attempt, if it was good enough; else the most probable, of those that do not repeat themselves
/// where there are any.
fn best_of_attempts(mut tried: Vec<Decoded>, options: &DecodeOptions) -> Decoded {
    let last = tried.pop().expect("every window is decoded at least once");
    if !last.needs_fallback(options) {
        return last;
    }
    tried.push(last);
    if tried.iter().any(|decoded| !decoded.repeats_itself(options)) {
        tried.retain(|decoded| !decoded.repeats_itself(options));
    }
    let best = tried.into_iter().max_by(|a, b| a.avg_logprob.total_cmp(&b.avg_logprob));
    best.expect("the last attempt is among them")
}

/// Bytes of the text over bytes of it compressed by zlib: text that repeats itself compresses well.
fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    text.len() as f32 / compressed.expect("writing to memory does not fail").len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_raises_the_compression_ratio() {
        let speech =
            "He was not an ill-disposed young man, unless to be rather cold hearted is to be ill-disposed.";
        assert!(compression_ratio(speech) < 2.0);
        assert!(compression_ratio(&"I'm going to go. ".repeat(20)) > 2.4);
        assert!(compression_ratio("") < 2.4);
    }

    #[test]
    fn when_all_fail_the_most_probable_that_does_not_repeat_wins() {
        let decoded = |avg_logprob, compression_ratio| Decoded {
            tokens: vec![],
            temperature: 0.0,
            avg_logprob,
            compression_ratio,
            loops: false,
            no_speech_prob: 0.0,
        };
        let options = DecodeOptions::default();
        let best = |tried| best_of_attempts(tried, &options).avg_logprob;
        assert_eq!(
            best(vec![decoded(-0.1, 9.0), decoded(-1.5, 1.0), decoded(-1.2, 1.0), decoded(-3.0, 1.0)]),
            -1.2
        );
        assert_eq!(best(vec![decoded(-0.3, 9.0), decoded(-0.2, 9.0)]), -0.2);
        assert_eq!(best(vec![decoded(-1.5, 1.0), decoded(-0.9, 1.0)]), -0.9);
        let circles = Decoded { loops: true, ..decoded(-0.1, 1.0) };
        assert!(circles.needs_fallback(&options));
        assert_eq!(best(vec![circles, decoded(-1.2, 1.0)]), -1.2);
    }
}

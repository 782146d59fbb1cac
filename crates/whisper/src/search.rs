//! Finds the text: greedy decoding of a batch, sampling, and the fallback to higher temperatures.
//!
//! Decision rules and thresholds are those of OpenAI's reference (Radford et al. 2022, section 4.5).

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rayon::prelude::*;

use crate::decoder::{Cache, Decoder, Feed, Memory};
use crate::rules::{Rules, Timing};
use crate::tokenizer::Tokenizer;
use crate::vector::{log_sum_exp, max};
use crate::{LanguageProbabilities, Options};

/// All that decoding needs of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search<'a> {
    pub(crate) decoder: &'a Decoder,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) rules: &'a Rules,
}

/// One window to decode.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) prompt: Vec<u32>,
    pub(crate) options: &'a Options,
    pub(crate) timing: Timing,
    /// Different for every window, so that their samples differ.
    pub(crate) seed: u64,
}

/// A window's text as tokens, with the figures that tell how good it is.
#[derive(Debug, Clone)]
pub(crate) struct Decoded {
    pub(crate) tokens: Vec<u32>,
    pub(crate) temperature: f32,
    pub(crate) avg_logprob: f32,
    pub(crate) compression_ratio: f32,
    pub(crate) no_speech_prob: f32,
}

impl Decoded {
    /// The model holds it for silence, and has nothing to say that it is sure of.
    pub(crate) fn is_silence(&self, options: &Options) -> bool {
        let unsure = options.logprob_threshold.is_none_or(|threshold| self.avg_logprob < threshold);
        options.no_speech_threshold.is_some_and(|threshold| self.no_speech_prob > threshold) && unsure
    }

    fn repeats_itself(&self, options: &Options) -> bool {
        options.compression_ratio_threshold.is_some_and(|threshold| self.compression_ratio > threshold)
    }

    fn needs_fallback(&self, options: &Options) -> bool {
        let lost = options.logprob_threshold.is_some_and(|threshold| self.avg_logprob < threshold);
        (self.repeats_itself(options) || lost) && !self.is_silence(options)
    }
}

/// A text in the making.
struct Sequence<'a> {
    request: usize,
    memory: &'a Memory,
    cache: Cache,
    sampled: Vec<u32>,
    sum_logprob: f32,
    no_speech_prob: f32,
    temperature: f32,
    timing: Timing,
    /// The most tokens it may come to.
    limit: usize,
    rng: StdRng,
    ended: bool,
}

impl Search<'_> {
    /// Decodes all windows, each at the first of its temperatures whose result is good enough. Where none
    /// is, the most probable of those that do not repeat themselves.
    pub(crate) fn decode(&self, requests: &[Request<'_>]) -> Vec<Decoded> {
        let mut tried: Vec<Vec<Decoded>> = requests.iter().map(|_| Vec::new()).collect();
        let mut pending: Vec<usize> = (0..requests.len()).collect();
        for attempt in 0.. {
            pending.retain(|index| attempt < temperatures(requests[*index].options).len());
            if pending.is_empty() {
                break;
            }
            let batch = pending.iter().map(|index| &requests[*index]).collect::<Vec<_>>();
            let decoded = self.attempt(&batch, attempt);
            for (index, decoded) in pending.iter().zip(decoded) {
                tried[*index].push(decoded);
            }
            pending.retain(|index| {
                let last = tried[*index].last();
                last.is_some_and(|decoded| decoded.needs_fallback(requests[*index].options))
            });
        }
        tried.into_iter().zip(requests).map(|(tried, request)| best(tried, request.options)).collect()
    }

    /// For each window, how probable the model holds every language for it.
    pub(crate) fn languages(&self, memories: &[&Memory]) -> Vec<LanguageProbabilities> {
        let prompt = [self.tokenizer.start_of_transcript];
        let mut caches: Vec<Cache> = memories.iter().map(|_| Cache::default()).collect();
        let mut feeds: Vec<Feed<'_>> = caches
            .iter_mut()
            .zip(memories)
            .map(|(cache, memory)| Feed { tokens: &prompt, cache, memory, wanted: &[0] })
            .collect();
        let logits = self.decoder.step(&mut feeds);
        logits
            .chunks_exact(self.decoder.vocabulary())
            .map(|logits| self.language_probabilities(logits))
            .collect()
    }

    fn language_probabilities(&self, logits: &[f32]) -> LanguageProbabilities {
        let languages = self.tokenizer.languages();
        let of_languages: Vec<f32> = languages.iter().map(|(_, token)| logits[*token as usize]).collect();
        let total = log_sum_exp(&of_languages);
        let probabilities = languages.iter().zip(of_languages);
        LanguageProbabilities::new(
            probabilities.map(|((language, _), logit)| (*language, (logit - total).exp())).collect(),
        )
    }

    /// Decodes every window once, at the `attempt`th of its temperatures.
    fn attempt(&self, requests: &[&Request<'_>], attempt: usize) -> Vec<Decoded> {
        let mut sequences = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            let temperature = temperatures(request.options)[attempt];
            let samples = if temperature > 0.0 { request.options.best_of.max(1) } else { 1 };
            for sample in 0..samples {
                sequences.push(self.sequence(
                    index,
                    request,
                    temperature,
                    (attempt * samples + sample) as u64,
                ));
            }
        }
        self.run(&mut sequences, requests);
        let mut best: Vec<Option<Decoded>> = requests.iter().map(|_| None).collect();
        for sequence in sequences {
            let best = &mut best[sequence.request];
            let decoded = self.decoded(sequence);
            if best.as_ref().is_none_or(|best| decoded.avg_logprob > best.avg_logprob) {
                *best = Some(decoded);
            }
        }
        best.into_iter().map(|best| best.expect("every request has a sequence")).collect()
    }

    fn sequence<'a>(
        &self,
        index: usize,
        request: &Request<'a>,
        temperature: f32,
        sample: u64,
    ) -> Sequence<'a> {
        let context = self.decoder.context();
        Sequence {
            request: index,
            memory: request.memory,
            cache: Cache::default(),
            sampled: Vec::new(),
            sum_logprob: 0.0,
            no_speech_prob: 0.0,
            temperature,
            timing: request.timing,
            limit: (context / 2).min(context.saturating_sub(request.prompt.len())),
            rng: StdRng::seed_from_u64(request.seed.wrapping_mul(1_000_003).wrapping_add(sample)),
            ended: false,
        }
    }

    /// Runs all sequences to their ends; those that end leave the batch.
    fn run(&self, sequences: &mut [Sequence<'_>], requests: &[&Request<'_>]) {
        let vocabulary = self.decoder.vocabulary();
        // The first step takes the prompts in, and tells at `<|startoftranscript|>` whether there is speech.
        let wanted: Vec<[usize; 2]> = requests
            .iter()
            .map(|request| {
                let start =
                    request.prompt.iter().position(|token| *token == self.tokenizer.start_of_transcript);
                [start.unwrap_or(0), request.prompt.len() - 1]
            })
            .collect();
        let mut feeds: Vec<Feed<'_>> = sequences
            .iter_mut()
            .map(|sequence| Feed {
                tokens: &requests[sequence.request].prompt,
                cache: &mut sequence.cache,
                memory: sequence.memory,
                wanted: &wanted[sequence.request],
            })
            .collect();
        let mut logits = self.decoder.step(&mut feeds);
        sequences.par_iter_mut().zip(logits.par_chunks_exact_mut(2 * vocabulary)).for_each(
            |(sequence, logits)| {
                let (start, last) = logits.split_at_mut(vocabulary);
                sequence.no_speech_prob =
                    (start[self.tokenizer.no_speech as usize] - log_sum_exp(start)).exp();
                self.extend(sequence, last);
            },
        );
        loop {
            let mut active: Vec<&mut Sequence<'_>> = sequences.iter_mut().filter(|s| !s.ended).collect();
            if active.is_empty() {
                return;
            }
            let mut feeds: Vec<Feed<'_>> = active
                .iter_mut()
                .map(|sequence| Feed {
                    tokens: sequence.sampled.last().map_or(&[], std::slice::from_ref),
                    cache: &mut sequence.cache,
                    memory: sequence.memory,
                    wanted: &[0],
                })
                .collect();
            let mut logits = self.decoder.step(&mut feeds);
            active
                .par_iter_mut()
                .zip(logits.par_chunks_exact_mut(vocabulary))
                .for_each(|(sequence, logits)| self.extend(sequence, logits));
        }
    }

    /// Chooses the next token.
    fn extend(&self, sequence: &mut Sequence<'_>, logits: &mut [f32]) {
        self.rules.apply(logits, &sequence.sampled, sequence.timing);
        let token = if sequence.temperature > 0.0 {
            sample(logits, sequence.temperature, &mut sequence.rng)
        } else {
            most_probable(logits)
        };
        sequence.sum_logprob += logits[token] - log_sum_exp(logits);
        if token == self.tokenizer.end_of_text as usize {
            sequence.ended = true;
        } else {
            sequence.sampled.push(token as u32);
            sequence.ended = sequence.sampled.len() >= sequence.limit;
        }
    }

    fn decoded(&self, sequence: Sequence<'_>) -> Decoded {
        let text = self.tokenizer.decode(&sequence.sampled);
        Decoded {
            avg_logprob: sequence.sum_logprob / (sequence.sampled.len() + 1) as f32,
            compression_ratio: compression_ratio(text.trim()),
            no_speech_prob: sequence.no_speech_prob,
            temperature: sequence.temperature,
            tokens: sequence.sampled,
        }
    }
}

/// At least one temperature, whatever the options say.
fn temperatures(options: &Options) -> &[f32] {
    if options.temperatures.is_empty() { &[0.0] } else { &options.temperatures }
}

/// The last attempt, if it was good enough; else the most probable, of those that do not repeat themselves
/// where there are any.
fn best(mut tried: Vec<Decoded>, options: &Options) -> Decoded {
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

fn most_probable(logits: &[f32]) -> usize {
    let highest = max(logits);
    logits.iter().position(|logit| *logit == highest).unwrap_or(0)
}

/// Draws a token from `softmax(logits / temperature)`.
fn sample(logits: &[f32], temperature: f32, rng: &mut impl Rng) -> usize {
    let highest = max(logits);
    let weight = |logit: &f32| f64::from((logit - highest) / temperature).exp();
    let total: f64 = logits.iter().map(weight).sum();
    let mut left = rng.random::<f64>() * total;
    for (token, logit) in logits.iter().enumerate() {
        left -= weight(logit);
        if left < 0.0 {
            return token;
        }
    }
    most_probable(logits)
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
    fn sampling_repeats_with_its_seed_and_follows_the_probabilities() {
        let logits = [f32::NEG_INFINITY, 2.0, 1.0, f32::NEG_INFINITY];
        let draw = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..1000).map(|_| sample(&logits, 1.0, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let ones = draw(7).iter().filter(|token| **token == 1).count();
        assert!((680..780).contains(&ones), "a share of 0.731 was expected, not {ones} of 1000");
        assert!(draw(7).iter().all(|token| (1..=2).contains(token)));
    }

    #[test]
    fn when_all_fail_the_most_probable_that_does_not_repeat_wins() {
        let decoded = |avg_logprob, compression_ratio| Decoded {
            tokens: vec![],
            temperature: 0.0,
            avg_logprob,
            compression_ratio,
            no_speech_prob: 0.0,
        };
        let options = Options::default();
        let tried = vec![decoded(-0.1, 9.0), decoded(-1.5, 1.0), decoded(-1.2, 1.0), decoded(-3.0, 1.0)];
        assert_eq!(best(tried, &options).avg_logprob, -1.2);
        assert_eq!(best(vec![decoded(-0.3, 9.0), decoded(-0.2, 9.0)], &options).avg_logprob, -0.2);
        assert_eq!(best(vec![decoded(-1.5, 1.0), decoded(-0.9, 1.0)], &options).avg_logprob, -0.9);
    }
}

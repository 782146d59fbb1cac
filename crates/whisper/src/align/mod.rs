//! When each word was said, and how sure the model is of it.
//!
//! Some of the decoder's heads look, for every token, at the frames in which it is said. The text is fed to the
//! decoder once more; a path through those heads' weights, by dynamic time warping, says at which frame every
//! token begins. As in OpenAI's reference, and in Radford et al. 2022.

mod attention;
mod dtw;
pub(crate) mod misplaced;
mod timing;
pub(crate) mod voiced;
mod words;

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

pub(crate) use self::timing::spans;
use self::timing::{Durations, fit, shorten_at_sentence_ends};
use self::words::{Splitting, split, with_marks};
use crate::network::decoder::{Decoder, Memory};
use crate::network::encoder::STATES;
use crate::network::forced::{Forced, KnownText};
use crate::text::segments::TextSegment;
use crate::text::tokenizer::Tokenizer;
use verbatim_speech::{Language, SAMPLE_RATE, Task, Word};

/// Samples a frame of the encoder's output stands for: 20 ms.
const FRAME: usize = SAMPLE_RATE / 50;

const SENTENCE_ENDS: &str = ".。!！?？";

/// All that alignment needs of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aligner<'a> {
    pub(crate) decoder: &'a Decoder,
    pub(crate) tokenizer: &'a Tokenizer,
    /// Which heads of the decoder's cross attention follow the sound, as (layer, head).
    pub(crate) heads: &'a [(usize, usize)],
}

/// A window's text, to be aligned with its sound.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    pub(crate) memory: &'a Arc<Memory>,
    /// From the start of transcript to `<|notimestamps|>`.
    pub(crate) prompt: Vec<u32>,
    /// Of the speech.
    pub(crate) language: Language,
    pub(crate) task: Task,
    /// Samples of the window.
    pub(crate) samples: usize,
    pub(crate) segments: &'a [TextSegment],
}

/// When the tokens of a text were said.
#[derive(Debug)]
pub(crate) struct TokenTimes {
    /// When each token starts, and at last when the text ends, in seconds from the window's start.
    pub(crate) starts: Vec<f64>,
    /// How probable each token is after those before it, among all that are text.
    pub(crate) probabilities: Vec<f32>,
}

impl Aligner<'_> {
    /// For every text the words of its segments, in seconds from the window's start. The segments of a text that
    /// cannot be aligned have none, see [`Self::tokens`].
    pub(crate) fn words(&self, texts: &[Text<'_>]) -> Vec<Vec<Vec<Word>>> {
        let words = texts.par_iter().zip(self.tokens(texts)).map(|(text, times)| match times {
            Some(times) => self.words_of(text, &times),
            None => vec![Vec::new(); text.segments.len()],
        });
        words.collect()
    }

    /// When the tokens of every text were said. `None` for a text that cannot be aligned, because it is empty or
    /// longer than the model can write, or because its window is shorter than a frame.
    pub(crate) fn tokens(&self, texts: &[Text<'_>]) -> Vec<Option<TokenTimes>> {
        let known = texts.iter().map(|text| self.known_text(text));
        let (places, known): (Vec<usize>, Vec<KnownText<'_>>) = known
            .enumerate()
            .filter(|(_, known)| !known.text.is_empty() && known.frames > 0)
            .filter(|(_, known)| known.tokens.len() <= self.decoder.context())
            .unzip();
        let mut times: Vec<Option<TokenTimes>> = texts.iter().map(|_| None).collect();
        if known.is_empty() {
            return times;
        }
        let end_of_text = self.tokenizer.end_of_text as usize;
        let forced = self.decoder.force(&known, self.heads, end_of_text, attention::standardise);
        let starts: Vec<Vec<f64>> =
            known.par_iter().zip(&forced).map(|(known, forced)| starts(known, forced)).collect();
        for (place, (starts, forced)) in places.into_iter().zip(starts.into_iter().zip(forced)) {
            times[place] = Some(TokenTimes { starts, probabilities: forced.probabilities });
        }
        times
    }

    /// What the decoder is given: the text of all segments as one, without times.
    fn known_text<'a>(&self, text: &Text<'a>) -> KnownText<'a> {
        let mut tokens = text.prompt.clone();
        let start = tokens.len();
        tokens.extend(text.segments.iter().flat_map(|segment| self.text_of(segment)));
        let end = tokens.len();
        tokens.push(self.tokenizer.end_of_text);
        let frames = (text.samples / FRAME).min(STATES);
        KnownText { memory: text.memory, tokens, text: start..end, frames }
    }

    fn text_of(&self, segment: &TextSegment) -> Vec<u32> {
        segment.tokens.iter().copied().filter(|token| *token < self.tokenizer.end_of_text).collect()
    }

    fn words_of(&self, text: &Text<'_>, times: &TokenTimes) -> Vec<Vec<Word>> {
        let splitting = Splitting::of(text.language, text.task);
        let mut words = Vec::new();
        let mut of_segment: Vec<Range<usize>> = Vec::new();
        let mut first = 0;
        for segment in text.segments {
            let tokens = self.text_of(segment);
            let from = words.len();
            words.extend(split(&tokens, self.tokenizer, splitting).into_iter().map(|stretch| {
                let tokens = first + stretch.tokens.start..first + stretch.tokens.end;
                let probabilities = &times.probabilities[tokens.clone()];
                Word {
                    word: stretch.text,
                    start: times.starts[tokens.start],
                    end: times.starts[tokens.end],
                    probability: probabilities.iter().sum::<f32>() / probabilities.len() as f32,
                }
            }));
            of_segment.push(from..words.len());
            first += tokens.len();
        }
        let usual = Durations::of(&words);
        shorten_at_sentence_ends(&mut words, usual, |word| words::is_one_of(&word.word, SENTENCE_ENDS));
        let mut spoken_until = 0.0;
        let fitted = of_segment.into_iter().zip(text.segments).map(|(range, segment)| {
            let mut words = with_marks(&words[range]);
            fit(&mut words, segment.start, segment.end, spoken_until, usual);
            spoken_until = words.last().map_or(segment.end, |word| word.end);
            words
        });
        fitted.collect()
    }
}

/// The path through the attention.
fn starts(known: &KnownText<'_>, forced: &Forced) -> Vec<f64> {
    // A token is looked for by the position before it.
    let attention = &forced.attention[(known.text.start - 1) * known.frames..known.text.end * known.frames];
    let first_frames = dtw::first_frames(attention, known.frames);
    first_frames.iter().map(|frame| (frame * FRAME) as f64 / SAMPLE_RATE as f64).collect()
}

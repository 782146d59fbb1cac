//! Which language a window is in.

use verbatim_kernels::vector::log_sum_exp;
use verbatim_speech::{Language, LanguageProbabilities};

use crate::text::tokenizer::Tokenizer;

/// A window is followed into another language that is at least this probable, where the expected one is at most
/// [`HARDLY`]. Short and noisy windows are seldom judged so firmly unless they are.
const CLEARLY: f32 = 0.7;
const HARDLY: f32 = 0.1;

/// The language asked for, unless the window is clearly in another and `follow` says that it is to be followed; or else
/// the most probable.
pub(crate) fn choose(detected: &LanguageProbabilities, asked: Option<Language>, follow: bool) -> Language {
    let best = detected.best();
    let Some(asked) = asked else {
        return best.map_or(Language::ENGLISH, |(language, _)| language);
    };
    let clearly =
        |(_, probability): &(Language, f32)| *probability >= CLEARLY && detected.of(asked) <= HARDLY;
    match best.filter(clearly) {
        Some((language, _)) if follow => language,
        _ => asked,
    }
}

/// How probable every language of the model is, by the logits behind the start of the transcript.
pub(crate) fn judged(logits: &[f32], tokenizer: &Tokenizer) -> LanguageProbabilities {
    let languages = tokenizer.languages();
    let of_languages: Vec<f32> = languages.iter().map(|(_, token)| logits[*token as usize]).collect();
    let total = log_sum_exp(&of_languages);
    let probabilities = languages.iter().zip(of_languages);
    LanguageProbabilities::new(
        probabilities.map(|((language, _), logit)| (*language, (logit - total).exp())).collect(),
    )
}

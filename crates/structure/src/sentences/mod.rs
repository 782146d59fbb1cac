//! Splits a text into sentences by rule, in any language, and finds the time of each.

mod abbreviations;

use std::ops::Range;

use icu_segmenter::SentenceSegmenter;
use icu_segmenter::options::SentenceBreakInvariantOptions;

use crate::structure::Sentence;
use crate::transcript::{TimedText, trimmed};
use verbatim_speech::Language;

/// Opening quotation marks and brackets, which may follow the sentence before without a space.
const OPENERS: [char; 13] = ['「', '『', '（', '［', '【', '〔', '《', '〈', '“', '‘', '(', '[', '{'];

/// The sentences in these ranges of a text, with their times. None starts before the end of the one before.
pub(crate) fn timed(text: &TimedText, ranges: &[Range<usize>]) -> Vec<Sentence> {
    let mut last_end = 0.0;
    let sentence = |range: &Range<usize>| {
        let (start, end) = text.seconds(range.clone());
        // Segments may overlap if the model was unsure.
        let start = start.max(last_end);
        last_end = end.max(start);
        Sentence { text: text.text[range.clone()].to_owned(), start, end: last_end }
    };
    ranges.iter().map(sentence).collect()
}

/// The ranges of the sentences, in bytes. The text is split by Unicode's rules (UAX #29), then sentences are joined
/// that those rules split wrongly. The ranges cover all of the text but the white space between sentences.
pub(crate) fn by_rules(text: &str, language: Option<Language>) -> Vec<Range<usize>> {
    let segmenter = SentenceSegmenter::new(SentenceBreakInvariantOptions::default());
    let mut sentences: Vec<Range<usize>> = Vec::new();
    let mut from = 0;
    for to in segmenter.segment_str(text) {
        let to = before_openers(text, to);
        let Some(piece) = trimmed(text, from..to) else { continue };
        from = to;
        match sentences.last_mut() {
            Some(last) if continues(&text[last.clone()], &text[piece.clone()], language) => {
                last.end = piece.end
            }
            _ => sentences.push(piece),
        }
    }
    sentences
}

/// Moves the end of a sentence before the opening quotation marks and brackets at its end. By Unicode's rules, they
/// belong to the sentence before if no space precedes them.
fn before_openers(text: &str, to: usize) -> usize {
    match text[..to].trim_end_matches(OPENERS) {
        _ if to == text.len() => to,
        before => before.len(),
    }
}

/// Whether `after` continues the sentence of `before`.
fn continues(before: &str, after: &str, language: Option<Language>) -> bool {
    is_punctuation(before)
        || is_punctuation(after)
        || starts_in_lower_case(after)
        || quotation_continues(before, after)
        || abbreviations::is_abbreviation(before, after, language)
}

/// Whether a text has only punctuation and other marks, which belong to the words beside them.
pub(crate) fn is_punctuation(text: &str) -> bool {
    !text.contains(char::is_alphanumeric)
}

/// Whether a text starts with a word in lower case, as in: “Really?” she asked. But not as in: Really? iPhones are.
fn starts_in_lower_case(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(char::is_lowercase) && !letters.next().is_some_and(char::is_uppercase)
}

/// Whether a Japanese quotation is followed by the particle that marks it as one.
fn quotation_continues(before: &str, after: &str) -> bool {
    before.ends_with(['」', '』']) && (after.starts_with('と') || after.starts_with("って"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::segment;
    use crate::transcript::transcript;
    use verbatim_speech::{Segment, Word};

    fn sentences(segments: &[Segment], language: Option<Language>) -> Vec<Sentence> {
        let text = TimedText::new(segments);
        timed(&text, &by_rules(&text.text, language))
    }

    fn texts(sentences: &[Sentence]) -> Vec<&str> {
        sentences.iter().map(|sentence| sentence.text.as_str()).collect()
    }

    /// Language, and a text with `|` where it is to be split.
    const SPLITS: &[(&str, &str)] = &[
        ("en", "Hello. | How are you? | Fine! | Good."),
        ("en", "Mr. Smith met Dr. Jones and Mrs. Brown. | They talked."),
        ("en", "We went to St. Louis. | It was hot."),
        ("en", "It was Smith vs. Jones in court."),
        ("en", "Some fruit, e.g. Apples, are sweet, i.e. Good."),
        ("en", "Apples, pears, etc. | The rest is gone."),
        ("en", "Apples, pears, etc. and the rest."),
        ("en", "He lives in the U.S. Army base. | She left the U.S. | The end."),
        ("en", "At 5 p.m. Eastern time. | We left at 5 p.m. | It was late."),
        ("en", "See No. 5 and Fig. 3 on p. 7. | No. | I said no."),
        ("en", "John F. Kennedy and J. R. R. Tolkien met. | J. Smith was there."),
        ("en", "Take vitamin C. | Nobody does. | Neither do I. | Peter does."),
        ("en", "On Jan. 5 it rained. | On Sept. 11 too."),
        ("en", "Apple Inc. Chairman Cook spoke. | He left Apple Inc. | Then he came back."),
        ("en", "It costs 3.50 or 1,000.25 dollars. | That is cheap."),
        ("en", "Go to www.example.com or to https://example.com/a.b?c=D for more. | Thanks."),
        ("en", "She said, “Come in.” | He came. | “Really?” she asked. | \"Yes!\" he said."),
        ("en", "She has a Ph.D. from M.I.T. and works."),
        ("en", "(It rained.) | Then it stopped."),
        ("en", "Well... maybe. | Wait… what? | Oh."),
        ("en", "What?! | No way!!! | Stop."),
        ("en", "no punctuation at all just words and more words"),
        ("en", "Did you see it? | iPhones are there."),
        ("en", "Good. | 👍 Next. 👍"),
        ("de", "Das ist z.B. Obst, d.h. Äpfel. | Am 3. Mai und am 3. Oktober kam Hr. Meier. | Gut."),
        ("de", "Im 19. Jahrhundert war es so. | Er wurde 19. | Dann ging er."),
        ("fr", "Bonjour M. Dupont et Mme. Durand. | Ça va ? | Oui !"),
        ("es", "¿Qué tal? | ¡Hola, Sra. García! | El Sr. López no está."),
        ("ja", "こんにちは。|元気ですか？|はい！|「本当？」と彼は言った。|終わり。"),
        ("zh", "你好。|今天天气很好！|“真的吗？”|是的。|（笑）《书》好。"),
        ("ru", "Привет. | Как дела? | Хорошо."),
        ("hi", "नमस्ते। | आप कैसे हैं?"),
        ("ar", "مرحبا. | كيف حالك؟ | بخير."),
    ];

    #[test]
    fn sentences_end_where_a_reader_expects_it() {
        for (code, marked) in SPLITS {
            let language = Language::parse(code);
            let expected: Vec<&str> = marked.split('|').map(str::trim).collect();
            let text = marked.replace("| ", "").replace('|', "");
            let got = sentences(&[segment(0.0, 10.0, &text)], language);
            assert_eq!(texts(&got), expected, "{code}: {text}");
        }
    }

    #[test]
    fn a_sentence_starts_when_its_first_word_is_said() {
        let segments = [
            segment(1.0, 3.0, " It was a long day"),
            segment(4.0, 8.0, " for us. Then we slept."),
            segment(8.0, 8.0, "  "),
            segment(9.5, 11.0, " Good night."),
        ];
        let got = sentences(&segments, Some(Language::ENGLISH));
        assert_eq!(texts(&got), ["It was a long day for us.", "Then we slept.", "Good night."]);
        let starts: Vec<f64> = got.iter().map(|sentence| sentence.start).collect();
        // “Then” is after 8 of the 22 letters of a segment of 4 s.
        assert_eq!(starts, [1.0, 4.0 + 4.0 * 8.0 / 22.0, 9.5]);
        let ends: Vec<f64> = got.iter().map(|sentence| sentence.end).collect();
        assert_eq!(ends, [4.0 + 4.0 * 7.0 / 22.0, 8.0, 11.0]);
    }

    fn spoken(text: &str, words: &[(f64, f64, &str)]) -> Segment {
        let word = |&(start, end, word): &(f64, f64, &str)| Word {
            word: word.to_owned(),
            start,
            end,
            probability: 1.0,
        };
        Segment { words: words.iter().map(word).collect(), ..segment(0.0, 100.0, text) }
    }

    #[test]
    fn a_sentence_has_the_times_of_its_first_and_its_last_word() {
        let segments = [
            spoken(" Oh. It was", &[(1.0, 1.5, " Oh."), (2.0, 2.25, " It"), (2.5, 3.0, " was")]),
            spoken(" late. Good.", &[(4.0, 4.5, " late."), (6.0, 6.5, " Good.")]),
        ];
        let got = sentences(&segments, Some(Language::ENGLISH));
        let times: Vec<_> =
            got.iter().map(|sentence| (sentence.text.as_str(), sentence.start, sentence.end)).collect();
        assert_eq!(times, [("Oh.", 1.0, 1.5), ("It was late.", 2.0, 4.5), ("Good.", 6.0, 6.5)]);
    }

    #[test]
    fn times_within_a_word_are_interpolated() {
        let segments = [spoken("はい。そう。", &[(1.0, 4.0, "はい。そう。")])];
        let got = sentences(&segments, None);
        assert_eq!((got[0].start, got[0].end, got[1].start, got[1].end), (1.0, 2.5, 2.5, 4.0));
    }

    #[test]
    fn words_that_do_not_match_the_text_are_ignored() {
        let segments = [spoken(" Yes. No.", &[(1.0, 2.0, " Yes."), (2.0, 3.0, " Never.")])];
        let got = sentences(&segments, None);
        assert_eq!((got[0].start, got[1].end), (0.0, 100.0));
    }

    #[test]
    fn sentences_of_overlapping_segments_follow_each_other() {
        let segments = [segment(1.0, 5.0, "One."), segment(3.0, 4.0, " Two."), segment(4.5, 6.0, " Three.")];
        let got = sentences(&segments, None);
        let times: Vec<_> = got.iter().map(|sentence| (sentence.start, sentence.end)).collect();
        assert_eq!(times, [(1.0, 5.0), (5.0, 5.0), (5.0, 6.0)]);
    }

    #[test]
    fn segments_are_joined_by_a_space_if_their_script_has_it() {
        let english = [segment(0.0, 1.0, "One."), segment(1.0, 2.0, " Two."), segment(2.0, 3.0, "Three.")];
        assert_eq!(transcript(&english), "One. Two. Three.");
        let japanese = [segment(0.0, 1.0, "今日は。"), segment(1.0, 2.0, "晴れです。")];
        assert_eq!(transcript(&japanese), "今日は。晴れです。");
        assert_eq!(texts(&sentences(&japanese, None)), ["今日は。", "晴れです。"]);
    }

    #[test]
    fn no_words_make_no_sentence() {
        assert_eq!(sentences(&[], None), []);
        assert_eq!(sentences(&[segment(0.0, 1.0, " \n ")], None), []);
    }

    fn solid(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace()).collect()
    }

    proptest! {
        #[test]
        fn sentences_hold_every_letter_in_order_of_time(
            parts in prop::collection::vec(r"(\PC|[ .!?。\n「（“(]|Mr\.|\p{Lu}\.){0,40}", 0..6),
            language in prop::sample::select(vec!["en", "de", "fr", "es", "ja"]),
        ) {
            let segments: Vec<Segment> = parts
                .iter()
                .enumerate()
                .map(|(index, text)| segment(index as f64, index as f64 + 0.9, text))
                .collect();
            let got = sentences(&segments, Language::parse(language));
            prop_assert_eq!(solid(&parts.concat()), solid(&texts(&got).concat()));
            prop_assert_eq!(solid(&transcript(&segments)), solid(&parts.concat()));
            prop_assert!(got.iter().all(|sentence| !sentence.text.trim().is_empty()));
            prop_assert!(got.is_sorted_by(|a, b| a.end <= b.start));
            prop_assert!(got.iter().all(|sentence| sentence.start <= sentence.end));
        }
    }
}

//! Splits a text into words.

use std::ops::Range;
use std::sync::LazyLock;

use icu_segmenter::options::WordBreakInvariantOptions;
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed};

static SEGMENTER: LazyLock<WordSegmenterBorrowed<'static>> =
    LazyLock::new(|| WordSegmenter::new_auto(WordBreakInvariantOptions::default()));

/// Letters in a stem: two words with the same stem are counted as forms of one word. This stemmer is crude, but works
/// in every language.
const STEM: usize = 6;

/// English function words, contractions among them: they say nothing about the subject of a text.
const FUNCTION_WORDS: &str = "\
    a an the this that these those such same other others another each every either neither both all any some many much \
    more most few less least several none no not nor only own enough one ones two first last next \
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers \
    herself it its itself they them their theirs themselves who whom whose which what whatever whoever someone \
    somebody something anyone anybody anything everyone everybody everything nobody nothing \
    and or but if then than so because as while until unless although though since whether also too yet still even \
    of at by for with about against between among into onto through during before after above below to from up down in \
    out on off over under upon within without toward towards along across behind beyond around near per via \
    again further once here there where when why how now ever never always often sometimes just very quite rather \
    really almost already perhaps maybe however therefore thus hence indeed instead away back \
    am is are was were be been being do does did done doing have has had having can could may might must shall should \
    will would ought let lets get gets got getting go goes going gone went come comes came make makes made making say \
    says said saying tell told know knows knew known think thought see seen saw want wanted take took taken give gave \
    given put use used like well good right okay oh uh um yeah yes please thank thanks thing things way lot kind sort \
    bit day time times people man men mr mrs ms dr sir \
    i'm i've i'd i'll you're you've you'd you'll he's he'd he'll she's she'd she'll it's it'd it'll we're we've we'd \
    we'll they're they've they'd they'll that's that'd that'll there's here's what's who's where's how's let's isn't \
    aren't wasn't weren't don't doesn't didn't haven't hasn't hadn't can't cannot couldn't won't wouldn't shouldn't \
    mustn't ain't gonna wanna";

/// [`FUNCTION_WORDS`], sorted.
static ENGLISH: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let mut words: Vec<_> = FUNCTION_WORDS.split_whitespace().collect();
    words.sort_unstable();
    words
});

/// A word with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Bytes of the text.
    pub(crate) range: Range<usize>,
    /// In lower case, with a straight apostrophe.
    pub(crate) lower: String,
}

impl Word {
    /// Its first letters, which the forms of one word share.
    pub(crate) fn stem(&self) -> &str {
        let end = self.lower.char_indices().nth(STEM).map_or(self.lower.len(), |(at, _)| at);
        &self.lower[..end]
    }

    /// Whether it is an English function word.
    pub(crate) fn is_english_function_word(&self) -> bool {
        is_english_function_word(&self.lower)
    }
}

/// Whether a word in lower case is an English function word.
pub(crate) fn is_english_function_word(lower: &str) -> bool {
    ENGLISH.binary_search(&lower).is_ok() || lower.chars().count() == 1
}

/// The words of a text by Unicode's rules (UAX #29), and by dictionary in scripts without spaces between words.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut from = 0;
    for (to, kind) in SEGMENTER.segment_str(text).iter_with_word_type() {
        if kind.is_word_like() {
            let lower = text[from..to].to_lowercase().replace('’', "'");
            found.push(Word { range: from..to, lower });
        }
        from = to;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lower(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.lower).collect()
    }

    #[test]
    fn words_are_separated_by_spaces_and_punctuation() {
        assert_eq!(
            lower("“Don’t,” she said: 3.5 ill-disposed men!"),
            ["don't", "she", "said", "3.5", "ill", "disposed", "men"]
        );
        assert_eq!(lower(" … !"), [""; 0]);
    }

    #[test]
    fn scripts_without_spaces_are_split_into_words() {
        assert!(lower("今日はいい天気ですね。").len() > 2);
        assert!(lower("สวัสดีครับผมชื่อ").len() > 1);
    }

    #[test]
    fn forms_of_a_word_share_a_stem() {
        let stems: Vec<_> = words("survey surveyor Surveyed Überschwemmung überschwemmt")
            .iter()
            .map(|word| word.stem().to_owned())
            .collect();
        assert_eq!(stems, ["survey", "survey", "survey", "übersc", "übersc"]);
    }

    #[test]
    fn function_words_are_known_in_any_case() {
        let is_function: Vec<_> =
            words("The boats I’ve lost").iter().map(Word::is_english_function_word).collect();
        assert_eq!(is_function, [true, false, true, false]);
    }
}

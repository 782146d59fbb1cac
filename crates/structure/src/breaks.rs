//! Where a text is better or worse to break into lines than between any two words.

use verbatim_speech::Language;

use crate::sentences::by_rules;
use crate::transcript::is_written_without_spaces;
use crate::words::words;

/// A place in a text where a line may end, if it is better or worse than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Break {
    /// Where the next line would start: the first byte of a word.
    pub place: usize,
    pub kind: BreakKind,
}

/// How good a place is to break at, the best first. A place that is not listed is between [`Phrase`](Self::Phrase) and
/// [`Loose`](Self::Loose).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakKind {
    /// A sentence starts here.
    Sentence,
    /// A phrase starts here that is a unit of its own: a clause, or a preposition with its object.
    Phrase,
    /// The words on both sides belong together, as a verb and its object do.
    Loose,
    /// The words on both sides are hardly understood apart, as an article and its noun, or are one word.
    Tight,
}

/// The starts of sentences, and the insides of words that are written without spaces, in order.
pub(crate) fn breaks_by_rules(text: &str, language: Option<Language>) -> Vec<Break> {
    let sentences = by_rules(text, language)
        .into_iter()
        .skip(1)
        .map(|sentence| Break { place: sentence.start, kind: BreakKind::Sentence });
    let mut breaks: Vec<Break> = sentences.collect();
    for word in words(text) {
        let inside = text[word.range.clone()].char_indices().skip(1);
        let inside = inside.filter(|(_, letter)| is_written_without_spaces(*letter));
        breaks.extend(inside.map(|(at, _)| Break { place: word.range.start + at, kind: BreakKind::Tight }));
    }
    // A sentence does not start within a word; if both were found, the sentence comes first and stays.
    breaks.sort_by_key(|found| (found.place, found.kind));
    breaks.dedup_by_key(|found| found.place);
    breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text with `|` before each sentence and `~` within words.
    fn marked(text: &str, language: &str) -> String {
        let mut out = String::new();
        let breaks = breaks_by_rules(text, Language::parse(language));
        assert!(breaks.is_sorted_by(|a, b| a.place < b.place), "{breaks:?}");
        for (place, letter) in text.char_indices() {
            match breaks.iter().find(|found| found.place == place).map(|found| found.kind) {
                Some(BreakKind::Sentence) => out.push('|'),
                Some(BreakKind::Tight) => out.push('~'),
                _ => {}
            }
            out.push(letter);
        }
        out
    }

    #[test]
    fn sentences_start_and_words_without_spaces_are_kept_whole() {
        assert_eq!(marked("Hr. Meier kam. Er ging.", "de"), "Hr. Meier kam. |Er ging.");
        assert_eq!(marked("我们喜欢中国。再见。", "zh"), "我~们喜~欢中~国。|再~见。");
        assert_eq!(marked("", "de"), "");
    }
}

//! Tokens to words.

use std::ops::Range;

use crate::text::tokenizer::Tokenizer;
use verbatim_speech::{Language, Task, Word};

/// Marks that belong to the word behind them, where a space is before them.
const OPENING: &str = "\"'“¿([{-";

/// Marks that belong to the word before them.
const CLOSING: &str = "\"'.。,，!！?？:：”)]}、";

/// Languages that are written without spaces between words.
const WITHOUT_SPACES: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];

/// What ends a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Splitting {
    /// A space.
    Spaces,
    /// Every character, or as few as a token stands for.
    Characters,
}

impl Splitting {
    /// For text of this task from speech in this language.
    pub(super) fn of(language: Language, task: Task) -> Self {
        let without_spaces = WITHOUT_SPACES.contains(&language.code()) && task == Task::Transcribe;
        if without_spaces { Self::Characters } else { Self::Spaces }
    }
}

/// A stretch of text, and which of the tokens it was cut from it stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stretch {
    pub(super) text: String,
    pub(super) tokens: Range<usize>,
}

/// Cuts text tokens into words. Punctuation marks at the ends of words that are tokens of their own are words of
/// their own. Put together, the words are the tokens' text.
pub(super) fn split(tokens: &[u32], tokenizer: &Tokenizer, splitting: Splitting) -> Vec<Stretch> {
    let pieces = characters(tokens, tokenizer);
    if splitting == Splitting::Characters {
        return pieces;
    }
    let mut words: Vec<Stretch> = Vec::new();
    for piece in pieces {
        let starts_word = piece.text.starts_with(' ') || is_mark(&piece.text);
        if !starts_word && words.len() > 1 && words.last().is_some_and(|word| is_mark(&word.text)) {
            // A mark within a word, as in "9:30".
            join_last(&mut words);
        }
        words.push(piece);
        if !starts_word && words.len() > 1 {
            join_last(&mut words);
        }
    }
    words
}

/// Joins the last word to the one before it.
fn join_last(words: &mut Vec<Stretch>) {
    if let Some(last) = words.pop()
        && let Some(word) = words.last_mut()
    {
        word.text.push_str(&last.text);
        word.tokens.end = last.tokens.end;
    }
}

/// A punctuation mark without a space before it.
fn is_mark(text: &str) -> bool {
    single(text).is_some_and(|mark| mark.is_ascii_punctuation())
}

/// Cuts text tokens into the shortest stretches that are whole characters.
fn characters(tokens: &[u32], tokenizer: &Tokenizer) -> Vec<Stretch> {
    let text = tokenizer.decode(tokens);
    let mut rest = text.as_str();
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in 1..=tokens.len() {
        // Half a character decodes to a replacement character, which the whole text does not have there.
        let piece = tokenizer.decode(&tokens[start..end]);
        if let Some(behind) = rest.strip_prefix(&piece) {
            rest = behind;
            pieces.push(Stretch { text: piece, tokens: start..end });
            start = end;
        }
    }
    // Bytes that are no characters may decode otherwise alone than beside others.
    if start < tokens.len() {
        pieces.push(Stretch { text: rest.to_owned(), tokens: start..tokens.len() });
    }
    pieces
}

/// Joins punctuation marks to the words they belong to. A mark adds its text to its word, not its time.
pub(super) fn with_marks(words: &[Word]) -> Vec<Word> {
    let opens = |word: &str| word.strip_prefix(' ').is_some_and(|mark| is_one_of(mark, OPENING));
    let mut joined: Vec<Word> = Vec::new();
    let mut opened = String::new();
    for (index, word) in words.iter().enumerate() {
        match joined.last_mut() {
            Some(before) if opened.is_empty() && is_one_of(&word.word, CLOSING) => {
                before.word.push_str(&word.word);
            }
            _ if opens(&word.word) && index + 1 < words.len() => opened.push_str(&word.word),
            _ => {
                opened.push_str(&word.word);
                joined.push(Word { word: std::mem::take(&mut opened), ..word.clone() });
            }
        }
    }
    joined
}

/// Whether a text is one of these marks.
pub(super) fn is_one_of(text: &str, marks: &str) -> bool {
    single(text).is_some_and(|mark| marks.contains(mark))
}

/// The only character of a text, if it has one only.
fn single(text: &str) -> Option<char> {
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    /// The words of a text, with their marks.
    fn words(text: &str, splitting: Splitting) -> Vec<String> {
        let tokenizer = &reference::base().model().tokenizer;
        let tokens = tokenizer.encode(text).unwrap();
        let cut = split(&tokens, tokenizer, splitting);
        assert!(cut.windows(2).all(|pair| pair[0].tokens.end == pair[1].tokens.start));
        assert_eq!(cut.last().map_or(0, |word| word.tokens.end), tokens.len());
        let timed = |word: Stretch| Word { word: word.text, start: 0.0, end: 0.0, probability: 1.0 };
        let joined = with_marks(&cut.into_iter().map(timed).collect::<Vec<_>>());
        let words: Vec<String> = joined.into_iter().map(|word| word.word).collect();
        assert_eq!(words.concat(), text);
        words
    }

    #[test]
    fn words_are_cut_at_spaces_and_keep_their_marks() {
        let spaces = |text| words(text, Splitting::Spaces);
        assert_eq!(
            spaces(" Well, that's supercalifragilistic!"),
            [" Well,", " that's", " supercalifragilistic!"]
        );
        assert_eq!(spaces(" (He said \"no\".)"), [" (He", " said", " \"no\".)"]);
        assert_eq!(spaces(" - Yes. - No."), [" - Yes.", " - No."]);
        assert_eq!(spaces(" 9:30 a.m., $1,234.56"), [" 9:30", " a.m.,", " $1,234.56"]);
        assert_eq!(spaces(" Привет, как дела?"), [" Привет,", " как", " дела?"]);
        assert_eq!(spaces(" a 🎉🇩🇪 b"), [" a", " 🎉🇩🇪", " b"]);
        assert_eq!(spaces(""), [""; 0]);
    }

    #[test]
    fn where_no_spaces_are_written_characters_are_words() {
        let found = words("今日はいい天気ですね。", Splitting::Characters);
        assert!(found.len() > 5 && found.iter().all(|word| word.chars().count() <= 4), "{found:?}");
        assert!(found.last().unwrap().ends_with("ね。"), "{found:?}");
        let split = |code, task| Splitting::of(Language::parse(code).unwrap(), task);
        assert_eq!(split("yue", Task::Transcribe), Splitting::Characters);
        assert_eq!(split("ko", Task::Transcribe), Splitting::Spaces);
        assert_eq!(split("ja", Task::Translate), Splitting::Spaces, "the translation is English");
    }

    #[test]
    fn marks_without_a_word_are_words() {
        assert_eq!(words(" -", Splitting::Spaces), [" -"]);
        assert_eq!(words(" \" -", Splitting::Spaces), [" \" -"]);
        assert_eq!(words("?", Splitting::Spaces), ["?"]);
    }

    #[test]
    fn bytes_that_are_no_characters_are_not_lost() {
        let tokenizer = &reference::base().model().tokenizer;
        let tokens = tokenizer.encode(" a 🎉 b").unwrap();
        for cut in 1..tokens.len() {
            let broken = [&tokens[cut..], &tokens[..cut]].concat();
            let words = split(&broken, tokenizer, Splitting::Spaces);
            let text: String = words.iter().map(|word| word.text.as_str()).collect();
            assert_eq!(text, tokenizer.decode(&broken));
            assert_eq!(words.last().unwrap().tokens.end, broken.len());
        }
    }
}

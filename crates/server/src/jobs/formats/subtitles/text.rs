//! The text of a result as words with their times: what a line of subtitles never breaks.

use std::ops::Range;
use std::sync::LazyLock;

use icu_segmenter::options::LineBreakOptions;
use icu_segmenter::{LineSegmenter, LineSegmenterBorrowed};
use verbatim_speech::Language;
use verbatim_structure::{Break, BreakKind, Structurer, TimedText, is_written_without_spaces};

use super::columns::columns;
use super::rules::READING_TIME;
use crate::jobs::formats::clock::milliseconds;
use crate::jobs::formats::plain::one_line;
use crate::jobs::result::{NumberedSegment, TranscriptionResult};

static SEGMENTER: LazyLock<LineSegmenterBorrowed<'static>> =
    LazyLock::new(|| LineSegmenter::new_auto(LineBreakOptions::default()));

/// A piece of text that stays on one line, with its times in milliseconds: a word, or a character of a script that is
/// written without spaces.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    /// Not blank, without line breaks.
    pub(super) text: String,
    /// Whether a space comes before it, unless it starts a line.
    pub(super) spaced: bool,
    pub(super) columns: usize,
    /// No earlier than the start of the word before.
    pub(super) start: u64,
    /// No earlier than its start, no later than the start of the next word.
    pub(super) end: u64,
    /// How good a break is behind it, if that is known.
    pub(super) breaks: Option<BreakKind>,
}

/// The words of a result, in order.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) words: Vec<Word>,
    /// For each word, and for the end, the columns of all words before it on one line, with their spaces.
    offsets: Vec<usize>,
}

impl Text {
    /// The words of all segments, with the breaks that the structurer finds.
    pub(super) fn new(result: &TranscriptionResult, structurer: &Structurer) -> Self {
        let spoken = result.language_detection.language.as_deref();
        let written = |segment: &NumberedSegment| {
            let language = Language::parse(segment.language.as_deref().or(spoken)?)?;
            Some(result.task.written(language))
        };
        let mut all = Vec::new();
        for run in result.whisper_segments.chunk_by(|a, b| written(a) == written(b)) {
            let timed = TimedText::new(run.iter().map(|numbered| &numbered.segment));
            all.extend(words(&timed, &structurer.breaks(timed.text(), written(&run[0]))));
        }
        put_in_order(&mut all);
        spread(&mut all);
        Self::of(all)
    }

    /// Of words that are in order.
    pub(super) fn of(words: Vec<Word>) -> Self {
        let mut offsets = vec![0];
        let mut columns = 0;
        for word in &words {
            columns += usize::from(word.spaced) + word.columns;
            offsets.push(columns);
        }
        Self { words, offsets }
    }

    /// The columns of a line with these words, of which there is at least one.
    pub(super) fn columns(&self, words: Range<usize>) -> usize {
        self.offsets[words.end] - self.offsets[words.start] - usize::from(self.words[words.start].spaced)
    }

    /// A line with these words.
    pub(super) fn line(&self, words: Range<usize>) -> String {
        let mut line = String::new();
        for word in &self.words[words] {
            if word.spaced && !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word.text);
        }
        line
    }
}

/// The words of a text with their times, which need not be in order.
fn words(timed: &TimedText, breaks: &[Break]) -> Vec<Word> {
    let text = timed.text();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut from = 0;
    for to in SEGMENTER.segment_str(text).filter(|place| is_opportunity(text, *place)) {
        let piece = text[from..to].trim_matches(is_blank);
        if !piece.is_empty() {
            let start = to - text[from..to].trim_start_matches(is_blank).len();
            ranges.push(start..start + piece.len());
        }
        from = to;
    }
    let break_at = |place: usize| {
        let index = breaks.binary_search_by_key(&place, |found| found.place).ok()?;
        Some(breaks[index].kind)
    };
    let word = |(index, range): (usize, &Range<usize>)| {
        let (start, end) = timed.seconds(range.clone());
        let text_of_word = one_line(&text[range.clone()]);
        Word {
            columns: columns(&text_of_word),
            spaced: text[..range.start].chars().next_back().is_none_or(is_blank),
            text: text_of_word,
            start: milliseconds(start),
            end: milliseconds(end),
            // The last word of a language ends a sentence, whatever it is.
            breaks: ranges.get(index + 1).map_or(Some(BreakKind::Sentence), |next| break_at(next.start)),
        }
    };
    ranges.iter().enumerate().map(word).collect()
}

/// Whether a line may end at a place where Unicode's rules (UAX #14) allow it: after a space, or in a script that is
/// written without spaces. Those rules also break after hyphens and between syllables of Korean.
fn is_opportunity(text: &str, place: usize) -> bool {
    let (before, after) = (text[..place].chars().next_back(), text[place..].chars().next());
    match (before, after) {
        (Some(before), Some(after)) => {
            is_blank(before) || is_written_without_spaces(before) || is_written_without_spaces(after)
        }
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// What is shown as a space, or not at all.
fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control()
}

/// Moves the starts of words that come before that of an earlier word, and ends words where the next one starts.
fn put_in_order(words: &mut [Word]) {
    let mut latest = 0;
    for word in words.iter_mut() {
        word.start = word.start.max(latest);
        word.end = word.end.max(word.start);
        latest = word.start;
    }
    for index in 1..words.len() {
        words[index - 1].end = words[index - 1].end.min(words[index].start);
    }
}

/// Shares time among words that start at once, by their columns: the time until the next word starts, or as much as
/// reading them takes, whichever is shorter.
fn spread(words: &mut [Word]) {
    let mut first = 0;
    while first < words.len() {
        let start = words[first].start;
        let count = words[first..].iter().take_while(|word| word.start == start).count();
        let next = words.get(first + count).map_or(u64::MAX, |word| word.start);
        let group = &mut words[first..first + count];
        if count > 1 {
            let total: u64 = group.iter().map(share).sum();
            let end = (start + total * READING_TIME).min(next).max(group[count - 1].end);
            let mut before = 0;
            for word in group {
                word.start = start + (end - start) * before / total;
                before += share(word);
                word.end = start + (end - start) * before / total;
            }
        }
        first += count;
    }
}

/// The columns that a word's share of time is measured by.
fn share(word: &Word) -> u64 {
    word.columns.max(1) as u64
}

#[cfg(test)]
mod tests {
    use verbatim_speech::Task;

    use super::*;
    use crate::jobs::formats::testing::{result, segment, spoken};

    fn text_of(result: &TranscriptionResult) -> Text {
        Text::new(result, &Structurer::default())
    }

    /// The words, with `_` for a space before them, and their times.
    fn timed(text: &Text) -> Vec<(String, u64, u64)> {
        let shown = |word: &Word| (if word.spaced { "_" } else { "" }).to_owned() + &word.text;
        text.words.iter().map(|word| (shown(word), word.start, word.end)).collect()
    }

    fn shown(text: &str) -> String {
        text_of(&result(vec![segment(0.0, 9.0, text)])).words.iter().fold(String::new(), |all, word| {
            let space = if word.spaced && !all.is_empty() { " " } else { "" };
            format!("{all}{}{space}{}", if all.is_empty() { "" } else { "|" }, word.text)
        })
    }

    #[test]
    fn a_line_may_end_at_spaces_and_between_characters_of_scripts_without_them() {
        for (text, expected) in [
            (" Well-known, and/or  new\n\nlines", "Well-known,| and/or| new| lines"),
            ("«Oui !» 10\u{a0}000", "«Oui !»| 10 000"),
            ("「你好」，他说（笑）。", "「你|好」，|他|说|（笑）。"),
            ("한국어 자막", "한국어| 자막"),
            ("नमस्ते दुनिया", "नमस्ते| दुनिया"),
            ("مرحبا بالعالم", "مرحبا| بالعالم"),
        ] {
            assert_eq!(shown(text), expected);
        }
        // Where a Thai word ends is guessed by a model.
        assert!(shown("สวัสดีครับผมชื่อ").contains('|'), "{}", shown("สวัสดีครับผมชื่อ"));
    }

    #[test]
    fn words_have_their_own_times_and_words_of_a_segment_without_them_share_its_time() {
        let known = spoken(&[(" Ice", 1.0, 1.5), ("-cold", 1.5, 2.0), (" tea.", 2.5, 3.0)]);
        let text = text_of(&result(vec![known, segment(4.0, 5.0, " One two")]));
        let expected =
            [("_Ice-cold", 1000, 2000), ("_tea.", 2500, 3000), ("_One", 4000, 4429), ("_two", 4571, 5000)];
        assert_eq!(timed(&text), expected.map(|(word, start, end)| (word.to_owned(), start, end)));
        assert_eq!(text.columns(0..3), "Ice-cold tea. One".len());
        assert_eq!(text.line(1..4), "tea. One two");
    }

    #[test]
    fn times_that_make_no_sense_are_put_in_order() {
        let odd = spoken(&[
            (" a", -1.0, f64::NAN),
            (" bb", 3.0, 2.0),
            (" c", 1.0, 9.0),
            (" d", 3.0, 3.0),
            (" e", f64::INFINITY, f64::INFINITY),
        ]);
        let text = text_of(&result(vec![odd]));
        // “bb”, “c” and “d” start at once: four columns share 200 ms.
        let expected = [
            ("_a", 0, 0),
            ("_bb", 3000, 3100),
            ("_c", 3100, 3150),
            ("_d", 3150, 3200),
            ("_e", 1_000_000_000_000, 1_000_000_000_000),
        ];
        assert_eq!(timed(&text), expected.map(|(word, start, end)| (word.to_owned(), start, end)));
    }

    #[test]
    fn sentences_are_found_in_the_language_of_the_text() {
        let mut german = result(vec![segment(0.0, 9.0, " Es war am 3. Mai. Gut.")]);
        german.language_detection.language = Some("de".to_owned());
        let ends = |result: &TranscriptionResult| -> Vec<String> {
            let ends = |word: &&Word| word.breaks == Some(BreakKind::Sentence);
            text_of(result).words.iter().filter(ends).map(|word| word.text.clone()).collect()
        };
        assert_eq!(ends(&german), ["Mai.", "Gut."]);
        german.task = Task::Translate;
        assert_eq!(ends(&german), ["3.", "Mai.", "Gut."]);
    }
}

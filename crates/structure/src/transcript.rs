//! Joins segments to one text, and finds the time of each place in that text.

use std::ops::Range;

use crate::structure::Sentence;
use verbatim_speech::Segment;

/// The whole text of a recording. The places of sentences and entities are places in it.
pub fn transcript(segments: &[Segment]) -> String {
    TimedText::new(segments).text
}

/// The [`transcript`], with the time of every place in it.
#[derive(Debug, Default)]
pub struct TimedText {
    pub(crate) text: String,
    /// In order; they cover all of `text` but white space.
    spans: Vec<Span>,
}

/// A word, or a whole segment if its words are not known, without the white space around it.
#[derive(Debug)]
struct Span {
    /// Bytes of the whole text.
    range: Range<usize>,
    start: f64,
    end: f64,
}

impl TimedText {
    /// The text of segments, which are in order.
    pub fn new<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> Self {
        let mut text = String::new();
        let mut spans = Vec::new();
        for segment in segments {
            let words = segment.text.trim_start();
            if words.is_empty() {
                continue;
            }
            if !text.is_empty() && (words.len() < segment.text.len() || needs_space(&text, words)) {
                text.push(' ');
            }
            let place = text.len();
            text.push_str(words);
            spans.extend(parts(segment).into_iter().filter_map(|(part, start, end)| {
                let range = trimmed(&text[place..], part)?;
                Some(Span { range: place + range.start..place + range.end, start, end })
            }));
        }
        text.truncate(text.trim_end().len());
        Self { text, spans }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of sentences that were found before, and the range of each in it.
    pub(crate) fn of_sentences(sentences: &[Sentence]) -> (Self, Vec<Range<usize>>) {
        let mut timed = Self::default();
        for Sentence { text, start, end } in sentences {
            let Some(range) = trimmed(text, 0..text.len()) else { continue };
            if !timed.text.is_empty() {
                timed.text.push(' ');
            }
            let place = timed.text.len();
            timed.text.push_str(&text[range]);
            timed.spans.push(Span { range: place..timed.text.len(), start: *start, end: *end });
        }
        let ranges = timed.spans.iter().map(|span| span.range.clone()).collect();
        (timed, ranges)
    }

    /// The start and the end of a range of `text` that is not blank, in seconds: those of its first and last word. If
    /// the range begins or ends within a word, or within a segment without words, the time is interpolated by
    /// letters.
    pub fn seconds(&self, range: Range<usize>) -> (f64, f64) {
        let first = self.spans.partition_point(|span| span.range.end <= range.start);
        let after = self.spans.partition_point(|span| span.range.start < range.end);
        let within = self.spans.get(first..after).unwrap_or_default();
        let start = within.first().map_or(0.0, |span| self.second_at(span, range.start));
        (start, within.last().map_or(start, |span| self.second_at(span, range.end)))
    }

    fn second_at(&self, span: &Span, place: usize) -> f64 {
        let Range { start, end } = span.range;
        let letters = |range: Range<usize>| self.text[range].chars().count() as f64;
        match place {
            _ if place <= start => span.start,
            _ if place >= end => span.end,
            _ => span.start + letters(start..place) / letters(start..end) * (span.end - span.start),
        }
    }
}

/// The parts of a segment's text, without the white space before it: its words, or the whole text if the words are
/// not known or do not match it. Each has its range in bytes, its start and its end in seconds.
fn parts(segment: &Segment) -> Vec<(Range<usize>, f64, f64)> {
    let blank = segment.text.len() - segment.text.trim_start().len();
    let mut to = 0;
    let words: Vec<_> = segment
        .words
        .iter()
        .map(|word| {
            let from = to;
            to += word.word.len();
            (from.saturating_sub(blank)..to.saturating_sub(blank), word.start, word.end)
        })
        .collect();
    let is_the_text = segment.words.iter().flat_map(|word| word.word.bytes()).eq(segment.text.bytes());
    if is_the_text { words } else { vec![(0..segment.text.len() - blank, segment.start, segment.end)] }
}

/// The range without white space at its ends; `None` if nothing is left.
pub(crate) fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let piece = &text[range.clone()];
    let start = range.start + (piece.len() - piece.trim_start().len());
    let end = range.start + piece.trim_end().len();
    (start < end).then_some(start..end)
}

/// Whether a space must be put between two texts, such as segments. Segments start with the space before their first
/// word if their script has one; without it, two words would be joined.
pub fn needs_space(before: &str, after: &str) -> bool {
    let (Some(last), Some(first)) = (before.chars().next_back(), after.chars().next()) else { return false };
    !last.is_whitespace() && !is_written_without_spaces(last) && !is_written_without_spaces(first)
}

/// Whether a character is of a script that puts no space between words or sentences, or of its punctuation.
pub fn is_written_without_spaces(letter: char) -> bool {
    matches!(letter,
        '\u{0E00}'..='\u{0EFF}'      // Thai, Lao
        | '\u{0F00}'..='\u{0FFF}'    // Tibetan
        | '\u{1000}'..='\u{109F}'    // Myanmar
        | '\u{1780}'..='\u{17FF}'    // Khmer
        | '\u{2E80}'..='\u{A4CF}'    // CJK punctuation, kana, Han, Yi
        | '\u{F900}'..='\u{FAFF}'    // more Han
        | '\u{FF00}'..='\u{FFEF}'    // full-width forms
        | '\u{20000}'..='\u{3FFFF}'  // more Han
    )
}

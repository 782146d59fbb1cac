//! Finds the best lines for the words of a subtitle.

use std::ops::Range;

use super::cost::{even_lines, line, line_break, stub};
use super::layout::Layout;
use super::text::Text;

/// The best lines of every subtitle that starts with one word: computed for all of its ends at once, because the best
/// lines of a longer subtitle are those of a shorter one and a line more.
#[derive(Debug)]
pub(super) struct Lines {
    /// The index of the first word.
    first: usize,
    /// The columns that fit on a line.
    width: usize,
    /// For each number of lines, and for each number of words, the best way; the first are those without a line.
    ways: Vec<Vec<Way>>,
}

/// The best way to set some words on some lines.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Infinite if they do not fit.
    cost: f64,
    /// The number of words before the last line.
    last_line: usize,
}

const NO_WAY: Way = Way { cost: f64::INFINITY, last_line: 0 };

impl Lines {
    /// The lines of subtitles that start with the word at `first` and have so many words at most.
    pub(super) fn new(text: &Text, layout: Layout, first: usize, most_words: usize) -> Self {
        let width = layout.max_line_width();
        let mut ways = vec![vec![NO_WAY; most_words + 1]];
        ways[0][0].cost = 0.0;
        for index in 0..layout.max_line_count() {
            let row = next_row(text, width, first, index, &ways[index]);
            ways.push(row);
        }
        Self { first, width, ways }
    }

    /// The cost of the lines of the first so many words, of as few lines as they fit on: 0 for a single line. `None` if
    /// they do not fit.
    pub(super) fn cost(&self, text: &Text, words: usize) -> Option<f64> {
        let lines = self.fewest(words)?;
        let width = text.columns(self.first..self.first + words) as f64 / self.width as f64;
        Some(if lines == 1 { 0.0 } else { self.ways[lines][words].cost - even_lines(width, lines) })
    }

    /// The words of each line, if a subtitle has the first so many words, which fit.
    pub(super) fn of(&self, words: usize) -> Vec<Range<usize>> {
        let mut lines = Vec::new();
        let mut end = words;
        for row in (1..=self.fewest(words).unwrap_or(0)).rev() {
            let start = self.ways[row][end].last_line;
            lines.push(self.first + start..self.first + end);
            end = start;
        }
        lines.reverse();
        lines
    }

    /// The smallest number of lines that so many words fit on.
    fn fewest(&self, words: usize) -> Option<usize> {
        (1..self.ways.len()).find(|lines| self.ways[*lines][words].cost.is_finite())
    }
}

/// The best ways with one line more, the one at `index`, than those of `before`.
fn next_row(text: &Text, width: usize, first: usize, index: usize, before: &[Way]) -> Vec<Way> {
    let mut row = vec![NO_WAY; before.len()];
    for (start, way) in before.iter().enumerate().filter(|(_, way)| way.cost.is_finite()) {
        let mut so_far = way.cost;
        if index > 0 {
            so_far += line_break(&text.words[first + start - 1]);
        }
        if index == 1 {
            // Only now is it known that the first line is not the only one.
            so_far += stub(text.columns(first..first + start), width);
        }
        for (end, best) in row.iter_mut().enumerate().skip(start + 1) {
            let columns = text.columns(first + start..first + end);
            // A word that is wider than a line is a line of its own.
            if columns > width && end > start + 1 {
                break;
            }
            let below = if index > 0 { stub(columns, width) } else { 0.0 };
            let cost = so_far + below + line(columns as f64 / width as f64, index);
            if cost < best.cost {
                *best = Way { cost, last_line: start };
            }
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use verbatim_structure::BreakKind;

    use super::*;
    use crate::jobs::formats::subtitles::text::Word;

    /// Words that are separated by spaces. A `=` stands between words that belong together.
    fn text(marked: &str) -> Text {
        let mut words: Vec<Word> = Vec::new();
        for piece in marked.split_inclusive([' ', '=']) {
            let text = piece.trim_end_matches([' ', '=']).to_owned();
            let breaks = piece.ends_with('=').then_some(BreakKind::Tight);
            words.push(Word { columns: text.len(), text, spaced: true, start: 0, end: 0, breaks });
        }
        Text::of(words)
    }

    fn layout(width: usize, count: usize) -> Layout {
        let mut layout = Layout::default();
        layout.set("max_line_width", &width.to_string()).unwrap();
        layout.set("max_line_count", &count.to_string()).unwrap();
        layout
    }

    /// The lines of all words of a marked text, or nothing if they do not fit.
    fn lines(marked: &str, width: usize, count: usize) -> Vec<String> {
        let text = text(marked);
        let lines = Lines::new(&text, layout(width, count), 0, text.words.len());
        lines.of(text.words.len()).into_iter().map(|line| text.line(line)).collect()
    }

    #[test]
    fn what_fits_on_one_line_stays_on_it() {
        assert_eq!(lines("It fits, so it stays on one line.", 42, 2), ["It fits, so it stays on one line."]);
    }

    #[test]
    fn two_lines_are_even_and_the_second_is_rather_the_longer() {
        assert_eq!(lines("aaaa bbbb cccc dddd", 16, 2), ["aaaa bbbb", "cccc dddd"]);
        assert_eq!(lines("aaaa bbbb cccc dddd eeee", 16, 2), ["aaaa bbbb", "cccc dddd eeee"]);
        assert_eq!(lines("a bb ccc dddd eeeee ffffff", 12, 3), ["a bb ccc", "dddd eeeee", "ffffff"]);
    }

    #[test]
    fn lines_end_at_marks_and_not_between_words_that_belong_together() {
        let clause = "When it rained, we stayed at home all day long.";
        assert_eq!(lines(clause, 42, 2), ["When it rained,", "we stayed at home all day long."]);
        let tight = "They have never seen the=very=old=house there at all.";
        assert_eq!(lines(tight, 42, 2), ["They have never seen", "the very old house there at all."]);
    }

    #[test]
    fn a_short_word_is_alone_on_a_line_only_if_there_is_no_other_way() {
        assert_eq!(lines("I really=do=not=understand=it=at=all.", 36, 2).len(), 2);
        assert_ne!(lines("I really=do=not=understand=it=at=all.", 36, 2)[0], "I");
        assert_eq!(lines("I incomprehensibilities", 22, 2), ["I", "incomprehensibilities"]);
    }

    #[test]
    fn a_word_that_is_wider_than_a_line_is_a_line_of_its_own() {
        assert_eq!(lines("a incomprehensibilities b", 10, 3), ["a", "incomprehensibilities", "b"]);
        assert_eq!(lines("a incomprehensibilities b", 10, 2), [""; 0]);
    }

    #[test]
    fn the_cost_is_that_of_the_lines_chosen() {
        let text = text("aaaa bbbb cccc dddd");
        let lines = Lines::new(&text, layout(16, 2), 0, 4);
        assert_eq!(lines.cost(&text, 3), Some(0.0));
        assert!(lines.cost(&text, 4).unwrap() > 0.0);
        let narrow = Lines::new(&text, layout(10, 1), 0, 4);
        assert_eq!((narrow.cost(&text, 2), narrow.cost(&text, 3)), (Some(0.0), None));
    }
}

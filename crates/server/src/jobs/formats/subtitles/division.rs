//! Divides the words of a recording into subtitles with lines, by dynamic programming: of all divisions, the one with
//! the lowest cost is found, for the best division of the first words does not depend on what follows.

use std::ops::Range;

use verbatim_structure::BreakKind;

use super::cost::{fragment, subtitle, subtitle_break, together};
use super::layout::Layout;
use super::lines::Lines;
use super::rules::{LONGEST, READING_TIME, SHORTEST};
use super::text::{Text, Word};
use super::timing::{Spoken, longest_time};

/// For each subtitle, the words of its lines. A subtitle has at least one line, and a line at least one word.
pub(super) fn divide(text: &Text, layout: Layout) -> Vec<Vec<Range<usize>>> {
    let count = text.words.len();
    // The lowest cost of the words before each one, and where the last subtitle of that division starts.
    let mut best = vec![(f64::INFINITY, 0); count + 1];
    best[0].0 = 0.0;
    for first in 0..count {
        let most = most_words(text, layout, first);
        let lines = Lines::new(text, layout, first, most);
        let mut inside = 0.0;
        for end in first + 1..=first + most {
            if end > first + 1 {
                inside += together(&text.words[end - 2], &text.words[end - 1]);
            }
            let Some(line_cost) = lines.cost(text, end - first) else { break };
            let cost = best[first].0 + inside + line_cost + cost_of(text, layout, first..end);
            if cost < best[end].0 {
                best[end] = (cost, first);
            }
        }
    }
    let mut subtitles = Vec::new();
    let mut end = count;
    while end > 0 {
        let first = best[end].1;
        subtitles.push(Lines::new(text, layout, first, end - first).of(end - first));
        end = first;
    }
    subtitles.reverse();
    subtitles
}

/// How many words a subtitle that starts with the word at `first` has at most: at least one, and no more than fit on its
/// lines and are said and read within [`LONGEST`]. Of the last word, that is not meant to be heard to its end: words that seem to
/// last for seconds are often followed by silence.
fn most_words(text: &Text, layout: Layout, first: usize) -> usize {
    let (mut lines, mut line_start) = (1, first);
    for last in first + 1..text.words.len() {
        if text.columns(line_start..last + 1) > layout.max_line_width() {
            lines += 1;
            line_start = last;
        }
        let word = &text.words[last];
        let heard = word.end.min(word.start + SHORTEST) - text.words[first].start;
        let read = text.columns(first..last + 1) as u64 * READING_TIME;
        if lines > layout.max_line_count() || heard > LONGEST || read > LONGEST {
            return last - first;
        }
    }
    text.words.len() - first
}

/// What a subtitle with these words costs, without what its lines and its pauses cost.
fn cost_of(text: &Text, layout: Layout, words: Range<usize>) -> f64 {
    let (first, last) = (&text.words[words.start], &text.words[words.end - 1]);
    let next = text.words.get(words.end);
    let columns = text.columns(words.clone());
    let spoken = Spoken { start: first.start, end: last.end, columns };
    let time = longest_time(spoken, next.map(|next| next.start));
    let starts_sentence = words.start == 0 || ends_sentence(&text.words[words.start - 1]);
    let is_fragment = !starts_sentence || (next.is_some() && !ends_sentence(last));
    subtitle(columns, time)
        + if next.is_some() { subtitle_break(last) } else { 0.0 }
        + if is_fragment { fragment(columns, layout.max_line_width()) } else { 0.0 }
}

fn ends_sentence(word: &Word) -> bool {
    word.breaks == Some(BreakKind::Sentence)
}

#[cfg(test)]
mod tests {
    use verbatim_structure::Structurer;

    use super::*;
    use crate::jobs::formats::testing::{evenly, result, spoken};
    use crate::jobs::result::TranscriptionResult;

    /// The subtitles of a result, with `|` between lines.
    fn subtitles(result: &TranscriptionResult, layout: Layout) -> Vec<String> {
        let text = Text::new(result, &Structurer::default());
        let lines = |lines: Vec<Range<usize>>| -> Vec<String> {
            lines.into_iter().map(|line| text.line(line)).collect()
        };
        divide(&text, layout).into_iter().map(|subtitle| lines(subtitle).join("|")).collect()
    }

    #[test]
    fn subtitles_end_with_sentences_where_they_can() {
        let text = "The boats were sold to the crew of a ship that never came back. The crew was not seen again in \
                    all those years. It was a sad story, and it was told in every house by the river.";
        let subtitles = subtitles(&result(vec![evenly(0.0, 15.0, text)]), Layout::default());
        let expected = [
            "The boats were sold to the crew|of a ship that never came back.",
            "The crew was not seen again|in all those years.",
            "It was a sad story,|and it was told in every house by the river.",
        ];
        assert_eq!(subtitles.len(), 3, "{subtitles:?}");
        let joined: Vec<_> = expected.iter().map(|subtitle| subtitle.replace('|', " ")).collect();
        assert_eq!(subtitles.iter().map(|subtitle| subtitle.replace('|', " ")).collect::<Vec<_>>(), joined);
    }

    #[test]
    fn a_pause_ends_a_subtitle() {
        let words = [
            (" We", 0.0, 0.3),
            (" saw", 0.3, 0.6),
            (" him", 0.6, 0.9),
            (" there", 4.0, 4.3),
            (" last", 4.3, 4.6),
            (" year.", 4.6, 5.0),
        ];
        assert_eq!(
            subtitles(&result(vec![spoken(&words)]), Layout::default()),
            ["We saw him", "there last year."]
        );
    }

    #[test]
    fn short_sentences_share_a_subtitle() {
        let dialogue = evenly(0.0, 15.0, "No. Yes. He came. We saw him.");
        assert_eq!(subtitles(&result(vec![dialogue]), Layout::default()), ["No. Yes. He came. We saw him."]);
    }

    #[test]
    fn a_subtitle_lasts_seven_seconds_at_most_however_slowly_is_spoken() {
        let text = Text::new(&result(vec![evenly(0.0, 4.0, &"slow ".repeat(30))]), &Structurer::default());
        for lines in divide(&text, Layout::default()) {
            let (first, last) = (lines[0].start, lines[lines.len() - 1].end - 1);
            assert!(text.words[last].start - text.words[first].start < LONGEST, "{lines:?}");
        }
    }

    #[test]
    fn chinese_is_broken_between_words_and_after_marks() {
        let mut chinese =
            result(vec![evenly(0.0, 5.0, "我们昨天去了中国的首都北京，今天我们想去看看长城和故宫。")]);
        chinese.language_detection.language = Some("zh".to_owned());
        let subtitles = subtitles(&chinese, Layout::default());
        assert_eq!(subtitles, ["我们昨天去了中国的首都北京，|今天我们想去看看长城和故宫。"]);
    }
}

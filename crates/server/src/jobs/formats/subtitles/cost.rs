//! What breaks between words and subtitles cost. The division with the lowest sum is taken, so only the relations of the
//! numbers matter.

use verbatim_structure::BreakKind;

use super::rules::{SHORTEST, time_needed};
use super::text::Word;

/// Marks that end a sentence, without the closing marks that may follow.
const SENTENCE_MARKS: [char; 19] =
    ['.', '!', '?', '…', '‽', '。', '！', '？', '．', '｡', '؟', '۔', '।', '॥', '።', '։', '။', '៕', '།'];

/// Marks at which a reader pauses within a sentence.
const CLAUSE_MARKS: [char; 14] = [',', ';', ':', '–', '—', '、', '，', '；', '：', '､', '،', '؛', '፣', '၊'];

/// Marks that close what was said and belong to the word before.
const CLOSING_MARKS: [char; 16] =
    ['"', '\'', '”', '’', '»', '›', ')', ']', '}', '」', '』', '）', '】', '》', '〉', '“'];

/// What a subtitle costs, whatever is in it: as few as possible are made.
const SUBTITLE: f64 = 2.5;

/// How much more a break between subtitles costs than one between lines.
const SUBTITLE_TO_LINE: f64 = 3.0;

/// What a break between lines costs, at the worst place.
const WORST_LINE_BREAK: f64 = 5.0;

/// What lines of different widths cost, times the squares of their widths in full lines.
const UNEVEN: f64 = 6.0;

/// How much more the square of the first line's width counts, so that the second line is rather the longer one.
const TOP_HEAVY: f64 = 0.08;

/// What a line costs that is shorter than a quarter of what fits. More than all other costs together, so that it is only
/// made if there is no other way.
const STUB: f64 = 1000.0;

/// What a second costs that a subtitle is shown too short.
const TOO_SHORT: f64 = 8.0;

/// What a subtitle costs that is read at twice the speed it should be.
const TOO_FAST: f64 = 6.0;

/// The most that reading too fast costs.
const FASTEST: f64 = 12.0;

/// What the end of a sentence within a subtitle costs.
const SENTENCE_INSIDE: f64 = 1.5;

/// A pause within a subtitle that costs nothing, in milliseconds.
const FREE_PAUSE: u64 = 300;

/// What each further second of a pause within a subtitle costs: it shows what is not said yet.
const PAUSE: f64 = 4.0;

/// What a part of a sentence costs that fills hardly any of its subtitle.
const FRAGMENT: f64 = 2.0;

/// What a line break behind a word costs.
pub(super) fn line_break(word: &Word) -> f64 {
    let mark = word.text.trim_end_matches(CLOSING_MARKS);
    let ends_sentence = mark.ends_with(SENTENCE_MARKS);
    let ends_clause = mark.ends_with(CLAUSE_MARKS) || mark.ends_with("--");
    let share = match word.breaks {
        Some(BreakKind::Tight) => 1.0,
        Some(BreakKind::Loose) => 0.5,
        Some(BreakKind::Sentence) if ends_sentence => 0.0,
        Some(BreakKind::Sentence) => 0.1,
        _ if ends_clause => 0.1,
        Some(BreakKind::Phrase) => 0.2,
        None => 0.3,
    };
    share * WORST_LINE_BREAK
}

/// What a subtitle break behind a word costs.
pub(super) fn subtitle_break(word: &Word) -> f64 {
    line_break(word) * SUBTITLE_TO_LINE
}

/// What a line costs by its width, given as a share of the width that fits, and by its place among the lines.
pub(super) fn line(width: f64, index: usize) -> f64 {
    let weight = if index == 0 { 1.0 + TOP_HEAVY } else { 1.0 };
    UNEVEN * weight * width * width
}

/// What the most even lines of this width together would cost, which is what [`line`] is compared with.
pub(super) fn even_lines(width: f64, lines: usize) -> f64 {
    UNEVEN * width * width / lines as f64
}

/// What a line costs besides if it is not the only one.
pub(super) fn stub(columns: usize, most: usize) -> f64 {
    if columns * 4 < most { STUB } else { 0.0 }
}

/// What it costs that two words which follow each other are in the same subtitle.
pub(super) fn together(word: &Word, next: &Word) -> f64 {
    let pause = next.start.saturating_sub(word.end).saturating_sub(FREE_PAUSE);
    let sentence = if word.breaks == Some(BreakKind::Sentence) { SENTENCE_INSIDE } else { 0.0 };
    sentence + PAUSE * pause as f64 / 1000.0
}

/// What a subtitle costs by itself: `columns` to read in `time`, the most milliseconds that it may be shown.
pub(super) fn subtitle(columns: usize, time: u64) -> f64 {
    let too_short = SHORTEST.saturating_sub(time) as f64 / 1000.0;
    let needed = time_needed(columns) as f64;
    let too_fast = (needed / time.max(1) as f64 - 1.0).max(0.0);
    SUBTITLE + TOO_SHORT * too_short + (TOO_FAST * too_fast).min(FASTEST)
}

/// What a subtitle with less than half a line costs that does not hold whole sentences.
pub(super) fn fragment(columns: usize, most: usize) -> f64 {
    let missing = 1.0 - (2 * columns) as f64 / most as f64;
    FRAGMENT * missing.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, breaks: Option<BreakKind>) -> Word {
        Word { text: text.to_owned(), spaced: true, columns: text.len(), start: 0, end: 0, breaks }
    }

    #[test]
    fn breaks_at_sentence_ends_are_the_best_and_then_at_marks_and_phrases() {
        let of = [
            word("end.", Some(BreakKind::Sentence)),
            word("clause,", None),
            word("before", Some(BreakKind::Phrase)),
            word("word", None),
            word("saw", Some(BreakKind::Loose)),
            word("the", Some(BreakKind::Tight)),
        ];
        let costs = of.each_ref().map(line_break);
        assert!(costs.is_sorted_by(|a, b| a < b), "{costs:?}");
    }

    #[test]
    fn a_mark_ends_a_sentence_only_where_one_was_found() {
        let cost = |text: &str, breaks| line_break(&word(text, breaks));
        assert_eq!(cost("“End.”", Some(BreakKind::Sentence)), 0.0);
        assert_eq!(cost("终。」", Some(BreakKind::Sentence)), 0.0);
        assert_eq!(cost("Mr.", Some(BreakKind::Tight)), cost("the", Some(BreakKind::Tight)));
        assert_eq!(cost("z.B.", None), cost("word", None));
        assert_eq!(cost("no", Some(BreakKind::Sentence)), cost("(no),", None));
    }

    #[test]
    fn too_little_time_costs_more_the_less_there_is() {
        let costs = [7000, 2000, 1000, 900, 500, 1, 0].map(|time| subtitle(40, time));
        assert_eq!(costs[0], costs[1]);
        assert!(costs[1..6].is_sorted_by(|a, b| a < b), "{costs:?}");
        assert!(costs.iter().all(|cost| cost.is_finite()));
    }
}

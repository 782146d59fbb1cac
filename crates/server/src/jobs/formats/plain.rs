//! Renders a result as lines: txt has one for each segment, tsv has its times before it.

use std::fmt::Write;

use super::clock::milliseconds;
use crate::jobs::result::TranscriptionResult;

/// One line for each segment. Blank segments are left out.
pub(super) fn txt(result: &TranscriptionResult) -> String {
    lines(result).map(|(_, _, text)| text + "\n").collect()
}

/// Whisper's table: start, end and text, separated by tabs, with times in whole milliseconds. Blank segments are left
/// out.
pub(super) fn tsv(result: &TranscriptionResult) -> String {
    let mut out = "start\tend\ttext\n".to_owned();
    for (start, end, text) in lines(result) {
        writeln!(out, "{start}\t{end}\t{text}").expect("a String takes all");
    }
    out
}

/// The segments that are not blank: start and end in milliseconds, and the text as one line without tabs.
pub(super) fn lines(result: &TranscriptionResult) -> impl Iterator<Item = (u64, u64, String)> {
    result.whisper_segments.iter().filter_map(|numbered| {
        let segment = &numbered.segment;
        let text = one_line(&segment.text);
        let start = milliseconds(segment.start);
        (!text.is_empty()).then(|| (start, milliseconds(segment.end).max(start), text))
    })
}

/// A text without line breaks, tabs and control characters: each run of them and of spaces becomes one space.
pub(super) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::jobs::formats::testing::{result, segment};

    fn segments() -> TranscriptionResult {
        result(vec![
            segment(0.0, 1.9996, " Hello, world."),
            segment(2.0, 3.5, " a --> b < c & d"),
            segment(3.5, 4.0, "  \n "),
            segment(4.0, 3.0, " two\n\nlines and\ta tab"),
            segment(363_599.25, 363_600.5, " The hundredth hour."),
        ])
    }

    #[test]
    fn txt_has_one_line_for_each_segment() {
        assert_snapshot!(txt(&segments()), @r"
        Hello, world.
        a --> b < c & d
        two lines and a tab
        The hundredth hour.
        ");
    }

    #[test]
    fn tsv_has_three_columns_with_whole_milliseconds() {
        let expected = "start\tend\ttext\n0\t2000\tHello, world.\n2000\t3500\ta --> b < c & d\n\
                        4000\t4000\ttwo lines and a tab\n363599250\t363600500\tThe hundredth hour.\n";
        assert_eq!(tsv(&segments()), expected);
    }
}

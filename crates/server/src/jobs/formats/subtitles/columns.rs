//! Counts the columns that a text takes on a screen.

use icu_segmenter::GraphemeClusterSegmenter;
use unicode_width::UnicodeWidthChar;

/// The columns of a text: one for each character that a reader sees (a grapheme cluster: a letter with its marks), two
/// if it is wide, as Chinese, Japanese and Korean ones and most emoji are.
pub(super) fn columns(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    let mut from = 0;
    let mut columns = 0;
    for to in GraphemeClusterSegmenter::new().segment_str(text) {
        columns += text[from..to].chars().filter_map(UnicodeWidthChar::width).max().unwrap_or(0);
        from = to;
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_clusters_and_wide_characters_count_twice() {
        for (text, expected) in [
            ("", 0),
            ("It’s", 4),
            ("e\u{301}te\u{301}", 3),
            ("नमस्ते", 3),
            ("你好。", 6),
            ("ｶﾅ", 2),
            ("한국어", 6),
            ("مرحبا", 5),
            ("👩‍👩‍👧 ok", 5),
            ("\u{200b}", 0),
        ] {
            assert_eq!(columns(text), expected, "{text}");
        }
    }
}

//! Segments -> one text, and from a place in that text back to its second.

use verbatim_whisper::Segment;

/// The whole text of a recording. [`sentences`](super::sentences) cuts this very text.
pub fn transcript(segments: &[Segment]) -> String {
    TimedText::new(segments).text.trim().to_owned()
}

/// The joined text of all segments, with the time of every place in it.
#[derive(Debug)]
pub(super) struct TimedText<'a> {
    pub(super) text: String,
    /// Each segment with where its first letter is in `text`, in bytes. Blank segments are left out.
    starts: Vec<(usize, &'a Segment)>,
}

impl<'a> TimedText<'a> {
    pub(super) fn new(segments: &'a [Segment]) -> Self {
        let mut text = String::with_capacity(segments.iter().map(|segment| segment.text.len() + 1).sum());
        let mut starts = Vec::with_capacity(segments.len());
        for segment in segments {
            let words = segment.text.trim_start();
            if words.is_empty() {
                continue;
            }
            if words.len() < segment.text.len() || needs_space(&text, words) {
                text.push(' ');
            }
            starts.push((text.len(), segment));
            text.push_str(words);
        }
        Self { text, starts }
    }

    /// The second at which what stands at this byte of `text` is said: exact where a segment starts,
    /// else in proportion to the letters before and behind it in its segment.
    pub(super) fn seconds_at(&self, place: usize) -> f64 {
        let next = self.starts.partition_point(|(start, _)| *start <= place);
        let Some(&(start, segment)) = next.checked_sub(1).and_then(|index| self.starts.get(index)) else {
            return self.starts.first().map_or(0.0, |(_, segment)| segment.start);
        };
        let words = segment.text.trim();
        let before = self.text[start..place].chars().count();
        let share = (before as f64 / words.chars().count().max(1) as f64).min(1.0);
        segment.start + share * (segment.end - segment.start).max(0.0)
    }
}

/// Segments start with the space before their first word, if their script has one. Only where that space
/// got lost would two words run into each other.
fn needs_space(before: &str, after: &str) -> bool {
    let (Some(last), Some(first)) = (before.chars().next_back(), after.chars().next()) else { return false };
    !last.is_whitespace() && !is_written_without_spaces(last) && !is_written_without_spaces(first)
}

/// Scripts that put no space between words or sentences, with their punctuation.
fn is_written_without_spaces(letter: char) -> bool {
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

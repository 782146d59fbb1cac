//! Renders the topics of a result as chapters, in the form that video sites take in a description: one line a chapter,
//! the first at 00:00:00, each at least ten seconds long.

use super::clock::hours;
use super::plain::one_line;
use crate::jobs::result::{Topic, TranscriptionResult};

/// The shortest chapter that video sites take, in seconds.
const SHORTEST: u64 = 10;

/// The longest title that is made of a sentence, in characters.
const LONGEST_TITLE: usize = 60;

/// One line for each chapter, `00:00:00 Title`. Without topics, the whole is one chapter with the name of the file.
pub(super) fn chapters(result: &TranscriptionResult) -> String {
    let topics = result.topics.iter().map(|topic| (seconds(topic.seconds), title(topic)));
    let mut chapters: Vec<(u64, String)> = Vec::new();
    for (start, title) in topics {
        drop_short(&mut chapters, start);
        chapters.push((if chapters.is_empty() { 0 } else { start }, title));
    }
    if chapters.len() > 1 {
        let ends = result.whisper_segments.iter().map(|numbered| numbered.segment.end);
        let end = ends.chain(result.topics.iter().map(|topic| topic.end)).fold(0.0, f64::max);
        drop_short(&mut chapters, seconds(end));
    }
    if chapters.is_empty() {
        chapters.push((0, one_line(&result.filename)));
    }
    chapters.into_iter().map(|(start, title)| format!("{} {title}\n", hours(start))).collect()
}

/// Removes the last chapter if it is too short, given its end: its time then belongs to the chapter before.
fn drop_short(chapters: &mut Vec<(u64, String)>, end: u64) {
    if chapters.last().is_some_and(|(start, _)| end < start + SHORTEST) {
        chapters.pop();
    }
}

/// Whole seconds, rounded down. What is negative or not a number is 0.
fn seconds(seconds: f64) -> u64 {
    seconds.max(0.0) as u64
}

/// The title of a topic, or the beginning of its summary if it has none.
pub(super) fn title(topic: &Topic) -> String {
    let title = one_line(&topic.title);
    if !title.is_empty() {
        return title;
    }
    let summary = one_line(&topic.summary);
    if summary.chars().count() <= LONGEST_TITLE {
        return summary;
    }
    let cut: String = summary.chars().take(LONGEST_TITLE).collect();
    let whole_words = cut.rfind(' ').map_or(cut.as_str(), |space| &cut[..space]);
    format!("{whole_words} …")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::formats::testing::{result, segment, sentence, topic};

    /// The chapters of topics with these titles, starts and ends.
    fn of(topics: &[(&str, f64, f64)]) -> String {
        let mut result = result(vec![segment(0.0, topics.last().map_or(0.0, |topic| topic.2), " Said.")]);
        result.topics = topics
            .iter()
            .map(|(title, start, end)| topic(title, &[sentence(*start, *end, "Said.")]))
            .collect();
        chapters(&result)
    }

    #[test]
    fn the_first_chapter_starts_at_zero_and_the_others_with_their_topic() {
        let chapters =
            of(&[("Boats", 12.7, 40.0), ("Rivers\nand lakes", 61.9, 100.0), ("The sea", 3725.0, 3800.0)]);
        assert_eq!(chapters, "00:00:00 Boats\n00:01:01 Rivers and lakes\n01:02:05 The sea\n");
    }

    #[test]
    fn a_chapter_of_less_than_ten_seconds_belongs_to_the_one_before() {
        let chapters = of(&[("A", 0.0, 30.0), ("B", 30.0, 36.0), ("C", 36.5, 60.0), ("D", 60.0, 65.0)]);
        assert_eq!(chapters, "00:00:00 A\n00:00:36 C\n");
        assert_eq!(of(&[("A", 2.0, 4.0), ("B", 5.0, 8.0), ("C", 9.0, 60.0)]), "00:00:00 C\n");
        assert_eq!(of(&[("A", 0.0, 4.0)]), "00:00:00 A\n");
        assert_eq!(of(&[("A", 0.0, 4.0), ("B", 4.0, 8.0)]), "00:00:00 B\n");
    }

    #[test]
    fn a_topic_without_a_title_is_named_by_its_summary() {
        let long = "The boats that were built in the old yard by the river never came back from the sea.";
        let mut untitled = topic("", &[sentence(0.0, 20.0, long)]);
        assert_eq!(title(&untitled), "The boats that were built in the old yard by the river …");
        untitled.summary = "The boats sank.".to_owned();
        assert_eq!(title(&untitled), "The boats sank.");
    }
}

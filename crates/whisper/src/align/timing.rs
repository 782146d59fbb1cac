//! Corrects the times of words where the attention is known to err: it spreads a word next to a pause over the
//! pause, for there is nothing else to look at. The rules are those of OpenAI's reference.

use crate::text::segments::TextSegment;
use verbatim_speech::Word;

/// No word counts as usual that lasts longer, in seconds.
const LONGEST_USUAL: f64 = 0.7;

/// A word is overlong that lasts this many times the median.
const OVERLONG: f64 = 2.0;

/// A first word that ends this many medians behind the last speech follows a pause.
const PAUSE: f64 = 4.0;

/// The model's own times of a segment count for more than its words' where those reach further by more than
/// this many seconds.
const OVERHANG: f64 = 0.5;

/// How long the words of a window last, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Durations {
    median: f64,
    longest: f64,
}

impl Durations {
    /// Of all words and punctuation marks of a window; those that last no time are left out.
    pub(super) fn of(words: &[Word]) -> Self {
        let mut durations: Vec<f64> =
            words.iter().map(|word| word.end - word.start).filter(|duration| *duration > 0.0).collect();
        durations.sort_by(f64::total_cmp);
        let middle = durations.len() / 2;
        let median = match durations.len() {
            0 => 0.0,
            count if count % 2 == 1 => durations[middle],
            _ => (durations[middle - 1] + durations[middle]) / 2.0,
        };
        let median = median.min(LONGEST_USUAL);
        Self { median, longest: OVERLONG * median }
    }
}

/// Shortens overlong words around the end of a sentence, `ends` of which are the marks: a mark loses its end, a
/// first word its start.
pub(super) fn shorten_at_sentence_ends(words: &mut [Word], usual: Durations, ends: impl Fn(&Word) -> bool) {
    for index in 1..words.len() {
        let [before, word] = &mut words[index - 1..=index] else { continue };
        if word.end - word.start <= usual.longest {
            continue;
        }
        if ends(word) {
            word.end = word.start + usual.longest;
        } else if ends(before) {
            word.start = word.end - usual.longest;
        }
    }
}

/// Corrects the first and last words of a segment, which the model itself timed from `start` to `end`; the
/// segment before ended at `spoken_until`.
pub(super) fn fit(words: &mut [Word], start: f64, end: f64, spoken_until: f64, usual: Durations) {
    shorten_after_pause(words, spoken_until, usual);
    if let Some(first) = words.first_mut()
        && first.start + OVERHANG < start
        && start < first.end
    {
        first.start = start.min(first.end - usual.median).max(first.start);
    }
    if let Some(last) = words.last_mut()
        && end + OVERHANG < last.end
        && last.start < end
    {
        last.end = end.max(last.start + usual.median).min(last.end);
    }
}

/// From when to when each segment lasts: as long as its words. Words that last no time are given as much of the
/// segment's own as the words around leave; a segment without words keeps its own.
pub(crate) fn spans(segments: &[TextSegment], words: &[Vec<Word>]) -> Vec<(f64, f64)> {
    let mut before = 0.0;
    let mut spans = Vec::with_capacity(segments.len());
    for (index, segment) in segments.iter().enumerate() {
        let span = match words.get(index).map(Vec::as_slice) {
            None | Some([]) => (segment.start, segment.end),
            Some([first, .., last]) if first.start < last.end => (first.start, last.end),
            Some([word]) if word.start < word.end => (word.start, word.end),
            Some([word, ..]) => {
                let next = words[index + 1..].iter().find_map(|words| Some(words.first()?.start));
                let end = segment.end.min(next.unwrap_or(f64::INFINITY));
                (segment.start.max(before).min(word.start), end.max(word.start))
            }
        };
        before = span.1;
        spans.push(span);
    }
    spans
}

/// After a pause, the first two words start no earlier than twice the usual before their ends.
fn shorten_after_pause(words: &mut [Word], spoken_until: f64, usual: Durations) {
    let (first, second) = match words {
        [] => return,
        [first] => (first, None),
        [first, second, ..] => (first, Some(second)),
    };
    let together = second.as_ref().map_or(0.0, |second| second.end - first.start);
    let overlong = first.end - first.start > usual.longest || together > 2.0 * usual.longest;
    if first.end - spoken_until <= PAUSE * usual.median || !overlong {
        return;
    }
    if let Some(second) = second
        && second.end - second.start > usual.longest
    {
        second.start = second.end - usual.longest;
        first.end = second.start;
    }
    first.start = first.start.max(first.end - usual.longest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(times: &[(f64, f64)]) -> Vec<Word> {
        let word = |(start, end): &(f64, f64)| Word {
            word: " a".into(),
            start: *start,
            end: *end,
            probability: 1.0,
        };
        times.iter().map(word).collect()
    }

    fn times(words: &[Word]) -> Vec<(f64, f64)> {
        let round = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        words.iter().map(|word| (round(word.start), round(word.end))).collect()
    }

    const USUAL: Durations = Durations { median: 0.2, longest: 0.4 };

    #[test]
    fn the_usual_is_the_median_of_what_lasts() {
        let durations = Durations::of(&words(&[(0.0, 0.3), (0.3, 0.3), (0.3, 0.5), (0.5, 2.0)]));
        assert!((durations.median - 0.3).abs() < 1e-9 && (durations.longest - 0.6).abs() < 1e-9);
        let even = Durations::of(&words(&[(0.0, 0.2), (0.2, 0.6)]));
        assert!((even.median - 0.3).abs() < 1e-9);
        assert_eq!(Durations::of(&words(&[(0.0, 5.0)])).median, 0.7);
        assert_eq!(Durations::of(&[]), Durations { median: 0.0, longest: 0.0 });
    }

    #[test]
    fn words_around_the_end_of_a_sentence_do_not_fill_the_pause() {
        let mut pause = words(&[(0.0, 0.3), (0.3, 1.5), (1.5, 3.0), (3.0, 4.0)]);
        pause[1].word = ".".into();
        shorten_at_sentence_ends(&mut pause, USUAL, |word| word.word == ".");
        assert_eq!(times(&pause), [(0.0, 0.3), (0.3, 0.7), (2.6, 3.0), (3.0, 4.0)]);
    }

    #[test]
    fn after_a_pause_a_segment_starts_late() {
        let fitted = |from: &[(f64, f64)], start, spoken_until| {
            let mut words = words(from);
            fit(&mut words, start, 9.0, spoken_until, USUAL);
            times(&words)
        };
        assert_eq!(fitted(&[(1.0, 3.0), (3.0, 3.2)], 1.0, 1.0), [(2.6, 3.0), (3.0, 3.2)]);
        assert_eq!(fitted(&[(1.0, 1.7), (1.7, 3.2)], 1.0, 0.0), [(2.4, 2.8), (2.8, 3.2)]);
        assert_eq!(fitted(&[(1.0, 1.3), (1.3, 2.5)], 1.0, 0.0), [(1.7, 2.1), (2.1, 2.5)]);
        assert_eq!(fitted(&[(1.0, 1.7), (1.7, 1.9)], 1.0, 1.0), [(1.0, 1.7), (1.7, 1.9)], "no pause");
        assert_eq!(fitted(&[(1.0, 1.4), (1.4, 1.7)], 1.0, 0.0), [(1.0, 1.4), (1.4, 1.7)], "not overlong");
        assert_eq!(fitted(&[], 1.0, 0.0), []);
    }

    #[test]
    fn where_words_hang_over_the_segments_own_times_those_count() {
        let mut over = words(&[(1.0, 1.7), (1.7, 2.0), (2.0, 4.0)]);
        fit(&mut over, 1.6, 3.0, 1.0, USUAL);
        assert_eq!(times(&over), [(1.5, 1.7), (1.7, 2.0), (2.0, 3.0)]);
        let mut within = words(&[(1.0, 1.7), (1.7, 2.0), (2.0, 3.4)]);
        fit(&mut within, 1.4, 3.0, 1.0, USUAL);
        assert_eq!(times(&within), [(1.0, 1.7), (1.7, 2.0), (2.0, 3.4)], "by half a second they may");
    }

    #[test]
    fn a_segment_whose_words_last_no_time_has_what_is_left_of_its_own() {
        let segment = |start, end| TextSegment { start, end, tokens: Vec::new() };
        let segments = [segment(0.0, 2.0), segment(2.0, 9.0), segment(4.0, 9.0)];
        let spans = |words: &[Vec<Word>]| spans(&segments, words);
        let apart =
            [words(&[(0.5, 1.0), (1.0, 2.5)]), words(&[(3.0, 3.0), (3.0, 3.0)]), words(&[(5.0, 8.0)])];
        assert_eq!(spans(&apart), [(0.5, 2.5), (2.5, 5.0), (5.0, 8.0)]);
        let crowded = [words(&[(0.5, 3.0)]), words(&[(3.0, 3.0)]), words(&[(3.0, 3.0)])];
        assert_eq!(spans(&crowded), [(0.5, 3.0), (3.0, 3.0), (3.0, 9.0)]);
        assert_eq!(spans(&[]), [(0.0, 2.0), (2.0, 9.0), (4.0, 9.0)]);
    }
}

//! What must be true of subtitles whatever was said, and what odd input becomes.

use std::collections::HashSet;

use insta::assert_snapshot;
use proptest::prelude::*;
use verbatim_speech::{Segment, Word as SpokenWord};

use super::columns::columns;
use super::cost::stub;
use super::rules::{GAP, LONGEST, SHORTEST, SHORTEST_GAP};
use super::*;
use crate::jobs::formats::testing::{evenly, result, segment, spoken};

fn layout(width: usize, count: usize) -> Layout {
    let mut layout = Layout::default();
    layout.set("max_line_width", &width.to_string()).unwrap();
    layout.set("max_line_count", &count.to_string()).unwrap();
    layout
}

/// The subtitles of segments, as start and end in milliseconds and lines.
fn of(segments: Vec<Segment>) -> Vec<(u64, u64, Vec<String>)> {
    let cues = cues(&result(segments), Layout::default(), None);
    cues.into_iter().map(|cue| (cue.start, cue.end, cue.lines)).collect()
}

/// What a reader sees of a text: all of it but white space.
fn seen(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace() && !letter.is_control()).collect()
}

/// Fails if the subtitles of a result break a rule, or a word of it is lost, repeated or in another place.
fn check(result: &TranscriptionResult, layout: Layout) -> Result<(), TestCaseError> {
    let cues = cues(result, layout, None);
    let all: String = cues.iter().flat_map(|cue| &cue.lines).map(|line| seen(line)).collect();
    let said: String = result.whisper_segments.iter().map(|numbered| seen(&numbered.segment.text)).collect();
    prop_assert_eq!(all, said);
    let text = Text::new(result, &Structurer::default());
    let words: HashSet<&str> = text.words.iter().map(|word| word.text.as_str()).collect();
    for (index, cue) in cues.iter().enumerate() {
        prop_assert!((1..=layout.max_line_count()).contains(&cue.lines.len()), "{:?}", cue);
        for line in &cue.lines {
            let fits = columns(line) <= layout.max_line_width() || words.contains(line.as_str());
            prop_assert!(fits && !line.is_empty() && line.trim() == line, "{:?}", cue);
        }
        let length = cue.end.saturating_sub(cue.start);
        prop_assert!((1..=LONGEST).contains(&length), "{:?}", cue);
        if let Some(next) = cues.get(index + 1) {
            prop_assert!(cue.end <= next.start, "{:?} overlaps {:?}", cue, next);
            let gap = next.start - cue.end;
            let right = gap == GAP || gap >= SHORTEST_GAP || length <= SHORTEST || length == LONGEST;
            prop_assert!(right, "{} ms between {:?} and {:?}", gap, cue, next);
            prop_assert!(length >= SHORTEST || gap <= GAP, "{:?} could last longer", cue);
        } else {
            prop_assert!(length >= SHORTEST);
        }
    }
    for lines in divide(&text, layout).iter().filter(|lines| lines.len() == 2) {
        let width = layout.max_line_width();
        let is_good = |at: usize| {
            let widths = [text.columns(lines[0].start..at), text.columns(at..lines[1].end)];
            widths.iter().all(|columns| stub(*columns, width) == 0.0 && *columns <= width)
        };
        let possible = (lines[0].start + 1..lines[1].end).any(is_good);
        prop_assert!(!possible || is_good(lines[1].start), "{:?}", text);
    }
    Ok(())
}

#[test]
fn subrip_numbers_its_subtitles_and_replaces_arrows_in_text() {
    let segments = vec![
        segment(0.0, 1.9996, " Hello, world."),
        segment(3.0, 4.5, " A --> b < c & d"),
        segment(4.5, 4.6, "  \n "),
        segment(363_599.25, 363_602.5, " The hundredth hour is so long that it takes\ntwo lines."),
    ];
    assert_snapshot!(srt(&result(segments), Layout::default(), None), @r"
    1
    00:00:00,000 --> 00:00:02,000
    Hello, world.

    2
    00:00:03,000 --> 00:00:04,500
    A -> b < c & d

    3
    100:59:59,250 --> 101:00:02,500
    The hundredth hour is so
    long that it takes two lines.
    ");
}

#[test]
fn webvtt_escapes_its_special_characters() {
    let segments = vec![segment(0.0, 2.0, " a --> b < c & d")];
    assert_snapshot!(vtt(&result(segments), Layout::default(), None), @r"
    WEBVTT

    00:00:00.000 --> 00:00:02.000
    a --&gt; b &lt; c &amp; d
    ");
}

#[test]
fn subtitles_of_segments_have_their_text_on_one_line_and_their_times() {
    let long = "This segment is so long that it would take more than one subtitle by the rules of broadcasters, \
                and it is not cut.";
    let result = result(vec![
        segment(0.0, 1.9996, &format!(" {long}")),
        segment(3.5, 4.0, "  \n "),
        segment(4.0, 4.0, " two\n\nlines"),
    ]);
    let expected = format!(
        "1\n00:00:00,000 --> 00:00:02,000\n{long}\n\n2\n00:00:04,000 --> 00:00:04,001\ntwo lines\n\n"
    );
    assert_eq!(segment_srt(&result), expected);
    let expected = format!(
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n{long}\n\n00:00:04.000 --> 00:00:04.001\ntwo lines\n\n"
    );
    assert_eq!(segment_vtt(&result), expected);
}

#[test]
fn nothing_said_is_no_subtitle() {
    assert_eq!(of(vec![]), []);
    assert_eq!(of(vec![segment(0.0, 2.0, " \n\t "), spoken(&[(" ", 0.0, 1.0)])]), []);
}

#[test]
fn a_word_of_two_hundred_characters_is_a_line() {
    let word = "x".repeat(200);
    let text = format!(" And then {word} was said.");
    assert_eq!(
        of(vec![segment(0.0, 20.0, &text)]).into_iter().map(|cue| cue.2).collect::<Vec<_>>(),
        [["And then".to_owned()], [word], ["was said.".to_owned()]]
    );
}

#[test]
fn right_to_left_text_stays_as_it_is() {
    let cues = of(vec![segment(0.0, 3.0, " مرحبا بالعالم، كيف حالك؟")]);
    assert_eq!(cues, [(0, 3000, vec!["مرحبا بالعالم، كيف حالك؟".to_owned()])]);
}

#[test]
fn a_line_of_chinese_has_half_as_many_characters() {
    let text = "我们昨天去了北京".repeat(5);
    for (_, _, lines) in of(vec![segment(0.0, 12.0, &text)]) {
        assert!(lines.iter().all(|line| line.chars().count() <= 21), "{lines:?}");
    }
}

#[test]
fn segments_that_overlap_become_subtitles_that_follow_each_other() {
    let first = evenly(0.0, 10.0, "The first of them speaks for a long time, and does not stop at all.");
    let second = evenly(3.0, 10.0, "The second one speaks at the same time.");
    check(&result(vec![first, second]), Layout::default()).unwrap();
}

#[test]
fn a_segment_without_duration_is_shown_as_long_as_reading_takes() {
    let cues = of(vec![segment(5.0, 5.0, " It was said in no time: forty characters")]);
    assert_eq!(cues, [(5000, 7000, vec!["It was said in no time: forty characters".to_owned()])]);
}

#[test]
fn many_words_at_one_moment_are_cut_in_time_however_much_fits_on_a_subtitle() {
    let at_once = spoken(&[(" word", 5.0, 5.0); 2000]);
    let after = segment(5.001, 6.0, " And then it went on.");
    for layout in [Layout::default(), layout(10, 1), layout(200, 10)] {
        check(&result(vec![at_once.clone(), after.clone()]), layout).unwrap();
    }
}

#[test]
fn speech_that_is_too_fast_keeps_all_its_words() {
    let fast = evenly(0.0, 60.0, &"Nobody can read as fast as this is said. ".repeat(8));
    check(&result(vec![fast]), Layout::default()).unwrap();
}

/// Words of several scripts, with marks, and odd ones.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z]{1,12}",
        2 => "[A-Z]?[a-z]{1,8}[.,!?;:]",
        1 => "[\u{4e00}-\u{4eff}]{1,8}[，。？！、]?",
        1 => "[\u{0627}-\u{064a}]{1,8}[،؟]?",
        1 => "[\u{0e01}-\u{0e2e}]{1,8}",
        1 => "\\PC{1,6}",
        1 => "[a-z]{1,3}(-->|--|\n\n|&|<b>)[a-z]{0,3}",
        1 => "[a-z]{40,90}",
    ]
}

/// A pause before a word and the word's duration, in seconds.
type Timing = (f64, f64);

/// Mostly as in speech.
fn timing() -> impl Strategy<Value = Timing> {
    prop_oneof![
        8 => (0.0..0.3_f64, 0.05..0.6_f64),
        2 => (0.0..8.0_f64, 0.0..12.0_f64),
        1 => Just((0.0, 0.0)),
        1 => (-9.0..0.0_f64, -3.0..3.0_f64),
    ]
}

/// Segments of words that are said one after another, some of them without the times of their words.
fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let segment =
        (prop::collection::vec((word(), timing()), 0..14), any::<bool>(), prop::bool::weighted(0.8));
    prop::collection::vec(segment, 0..7).prop_map(|segments| {
        let mut at = 0.0;
        let segment = |(words, has_spaces, has_words): (Vec<(String, Timing)>, bool, bool)| {
            let space = if has_spaces { " " } else { "" };
            let words: Vec<SpokenWord> = words
                .into_iter()
                .map(|(word, (pause, duration))| {
                    let start: f64 = at + pause;
                    at = start + duration;
                    SpokenWord { word: format!("{space}{word}"), start, end: at, probability: 1.0 }
                })
                .collect();
            let text = words.iter().map(|word| word.word.as_str()).collect();
            let (start, end) =
                (words.first().map_or(at, |word| word.start), words.last().map_or(at, |word| word.end));
            let words = if has_words { words } else { Vec::new() };
            Segment { start, end, text, words, ..Segment::default() }
        };
        segments.into_iter().map(segment).collect()
    })
}

proptest! {
    #[test]
    fn no_rule_is_broken_and_no_word_is_lost(
        segments in segments(),
        width in prop_oneof![3 => Just(42), 1 => 10_usize..=60],
        count in prop_oneof![3 => Just(2), 1 => 1_usize..=4],
    ) {
        check(&result(segments), layout(width, count))?;
    }
}

//! Subtitles by the rules of broadcasters, as SubRip and WebVTT.
//!
//! A subtitle has at most two lines of 42 columns ([`Layout`]), is shown for one second to seven and while its words are
//! said, and is read at 20 characters a second at most. Between two subtitles are two frames or at least half a second.
//! Breaks are at the ends of sentences, then at other marks, then where phrases start, and lines are about equally long.
//!
//! Where these contradict each other, words are never left out, and lines are never wider or more than allowed (but for a
//! word that is wider than a line); subtitles never overlap, and none is shown longer than seven seconds. A subtitle that
//! needs time stays into the silence after it, and then appears up to a quarter of a second early. Then the reading
//! speed gives way, then the gap, and last the second.
//!
//! `text` makes words with times, `division` divides them into subtitles with `lines` by `cost`, and `timing` decides
//! when these are shown.

mod columns;
mod cost;
mod division;
mod layout;
mod lines;
mod rules;
#[cfg(test)]
mod tests;
mod text;
mod timing;

use std::fmt::Write;

use verbatim_structure::Structurer;

use self::division::divide;
pub use self::layout::Layout;
use self::text::Text;
use self::timing::{Spoken, timed};
use super::clock::clock;
use super::plain;
use crate::jobs::result::TranscriptionResult;

/// SubRip, with subtitles by the rules of broadcasters.
pub fn srt(result: &TranscriptionResult, layout: Layout, structurer: Option<&Structurer>) -> String {
    write_srt(&cues(result, layout, structurer))
}

/// WebVTT, with subtitles by the rules of broadcasters.
pub fn vtt(result: &TranscriptionResult, layout: Layout, structurer: Option<&Structurer>) -> String {
    write_vtt(&cues(result, layout, structurer))
}

/// SubRip, with a subtitle of one line for each segment.
pub fn segment_srt(result: &TranscriptionResult) -> String {
    write_srt(&segment_cues(result))
}

/// WebVTT, with a subtitle of one line for each segment.
pub fn segment_vtt(result: &TranscriptionResult) -> String {
    write_vtt(&segment_cues(result))
}

/// A subtitle, with its start and end in milliseconds.
#[derive(Debug, PartialEq)]
struct Cue {
    start: u64,
    end: u64,
    /// At least one. None is blank.
    lines: Vec<String>,
}

/// The subtitles of a result by the rules. Without a structurer, English phrases are not known.
fn cues(result: &TranscriptionResult, layout: Layout, structurer: Option<&Structurer>) -> Vec<Cue> {
    let without_models = Structurer::default();
    let text = Text::new(result, structurer.unwrap_or(&without_models));
    let subtitles = divide(&text, layout);
    let spoken = subtitles.iter().map(|lines| {
        let words = lines[0].start..lines[lines.len() - 1].end;
        Spoken {
            start: text.words[words.start].start,
            end: text.words[words.end - 1].end,
            columns: text.columns(words),
        }
    });
    let shown = timed(&spoken.collect::<Vec<_>>());
    let lines = subtitles.into_iter().map(|lines| lines.into_iter().map(|line| text.line(line)).collect());
    shown
        .into_iter()
        .zip(lines)
        .map(|(shown, lines)| Cue { start: shown.start, end: shown.end, lines })
        .collect()
}

/// A subtitle for each segment that is not blank. It lasts at least a millisecond, because players drop those without a
/// duration.
fn segment_cues(result: &TranscriptionResult) -> Vec<Cue> {
    plain::lines(result)
        .map(|(start, end, text)| Cue { start, end: end.max(start + 1), lines: vec![text] })
        .collect()
}

/// SubRip has no escapes, so `-->` in the text becomes `->`: `-->` separates the times of a subtitle.
fn write_srt(cues: &[Cue]) -> String {
    let mut out = String::new();
    for (index, cue) in cues.iter().enumerate() {
        let text = cue.lines.join("\n").replace("-->", "->");
        let (start, end) = (clock(cue.start, ','), clock(cue.end, ','));
        write!(out, "{}\n{start} --> {end}\n{text}\n\n", index + 1).expect("a String takes all");
    }
    out
}

fn write_vtt(cues: &[Cue]) -> String {
    let mut out = "WEBVTT\n\n".to_owned();
    for cue in cues {
        let text = cue.lines.join("\n").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let (start, end) = (clock(cue.start, '.'), clock(cue.end, '.'));
        write!(out, "{start} --> {end}\n{text}\n\n").expect("a String takes all");
    }
    out
}

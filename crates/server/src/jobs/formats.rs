//! Renders a transcript as txt, srt, vtt or json. Pure functions.

use std::fmt::Write;

use clap::ValueEnum;
use verbatim_speech::Segment;

use crate::jobs::result::TranscriptionResult;

/// What a transcript is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Format {
    /// One segment a line
    Txt,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
    /// All there is, as the API gives it
    Json,
}

impl Format {
    /// The extension of a file in this format, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
        }
    }
}

/// Renders a result. Only [`Format::Json`] can fail.
pub fn render(result: &TranscriptionResult, format: Format) -> serde_json::Result<String> {
    let segments = result.whisper_segments.iter().map(|numbered| &numbered.segment);
    Ok(match format {
        Format::Txt => txt(segments),
        Format::Srt => segment_srt(segments),
        Format::Vtt => segment_vtt(segments),
        Format::Json => json(result)?,
    })
}

/// One line for each segment.
fn txt<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> String {
    let mut out = String::new();
    for cue in cues(segments) {
        out.push_str(&cue.text);
        out.push('\n');
    }
    out
}

/// SubRip, with a cue for each segment. It has no escapes, so `-->` in the text becomes `->`: `-->` separates the times of a cue.
pub fn segment_srt<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> String {
    let mut out = String::new();
    for (index, cue) in cues(segments).enumerate() {
        let text = cue.text.replace("-->", "->");
        let (start, end) = (clock(cue.start, ','), clock(cue.end, ','));
        write!(out, "{}\n{start} --> {end}\n{text}\n\n", index + 1).expect("a String takes all");
    }
    out
}

/// WebVTT, with a cue for each segment.
pub fn segment_vtt<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> String {
    let mut out = "WEBVTT\n\n".to_owned();
    for cue in cues(segments) {
        let text = cue.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let (start, end) = (clock(cue.start, '.'), clock(cue.end, '.'));
        write!(out, "{start} --> {end}\n{text}\n\n").expect("a String takes all");
    }
    out
}

/// The `result` object of the API.
fn json(result: &TranscriptionResult) -> serde_json::Result<String> {
    let mut out = serde_json::to_string_pretty(result)?;
    out.push('\n');
    Ok(out)
}

/// A subtitle: one line of text, with its start and end in milliseconds.
struct Cue {
    start: u64,
    end: u64,
    text: String,
}

/// The cues of segments. Blank segments are left out. Line breaks become spaces, because a blank line would end a cue.
/// A cue lasts at least a millisecond, because players drop cues without a duration.
fn cues<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> impl Iterator<Item = Cue> {
    segments.into_iter().filter_map(|segment| {
        let text = segment.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let start = milliseconds(segment.start);
        let end = milliseconds(segment.end).max(start + 1);
        (!text.is_empty()).then_some(Cue { start, end, text })
    })
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1000.0).round() as u64
}

/// A time as `00:00:00.000`, with more digits for the hours if necessary; `point` separates the milliseconds.
fn clock(milliseconds: u64, point: char) -> String {
    let (seconds, milliseconds) = (milliseconds / 1000, milliseconds % 1000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use verbatim_speech::Task;

    use super::*;
    use crate::jobs::FileType;
    use crate::jobs::result::{LanguageDetection, ModelsUsed, NumberedSegment, Sentence, Topic};

    fn segment(start: f64, end: f64, text: &str) -> Segment {
        Segment {
            seek: 0,
            start,
            end,
            text: text.to_owned(),
            tokens: vec![50364, 440, 50414],
            temperature: 0.0,
            avg_logprob: -0.25,
            compression_ratio: 1.5,
            no_speech_prob: 0.125,
            suspect: false,
            words: Vec::new(),
        }
    }

    fn segments() -> Vec<Segment> {
        vec![
            segment(0.0, 1.9996, " Hello, world."),
            segment(2.0, 3.5, " a --> b < c & d"),
            segment(3.5, 4.0, "  \n "),
            segment(4.0, 4.0, " two\n\nlines"),
            segment(363_599.25, 363_600.5, " The hundredth hour."),
        ]
    }

    #[test]
    fn txt_has_one_line_for_each_segment() {
        assert_snapshot!(txt(&segments()), @r"
        Hello, world.
        a --> b < c & d
        two lines
        The hundredth hour.
        ");
    }

    #[test]
    fn srt_numbers_its_cues_and_replaces_arrows_in_text() {
        assert_snapshot!(segment_srt(&segments()), @r"
        1
        00:00:00,000 --> 00:00:02,000
        Hello, world.

        2
        00:00:02,000 --> 00:00:03,500
        a -> b < c & d

        3
        00:00:04,000 --> 00:00:04,001
        two lines

        4
        100:59:59,250 --> 101:00:00,500
        The hundredth hour.
        ");
    }

    #[test]
    fn vtt_escapes_its_special_characters() {
        assert_snapshot!(segment_vtt(&segments()), @r"
        WEBVTT

        00:00:00.000 --> 00:00:02.000
        Hello, world.

        00:00:02.000 --> 00:00:03.500
        a --&gt; b &lt; c &amp; d

        00:00:04.000 --> 00:00:04.001
        two lines

        100:59:59.250 --> 101:00:00.500
        The hundredth hour.
        ");
    }

    #[test]
    fn a_transcript_without_segments_is_an_empty_file() {
        assert_eq!(txt(&[]), "");
        assert_eq!(segment_srt(&[]), "");
        assert_eq!(segment_vtt(&[]), "WEBVTT\n\n");
    }

    #[test]
    fn json_is_the_result_object_of_the_api() {
        let numbered = |(id, segment)| NumberedSegment { id, segment, language: None, channel: None };
        let result = TranscriptionResult {
            transcript: "Hello, world.".to_owned(),
            language_detection: LanguageDetection { language: Some("en".to_owned()), confidence: 0.75 },
            task: Task::Transcribe,
            sentences: vec![Sentence { text: "Hello, world.".to_owned(), start: 0.0, end: 1.9996 }],
            topics: vec![Topic {
                summary: "Hello, world.".to_owned(),
                title: "Hello, world".to_owned(),
                seconds: 0.0,
                end: 1.9996,
                sentences: vec!["Hello, world.".to_owned()],
                keywords: vec!["hello".to_owned(), "world".to_owned()],
            }],
            entities: vec![],
            keywords: vec![],
            structure_error: None,
            source_type: FileType::Audio,
            filename: "“a”.wav".to_owned(),
            file_size: 32_044,
            whisper_segments: (0..).zip(segments()).take(1).map(numbered).collect(),
            models_used: ModelsUsed { whisper: "base".to_owned(), spacy: None, topics: None },
            job_id: "550e8400-e29b-41d4-a716-446655440000".to_owned(),
            processing_completed_at: "2024-01-15T10:35:30.000Z".to_owned(),
        };
        assert_snapshot!(json(&result).unwrap(), @r#"
        {
          "transcript": "Hello, world.",
          "language_detection": {
            "language": "en",
            "confidence": 0.75
          },
          "task": "transcribe",
          "sentences": [
            {
              "text": "Hello, world.",
              "start": 0.0,
              "end": 1.9996
            }
          ],
          "topics": [
            {
              "summary": "Hello, world.",
              "title": "Hello, world",
              "seconds": 0.0,
              "end": 1.9996,
              "sentences": [
                "Hello, world."
              ],
              "keywords": [
                "hello",
                "world"
              ]
            }
          ],
          "entities": [],
          "keywords": [],
          "structure_error": null,
          "source_type": "audio",
          "filename": "“a”.wav",
          "file_size": 32044,
          "whisper_segments": [
            {
              "id": 0,
              "seek": 0,
              "start": 0.0,
              "end": 1.9996,
              "text": " Hello, world.",
              "tokens": [
                50364,
                440,
                50414
              ],
              "temperature": 0.0,
              "avg_logprob": -0.25,
              "compression_ratio": 1.5,
              "no_speech_prob": 0.125,
              "suspect": false
            }
          ],
          "models_used": {
            "whisper": "base",
            "spacy": null,
            "topics": null
          },
          "job_id": "550e8400-e29b-41d4-a716-446655440000",
          "processing_completed_at": "2024-01-15T10:35:30.000Z"
        }
        "#);
    }
}

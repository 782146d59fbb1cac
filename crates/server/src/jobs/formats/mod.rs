//! Renders a result as a file: JSON, plain text, subtitles, a table, chapters or Markdown. Pure functions.

mod accept;
mod chapters;
mod clock;
mod markdown;
mod plain;
pub mod subtitles;
#[cfg(test)]
mod testing;

use clap::ValueEnum;
use verbatim_structure::Structurer;

use self::subtitles::{Layout, segment_srt, segment_vtt, srt, vtt};
use crate::jobs::result::TranscriptionResult;

/// What a result is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Format {
    /// All there is, as the API gives it
    Json,
    /// One segment a line
    Txt,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
    /// One segment a line, with its start and end in milliseconds
    Tsv,
    /// The start and the title of each topic, as video sites take them
    Chapters,
    /// A document in Markdown, by topics
    Md,
}

impl Format {
    /// Every format, those first that are preferred if a client takes several.
    pub const ALL: [Self; 7] =
        [Self::Json, Self::Txt, Self::Srt, Self::Vtt, Self::Tsv, Self::Chapters, Self::Md];

    /// The name in queries and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Txt => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Tsv => "tsv",
            Self::Chapters => "chapters",
            Self::Md => "md",
        }
    }

    /// Parses a [`name`](Self::name), in any case. The error is the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = text.trim();
        Self::ALL
            .into_iter()
            .find(|format| format.name().eq_ignore_ascii_case(wanted))
            .ok_or_else(|| format!("“{wanted}” is not one of {}", Self::ALL.map(Self::name).join(", ")))
    }

    /// The format that an `Accept` header asks for, by RFC 9110: the one with the highest quality, of several the one
    /// named first. Ranges such as `*/*` give [`Format::Json`], or the first format of their type. `None` if the
    /// client takes none of them.
    pub fn of_accept(header: &str) -> Option<Self> {
        accept::best(header)
    }

    /// The extension of a file in this format, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Chapters => "chapters.txt",
            other => other.name(),
        }
    }

    /// The value of a `Content-Type` header.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Txt | Self::Chapters => "text/plain; charset=utf-8",
            Self::Srt => "application/x-subrip; charset=utf-8",
            Self::Vtt => "text/vtt; charset=utf-8",
            Self::Tsv => "text/tab-separated-values; charset=utf-8",
            Self::Md => "text/markdown; charset=utf-8",
        }
    }

    /// Whether it shows what a [`Structurer`] finds when the result is made.
    pub fn shows_structure(self) -> bool {
        matches!(self, Self::Json | Self::Chapters | Self::Md)
    }

    /// Whether it is subtitles.
    pub fn is_subtitles(self) -> bool {
        matches!(self, Self::Srt | Self::Vtt)
    }
}

/// How subtitles are cut. Other formats ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cues {
    /// One for each segment, on one line: what other services do.
    Segments,
    /// By the rules of broadcasters: see [`subtitles`].
    Broadcast(Layout),
}

/// How a result is rendered.
#[derive(Debug, Clone, Copy)]
pub struct RenderOptions<'a> {
    pub cues: Cues,
    /// Finds the phrases of English, which subtitles keep together. Without it, they are cut by punctuation and pauses.
    pub structurer: Option<&'a Structurer>,
}

impl Default for RenderOptions<'_> {
    fn default() -> Self {
        Self { cues: Cues::Broadcast(Layout::default()), structurer: None }
    }
}

/// Renders a result. Only [`Format::Json`] can fail. Blocks: subtitles of an hour of English take a good part of a
/// second.
pub fn render(
    result: &TranscriptionResult,
    format: Format,
    options: &RenderOptions<'_>,
) -> serde_json::Result<String> {
    Ok(match (format, options.cues) {
        (Format::Json, _) => json(result)?,
        (Format::Txt, _) => plain::txt(result),
        (Format::Srt, Cues::Segments) => segment_srt(result),
        (Format::Srt, Cues::Broadcast(layout)) => srt(result, layout, options.structurer),
        (Format::Vtt, Cues::Segments) => segment_vtt(result),
        (Format::Vtt, Cues::Broadcast(layout)) => vtt(result, layout, options.structurer),
        (Format::Tsv, _) => plain::tsv(result),
        (Format::Chapters, _) => chapters::chapters(result),
        (Format::Md, _) => markdown::markdown(result),
    })
}

/// The `result` object of the API.
fn json(result: &TranscriptionResult) -> serde_json::Result<String> {
    let mut out = serde_json::to_string_pretty(result)?;
    out.push('\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::testing::{result, segment};
    use super::*;

    #[test]
    fn every_format_has_one_name_in_queries_and_on_the_command_line() {
        let of_clap: Vec<_> = Format::value_variants()
            .iter()
            .map(|format| format.to_possible_value().unwrap().get_name().to_owned())
            .collect();
        assert_eq!(of_clap, Format::ALL.map(Format::name));
        for format in Format::ALL {
            assert_eq!(Format::parse(&format!(" {} ", format.name().to_uppercase())), Ok(format));
            assert!(format.extension().ends_with(format.name()) || format == Format::Chapters);
        }
        let refused = Format::parse("docx").unwrap_err();
        assert_eq!(refused, "“docx” is not one of json, txt, srt, vtt, tsv, chapters, md");
    }

    #[test]
    fn an_empty_result_is_an_empty_file_of_its_kind() {
        let mut empty = result(Vec::new());
        empty.transcript.clear();
        empty.filename = "a.wav".to_owned();
        let rendered = |format| render(&empty, format, &RenderOptions::default()).unwrap();
        assert_eq!(rendered(Format::Txt), "");
        assert_eq!(rendered(Format::Srt), "");
        assert_eq!(rendered(Format::Vtt), "WEBVTT\n\n");
        assert_eq!(rendered(Format::Tsv), "start\tend\ttext\n");
        assert_eq!(rendered(Format::Chapters), "00:00:00 a.wav\n");
        assert_eq!(rendered(Format::Md), "# a.wav\n\nEnglish, transcribed by base.\n");
        let cues = RenderOptions { cues: Cues::Segments, ..RenderOptions::default() };
        assert_eq!(render(&empty, Format::Srt, &cues).unwrap(), "");
        assert_eq!(render(&empty, Format::Vtt, &cues).unwrap(), "WEBVTT\n\n");
    }

    #[test]
    fn json_is_the_result_object_of_the_api() {
        let result = result(vec![segment(0.0, 1.9996, " Hello, world.")]);
        assert_snapshot!(json(&result).unwrap(), @r#"
        {
          "transcript": "Hello, world.",
          "language_detection": {
            "language": "en",
            "confidence": 0.75
          },
          "task": "transcribe",
          "sentences": [],
          "topics": [],
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
              "tokens": [],
              "temperature": 0.0,
              "avg_logprob": 0.0,
              "compression_ratio": 0.0,
              "no_speech_prob": 0.0,
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

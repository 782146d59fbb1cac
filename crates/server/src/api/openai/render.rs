//! Results in OpenAI's forms.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use verbatim_speech::{Language, Segment, Task};

use super::form::{ResponseFormat, Wanted};
use crate::jobs::formats::Format;
use crate::jobs::formats::subtitles::{segment_srt, segment_vtt};
use crate::jobs::result::TranscriptionResult;

#[derive(Debug, Serialize)]
struct VerboseSegment<'a> {
    id: u64,
    seek: u64,
    start: f64,
    end: f64,
    text: &'a str,
    tokens: &'a [u32],
    temperature: f32,
    avg_logprob: f32,
    compression_ratio: f32,
    no_speech_prob: f32,
}

#[derive(Debug, Serialize)]
struct VerboseWord<'a> {
    word: &'a str,
    start: f64,
    end: f64,
}

/// What a word's probability is told as: theirs is of single tokens.
#[derive(Debug, Serialize)]
struct Logprob<'a> {
    token: &'a str,
    bytes: &'a [u8],
    logprob: f32,
}

/// The answer of a request that does not stream. `duration` is that of the recording in seconds, if it is known.
pub(super) fn render(result: &TranscriptionResult, duration: Option<f64>, wanted: Wanted) -> Response {
    let text = |body: String, media_type: &'static str| {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], body).into_response()
    };
    match wanted.format {
        ResponseFormat::Json => Json(json(result, duration, wanted.logprobs)).into_response(),
        ResponseFormat::VerboseJson => Json(verbose(result, duration, wanted)).into_response(),
        ResponseFormat::Text => text(format!("{}\n", result.transcript), "text/plain; charset=utf-8"),
        ResponseFormat::Srt => text(segment_srt(result), "text/plain; charset=utf-8"),
        ResponseFormat::Vtt => text(segment_vtt(result), Format::Vtt.media_type()),
    }
}

/// What was transcribed, as they bill it.
pub(super) fn usage(result: &TranscriptionResult, duration: Option<f64>) -> Value {
    json!({ "type": "duration", "seconds": seconds(result, duration).ceil() as u64 })
}

/// `logprobs` of the whole text, a word at a time.
pub(super) fn logprobs<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> Value {
    let words = segments.into_iter().flat_map(|segment| &segment.words);
    let logprobs = words.map(|word| Logprob {
        token: &word.word,
        bytes: word.word.as_bytes(),
        logprob: word.probability.ln().max(f32::MIN),
    });
    json!(logprobs.collect::<Vec<_>>())
}

fn json(result: &TranscriptionResult, duration: Option<f64>, with_logprobs: bool) -> Value {
    let mut body = json!({ "text": result.transcript, "usage": usage(result, duration) });
    if with_logprobs {
        let segments = result.whisper_segments.iter().map(|numbered| &numbered.segment);
        body["logprobs"] = logprobs(segments);
    }
    body
}

fn verbose(result: &TranscriptionResult, duration: Option<f64>, wanted: Wanted) -> Value {
    let language = result.language_detection.language.as_deref().and_then(Language::parse);
    let mut body = json!({
        "task": match wanted.task { Task::Transcribe => "transcribe", Task::Translate => "translate" },
        "language": language.map_or("", Language::name),
        "duration": seconds(result, duration),
        "text": result.transcript,
        "usage": usage(result, duration),
    });
    if wanted.segments {
        let segments = result.whisper_segments.iter().map(|numbered| {
            let segment = &numbered.segment;
            VerboseSegment {
                id: numbered.id,
                seek: segment.seek,
                start: segment.start,
                end: segment.end,
                text: &segment.text,
                tokens: &segment.tokens,
                temperature: segment.temperature,
                avg_logprob: segment.avg_logprob,
                compression_ratio: segment.compression_ratio,
                no_speech_prob: segment.no_speech_prob,
            }
        });
        body["segments"] = json!(segments.collect::<Vec<_>>());
    }
    if wanted.words {
        let words = result.whisper_segments.iter().flat_map(|numbered| &numbered.segment.words);
        let words =
            words.map(|word| VerboseWord { word: word.word.trim(), start: word.start, end: word.end });
        body["words"] = json!(words.collect::<Vec<_>>());
    }
    body
}

/// The duration of the recording; where it is not known, the end of the last segment.
fn seconds(result: &TranscriptionResult, duration: Option<f64>) -> f64 {
    let last = || result.whisper_segments.last().map_or(0.0, |numbered| numbered.segment.end);
    duration.unwrap_or_else(last)
}

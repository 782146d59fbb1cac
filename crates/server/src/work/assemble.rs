//! Windows -> the contract's result. Pure: what a job ends with depends on its windows alone, so a job
//! that was interrupted ends with the same as one that was not.

use jiff::Timestamp;
use verbatim_speech::{Language, LanguageProbabilities, Segment, Task};
use verbatim_structure::{Structure, Structurer, transcript};

use super::decoding::LANGUAGE_WINDOWS;
use crate::jobs::result::{LanguageDetection, ModelsUsed, NumberedSegment, TranscriptionResult};
use crate::jobs::{FileType, JobId, rfc3339};
use crate::store::StoredWindow;

/// What the result says of a recording besides what was said in it.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) job: JobId,
    pub(crate) filename: String,
    /// Bytes.
    pub(crate) file_size: u64,
    pub(crate) file_type: FileType,
    /// As the client told.
    pub(crate) language: Option<Language>,
    pub(crate) task: Task,
    /// The name of the model that transcribed it.
    pub(crate) whisper: String,
    /// Or a sentence that says why the transcript is not structured.
    pub(crate) structurer: Result<Structurer, &'static str>,
}

/// Takes a while for a day's transcript: not to be called where others wait. Segments are cut at `cuts`, seconds in any
/// order.
pub(crate) fn assemble(
    of: Recording,
    windows: &[StoredWindow],
    cuts: Vec<f64>,
    now: Timestamp,
) -> TranscriptionResult {
    let language_detection = detection(of.language, windows);
    let (segments, heard): (Vec<_>, Vec<_>) = segments(windows, cuts).into_iter().unzip();
    let spoken = language_detection.language.as_deref().and_then(Language::parse);
    let written = spoken.map(|language| of.task.written(language));
    let structure =
        of.structurer.map_or_else(Structure::left_out, |structurer| structurer.structure(&segments, written));
    TranscriptionResult {
        transcript: transcript(&segments),
        language_detection,
        task: of.task,
        topics: structure.topics,
        sentences: structure.sentences,
        entities: structure.entities,
        keywords: structure.keywords,
        structure_error: structure.error,
        source_type: of.file_type,
        filename: of.filename,
        file_size: of.file_size,
        whisper_segments: numbered(segments, heard),
        models_used: ModelsUsed {
            whisper: of.whisper,
            spacy: structure.spacy,
            topics: structure.topic_method,
        },
        job_id: of.job.to_string(),
        processing_completed_at: rfc3339(now),
    }
}

/// How a segment was heard.
#[derive(Debug, Clone, Copy)]
struct Heard {
    language: Language,
    channel: Option<u64>,
}

/// All segments, in order of time.
fn segments(windows: &[StoredWindow], mut cuts: Vec<f64>) -> Vec<(Segment, Heard)> {
    cuts.sort_by(f64::total_cmp);
    let of_window = |window: &StoredWindow| -> Vec<(Segment, Heard)> {
        let transcript = &window.transcript;
        let heard = Heard { language: transcript.language, channel: window.channel() };
        let pieces = transcript.segments.iter().flat_map(|segment| segment.clone().cut(&cuts));
        pieces.map(|piece| (piece, heard)).collect()
    };
    let mut segments: Vec<_> = windows.iter().flat_map(of_window).collect();
    // The windows of one channel come after those of another. Within a channel the order is right already.
    if segments.iter().any(|(_, heard)| heard.channel.is_some()) {
        segments.sort_by(|(one, _), (other, _)| one.start.total_cmp(&other.start));
    }
    segments
}

/// The segments of windows, in the form of a result.
pub(crate) fn segments_of(windows: &[StoredWindow]) -> Vec<NumberedSegment> {
    let (segments, heard) = segments(windows, Vec::new()).into_iter().unzip();
    numbered(segments, heard)
}

/// The segments with their numbers.
fn numbered(segments: Vec<Segment>, heard: Vec<Heard>) -> Vec<NumberedSegment> {
    let number = |(id, (segment, heard)): (u64, (Segment, Heard))| NumberedSegment {
        id,
        segment,
        language: Some(heard.language.code().to_owned()),
        channel: heard.channel,
    };
    (0..).zip(segments.into_iter().zip(heard)).map(number).collect()
}

/// The language that a recording's first windows are in; `None` if there are none yet, or nothing is said in any.
fn detected(windows: &[StoredWindow]) -> Option<Language> {
    windows.iter().find(|window| !window.transcript.segments.is_empty())?;
    let first = windows.iter().take(LANGUAGE_WINDOWS);
    LanguageProbabilities::mean(first.map(|window| &window.transcript.language_probabilities))
        .best()
        .map(|(language, _)| language)
}

/// The language that was spoken, and how probable the model holds it. A language that the client told is
/// judged by every window, a detected one by those that it was detected from. Where nothing was said,
/// there is no language but the one that was told.
fn detection(told: Option<Language>, windows: &[StoredWindow]) -> LanguageDetection {
    let judged = if told.is_some() { windows.len() } else { LANGUAGE_WINDOWS };
    let probabilities = LanguageProbabilities::mean(
        windows.iter().take(judged).map(|window| &window.transcript.language_probabilities),
    );
    let spoken = detected(windows);
    let language = told.or(spoken);
    let confidence = spoken.and(language).map_or(0.0, |language| probabilities.of(language));
    LanguageDetection { language: language.map(|language| language.code().to_owned()), confidence }
}

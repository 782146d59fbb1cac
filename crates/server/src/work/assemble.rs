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
    let (segments, languages): (Vec<_>, Vec<_>) = segments(windows, cuts).unzip();
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
        whisper_segments: numbered(segments, languages),
        models_used: ModelsUsed {
            whisper: of.whisper,
            spacy: structure.spacy,
            topics: structure.topic_method,
        },
        job_id: of.job.to_string(),
        processing_completed_at: rfc3339(now),
    }
}

/// All segments with their languages, in order of time.
fn segments(windows: &[StoredWindow], mut cuts: Vec<f64>) -> impl Iterator<Item = (Segment, Language)> {
    cuts.sort_by(f64::total_cmp);
    windows.iter().flat_map(move |StoredWindow { transcript, .. }| {
        let pieces: Vec<_> =
            transcript.segments.iter().flat_map(|segment| segment.clone().cut(&cuts)).collect();
        pieces.into_iter().map(|piece| (piece, transcript.language))
    })
}

/// The segments with their numbers.
fn numbered(segments: Vec<Segment>, languages: Vec<Language>) -> Vec<NumberedSegment> {
    let number = |(id, (segment, language)): (u64, (Segment, Language))| NumberedSegment {
        id,
        segment,
        language: Some(language.code().to_owned()),
    };
    (0..).zip(segments.into_iter().zip(languages)).map(number).collect()
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

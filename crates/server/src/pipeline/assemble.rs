//! Windows -> the contract's result. Pure: what a job ends with depends on its windows alone, so a job
//! that was interrupted ends with the same as one that was not.

use jiff::Timestamp;
use verbatim_whisper::{Language, LanguageProbabilities, Segment};

use crate::job::{Job, rfc3339};
use crate::result::{LanguageDetection, ModelsUsed, NumberedSegment, Topic, TranscriptionResult};
use crate::store::StoredWindow;
use crate::structure;

/// Windows that the language is detected from. More would delay the first words of a recording; a window
/// is up to 30 s.
pub(super) const LANGUAGE_WINDOWS: usize = 3;

/// All segments, in order of time.
pub(super) fn segments(windows: &[StoredWindow]) -> Vec<Segment> {
    windows.iter().flat_map(|window| window.transcript.segments.iter().cloned()).collect()
}

/// The language that was spoken, and how probable the model holds it. A language that the client told is
/// judged by every window, a detected one by those that it was detected from. Where nothing was said,
/// there is no language but the one that was told.
pub(super) fn detection(told: Option<Language>, windows: &[StoredWindow]) -> LanguageDetection {
    let judged = if told.is_some() { windows.len() } else { LANGUAGE_WINDOWS };
    let probabilities = LanguageProbabilities::mean(
        windows.iter().take(judged).map(|window| &window.transcript.language_probabilities),
    );
    let spoken = windows.iter().find(|window| !window.transcript.segments.is_empty());
    let language = told.or(spoken.map(|window| window.transcript.language));
    let confidence = spoken.and(language).map_or(0.0, |language| probabilities.of(language));
    LanguageDetection { language: language.map(|language| language.code().to_owned()), confidence }
}

/// One topic of all segments as they are, for when finding sentences has failed: a transcript is never
/// lost for want of structure.
pub(super) fn unstructured(segments: &[Segment]) -> Vec<Topic> {
    let Some(first) = segments.first() else { return Vec::new() };
    let sentences = segments.iter().map(|segment| segment.text.trim().to_owned()).collect();
    vec![Topic { summary: String::new(), seconds: first.start, sentences }]
}

pub(super) fn result(
    job: &Job,
    language_detection: LanguageDetection,
    segments: Vec<Segment>,
    topics: Vec<Topic>,
    models_used: ModelsUsed,
    now: Timestamp,
) -> TranscriptionResult {
    TranscriptionResult {
        transcript: structure::transcript(&segments),
        language_detection,
        topics,
        source_type: job.file_type,
        filename: job.filename.clone(),
        file_size: job.file_size,
        whisper_segments: (0..).zip(segments).map(|(id, segment)| NumberedSegment { id, segment }).collect(),
        models_used,
        job_id: job.id.to_string(),
        processing_completed_at: rfc3339(now),
    }
}

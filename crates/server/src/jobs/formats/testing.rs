//! Results to test with.

use verbatim_speech::{Segment, Task, Word};

use crate::jobs::FileType;
use crate::jobs::result::{
    LanguageDetection, ModelsUsed, NumberedSegment, Sentence, Topic, TranscriptionResult,
};

/// A segment without words; times in seconds.
pub(super) fn segment(start: f64, end: f64, text: &str) -> Segment {
    Segment { start, end, text: text.to_owned(), ..Segment::default() }
}

/// A segment of these words, each with its start and end in seconds and with the space before it.
pub(super) fn spoken(words: &[(&str, f64, f64)]) -> Segment {
    let word = |(word, start, end): &(&str, f64, f64)| Word {
        word: (*word).to_owned(),
        start: *start,
        end: *end,
        probability: 1.0,
    };
    let words: Vec<Word> = words.iter().map(word).collect();
    let bounds = (words.first().map_or(0.0, |word| word.start), words.last().map_or(0.0, |word| word.end));
    let text = words.iter().map(|word| word.word.as_str()).collect();
    Segment { start: bounds.0, end: bounds.1, text, words, ..Segment::default() }
}

/// A text that is spoken evenly from a time on, with so many characters a second, as a segment with words.
pub(super) fn evenly(start: f64, characters_per_second: f64, text: &str) -> Segment {
    let mut at = start;
    let words: Vec<_> = text
        .split(' ')
        .map(|word| {
            let from = at;
            at += (word.chars().count() + 1) as f64 / characters_per_second;
            (format!(" {word}"), from, at)
        })
        .collect();
    let words: Vec<_> = words.iter().map(|(word, start, end)| (word.as_str(), *start, *end)).collect();
    spoken(&words)
}

/// A result with these segments in English, without structure.
pub(super) fn result(segments: Vec<Segment>) -> TranscriptionResult {
    let numbered = |(id, segment)| NumberedSegment { id, segment, language: None, channel: None };
    TranscriptionResult {
        transcript: verbatim_structure::transcript(&segments),
        language_detection: LanguageDetection { language: Some("en".to_owned()), confidence: 0.75 },
        task: Task::Transcribe,
        sentences: Vec::new(),
        topics: Vec::new(),
        entities: Vec::new(),
        keywords: Vec::new(),
        structure_error: None,
        source_type: FileType::Audio,
        filename: "“a”.wav".to_owned(),
        file_size: 32_044,
        whisper_segments: (0..).zip(segments).map(numbered).collect(),
        models_used: ModelsUsed { whisper: "base".to_owned(), spacy: None, topics: None },
        job_id: "550e8400-e29b-41d4-a716-446655440000".to_owned(),
        processing_completed_at: "2024-01-15T10:35:30.000Z".to_owned(),
    }
}

/// A sentence; times in seconds.
pub(super) fn sentence(start: f64, end: f64, text: &str) -> Sentence {
    Sentence { text: text.to_owned(), start, end }
}

/// A topic of these sentences.
pub(super) fn topic(title: &str, sentences: &[Sentence]) -> Topic {
    Topic {
        summary: sentences.first().map_or_else(String::new, |sentence| sentence.text.clone()),
        title: title.to_owned(),
        seconds: sentences.first().map_or(0.0, |sentence| sentence.start),
        end: sentences.last().map_or(0.0, |sentence| sentence.end),
        sentences: sentences.iter().map(|sentence| sentence.text.clone()).collect(),
        keywords: Vec::new(),
    }
}

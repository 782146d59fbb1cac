//! Jobs from upload to result: real media, real engine, real database, in one process.

use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use verbatim::blobs::Blobs;
use verbatim::jobs::JobStatus;
use verbatim::jobs::options::{JobOptions, Temperatures};

use verbatim::work::Pipeline;
use verbatim_speech::{DecodeOptions, Language, Task};

use crate::speech::{ROOM, TestEngine, novel, until};
use crate::support::app::eventually;
use crate::support::clips::{self, make};
use crate::workers::Service;

/// What two runs of one recording have in common: all but ids and times of day.
pub(crate) fn comparable(mut result: Value) -> Value {
    for field in ["job_id", "processing_completed_at"] {
        result.as_object_mut().unwrap().remove(field).expect("a result has its job's id and time");
    }
    result
}

#[tokio::test]
async fn a_recording_becomes_a_transcript_with_times_and_topics() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path(), &TestEngine::tiny_en()).await;
    let file = novel(dir.path(), 24);
    let id = service.submit(&file, None).await;
    let result = service.result(id).await;
    let transcript = result["transcript"].as_str().unwrap();
    for words in ["John Dashwood", "prudently", "ill-disposed", "respectable"] {
        assert!(transcript.contains(words), "“{words}” is missing in: {transcript}");
    }
    assert_eq!(result["language_detection"], serde_json::json!({"language": "en", "confidence": 1.0}));
    let segments = result["whisper_segments"].as_array().unwrap();
    assert!(!segments.is_empty());
    for (number, segment) in segments.iter().enumerate() {
        assert_eq!(segment["id"], number);
        assert!(segment["start"].as_f64() < segment["end"].as_f64());
        assert_eq!(segment["suspect"], false);
        let words = segment["words"].as_array().unwrap();
        let text: String = words.iter().map(|word| word["word"].as_str().unwrap()).collect();
        assert_eq!(text, segment["text"].as_str().unwrap());
        assert_eq!(words[0]["start"], segment["start"]);
        assert_eq!(words[words.len() - 1]["end"], segment["end"]);
        assert!(words.iter().all(|word| word["start"].as_f64() <= word["end"].as_f64()), "{words:?}");
        assert!(words.iter().all(|word| (0.0..=1.0).contains(&word["probability"].as_f64().unwrap())));
    }
    assert!(segments.last().unwrap()["end"].as_f64().unwrap() <= 25.5);
    assert!(segments.is_sorted_by_key(|segment| segment["start"].as_f64().unwrap()));
    let sentences = result["sentences"].as_array().unwrap();
    assert!(sentences.len() >= 3, "{sentences:?}");
    let mut words = segments.iter().flat_map(|segment| segment["words"].as_array().unwrap());
    for sentence in sentences {
        let text = sentence["text"].as_str().unwrap();
        let first = words.next().unwrap();
        let (mut said, mut last) = (first["word"].as_str().unwrap().trim().to_owned(), first);
        while said.len() < text.len() {
            last = words.next().unwrap();
            said += last["word"].as_str().unwrap();
        }
        assert_eq!(said, text);
        assert_eq!((&sentence["start"], &sentence["end"]), (&first["start"], &last["end"]), "{text}");
    }
    assert!(words.next().is_none(), "a word is in no sentence");
    assert!(sentences.is_sorted_by(|a, b| a["end"].as_f64() <= b["start"].as_f64()), "{sentences:?}");
    let texts: Vec<_> = sentences.iter().map(|sentence| sentence["text"].clone()).collect();
    let topics = result["topics"].as_array().unwrap();
    let in_topics = topics.iter().flat_map(|topic| topic["sentences"].as_array().unwrap());
    assert_eq!(in_topics.cloned().collect::<Vec<_>>(), texts);
    assert_eq!(topics[0]["seconds"], sentences[0]["start"]);
    assert_eq!(topics.last().unwrap()["end"], sentences.last().unwrap()["end"]);
    for topic in topics {
        let summary = topic["summary"].as_str().unwrap();
        assert!(!summary.is_empty() && summary.chars().count() <= 200, "{summary}");
        assert!(!topic["title"].as_str().unwrap().is_empty(), "{topic}");
    }
    assert_eq!(
        result["models_used"],
        serde_json::json!({"whisper": "tiny.en", "spacy": "en_core_web_sm", "topics": "all-MiniLM-L6-v2"})
    );
    assert_eq!(result["filename"], "novel.mp3");
    let job = service.job(id).await;
    assert_eq!(result["processing_completed_at"], verbatim::jobs::rfc3339(job.completed_at.unwrap()));
    service.until_no_uploads().await;
    service.shut_down().await;
}

#[tokio::test]
async fn the_language_is_detected_or_taken_from_the_client_with_an_honest_confidence() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path(), &TestEngine::base()).await;
    let file = novel(dir.path(), 24);
    let detected = service.submit(&file, None).await;
    let told = service.submit(&file, Language::parse("de")).await;
    let detected = service.result(detected).await;
    assert_eq!(detected["language_detection"]["language"], "en");
    let confidence = detected["language_detection"]["confidence"].as_f64().unwrap();
    assert!((0.5..=1.0).contains(&confidence), "{confidence}");
    let told = service.result(told).await;
    assert_eq!(told["language_detection"]["language"], "de");
    let confidence = told["language_detection"]["confidence"].as_f64().unwrap();
    assert!((0.0..0.2).contains(&confidence), "the model takes it for English, not German: {confidence}");
    service.shut_down().await;
}

#[tokio::test]
async fn progress_grows_with_the_audio_that_is_done() {
    let dir = TempDir::new().unwrap();
    let engine = TestEngine::tiny_en();
    let service = Service::start(dir.path(), &engine).await;
    engine.log.close_gate();
    // More windows than are decoded beside each other.
    let id = service.submit(&novel(dir.path(), 170), None).await;
    until("the first windows", || engine.log.is_at_gate()).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|percentage| *percentage < 10) {
        engine.log.step().await;
        let job = service.job(id).await;
        seen.push(job.progress_percentage);
        assert!(job.progress_percentage == 0 || job.current_step == "Transcribing audio", "{job:?}");
    }
    assert!(seen.is_sorted() && seen.last().is_some_and(|percentage| *percentage < 99), "{seen:?}");
    engine.log.open_gate();
    service.result(id).await;
    assert_eq!(service.job(id).await.progress_percentage, 100);
    service.shut_down().await;
}

#[tokio::test]
async fn what_a_job_asks_for_is_how_it_is_decoded() {
    let dir = TempDir::new().unwrap();
    let engine = TestEngine::tiny_en();
    let service = Service::start(dir.path(), &engine).await;
    let options = JobOptions {
        word_timestamps: Some(false),
        initial_prompt: Some("A reading.".into()),
        hotwords: Some("Dashwoode".into()),
        temperature: Temperatures::parse("0.4").ok(),
        ..JobOptions::default()
    };
    let id = service.submit_with(&clips::novel(), options).await;
    let result = service.result(id).await;
    assert_eq!(result["task"], "transcribe");
    let expected = DecodeOptions {
        language: Some(Language::ENGLISH),
        follow_language: true,
        word_timestamps: false,
        initial_prompt: Some("A reading.".into()),
        hotwords: Some("Dashwoode".into()),
        temperatures: vec![0.4],
        ..DecodeOptions::default()
    };
    assert_eq!(*engine.log.begun.lock().unwrap(), [expected]);
    service.shut_down().await;
}

#[tokio::test]
async fn a_translation_is_english_and_tells_what_was_spoken() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path(), &TestEngine::base()).await;
    let options = JobOptions { task: Some(Task::Translate), ..JobOptions::default() };
    let id = service.submit_with(&clips::german(dir.path()), options).await;
    let result = service.result(id).await;
    let transcript = result["transcript"].as_str().unwrap().to_lowercase();
    let says = |words| transcript.contains(words);
    assert!(says("good morning") && says("minutes") && !says("minuten"), "{transcript}");
    assert_eq!(
        (&result["task"], &result["language_detection"]["language"]),
        (&"translate".into(), &"de".into())
    );
    assert_eq!(result["whisper_segments"][0]["language"], "de");
    service.shut_down().await;
}

#[tokio::test]
async fn a_stopped_job_goes_on_behind_its_windows_and_ends_the_same() {
    let dir = TempDir::new().unwrap();
    let file = novel(dir.path(), 140);
    let undisturbed = Service::start(dir.path(), &TestEngine::base()).await;
    let id = undisturbed.submit(&file, None).await;
    let expected = undisturbed.result(id).await;
    let windows = undisturbed.recognizer.windows_transcribed();
    assert!(windows > ROOM as u64, "the recording is too short to be interrupted: {windows} windows");
    undisturbed.shut_down().await;

    let engine = TestEngine::base();
    let first = Service::start(dir.path(), &engine).await;
    let id = first.submit(&file, None).await;
    first.until_windows(id, 1).await;
    let begun = first.recognizer.clone();
    first.shut_down().await;
    let done = begun.windows_transcribed();
    assert!((1..windows).contains(&done), "{done} of {windows}");

    let second = Service::start(dir.path(), &engine).await;
    let resumed = second.result(id).await;
    assert_eq!(second.recognizer.windows_transcribed(), windows - done, "nothing is computed twice");
    assert_eq!(comparable(resumed), comparable(expected));
    second.shut_down().await;
}

#[tokio::test]
async fn two_services_on_one_database_share_the_jobs_and_do_none_twice() {
    let dir = TempDir::new().unwrap();
    let engine = TestEngine::tiny_en();
    let services = [Service::start(dir.path(), &engine).await, Service::start(dir.path(), &engine).await];
    let mut jobs = Vec::new();
    for turn in 0..8 {
        jobs.push(services[turn % 2].submit(&clips::novel(), None).await);
    }
    for id in jobs {
        let result = services[0].result(id).await;
        assert!(result["transcript"].as_str().unwrap().contains("young man"), "{result}");
    }
    let computed = services.each_ref().map(|service| service.recognizer.windows_transcribed());
    assert_eq!(computed.iter().sum::<u64>(), 8, "{computed:?}");
    assert!(computed.iter().all(|windows| *windows > 0), "{computed:?}");
    for service in services {
        service.shut_down().await;
    }
}

#[tokio::test]
async fn a_job_that_is_given_back_at_once_is_pending_and_lost_nothing() {
    let dir = TempDir::new().unwrap();
    let engine = TestEngine::tiny_en();
    let service = Service::start(dir.path(), &engine).await;
    engine.log.close_gate();
    let id = service.submit(&novel(dir.path(), 24), None).await;
    eventually("the engine to be busy", || async { !engine.log.begun.lock().unwrap().is_empty() }).await;
    service.stop.soft.cancel();
    service.stop.hard.cancel();
    service.workers.await.unwrap();
    let job = service.store.get(id).await.unwrap().unwrap();
    assert_eq!(job.status, JobStatus::Pending);
    assert_eq!(service.blobs.list().unwrap(), [id]);
    engine.log.open_gate();
}

#[tokio::test]
async fn a_cancelled_job_stops_and_its_upload_goes() {
    let dir = TempDir::new().unwrap();
    let engine = TestEngine::tiny_en();
    let service = Service::start(dir.path(), &engine).await;
    engine.log.close_gate();
    let file = novel(dir.path(), 24);
    let running = service.submit(&file, None).await;
    eventually("the engine to be busy", || async { !engine.log.begun.lock().unwrap().is_empty() }).await;
    assert!(service.store.cancel(running, "The client hung up.", Timestamp::now()).await.unwrap());
    service.until_no_uploads().await;
    engine.log.open_gate();
    let next = service.submit(&file, None).await;
    service.result(next).await;
    assert_eq!(service.failure(running).await, "The client hung up.");
    assert_eq!(service.store.result(running).await.unwrap(), None);
    service.shut_down().await;
}

#[tokio::test]
async fn an_engine_that_fails_on_one_job_serves_the_next() {
    let dir = TempDir::new().unwrap();
    let engine = TestEngine::tiny_en();
    *engine.log.panic_at.lock().unwrap() = Some(0);
    let service = Service::start(dir.path(), &engine).await;
    let file = novel(dir.path(), 24);
    let id = service.submit(&file, None).await;
    let sentence = service.failure(id).await;
    assert!(sentence.starts_with("The engine failed on a stretch of the recording"), "{sentence}");
    let next = service.submit(&file, None).await;
    service.result(next).await;
    service.until_no_uploads().await;
    service.shut_down().await;
}

#[tokio::test]
async fn silence_completes_without_words_or_language() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path(), &TestEngine::base()).await;
    let file = make(dir.path(), "silence.wav", "-f lavfi -i anullsrc=r=16000:cl=mono -t 40");
    let unknown = service.submit(&file, None).await;
    let told = service.submit(&file, Language::parse("French")).await;
    let result = service.result(unknown).await;
    assert_eq!(result["transcript"], "");
    assert_eq!(result["language_detection"], serde_json::json!({"language": null, "confidence": 0.0}));
    assert_eq!(result["whisper_segments"], serde_json::json!([]));
    assert_eq!(result["topics"], serde_json::json!([]));
    let result = service.result(told).await;
    assert_eq!(result["language_detection"], serde_json::json!({"language": "fr", "confidence": 0.0}));
    service.shut_down().await;
}

#[tokio::test]
async fn what_comes_before_a_cut_is_transcribed() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path(), &TestEngine::tiny_en()).await;
    let whole = novel(dir.path(), 24);
    let flac = dir.path().join("novel.flac");
    let run = Command::new("ffmpeg").args(["-v", "error", "-i"]).arg(&whole).arg(&flac).output().unwrap();
    assert!(run.status.success());
    let mut bytes = std::fs::read(&flac).unwrap();
    bytes.truncate(bytes.len() / 2);
    let cut = dir.path().join("cut.flac");
    std::fs::write(&cut, bytes).unwrap();
    let cut = service.submit(&cut, None).await;
    let whole = service.submit(&flac, None).await;
    let (cut, whole) = (service.result(cut).await, service.result(whole).await);
    let length = |result: &Value| result["transcript"].as_str().unwrap().len();
    assert!(length(&cut) * 4 > length(&whole), "{cut}");
    assert!(length(&cut) * 3 < length(&whole) * 2, "{cut}");
    service.shut_down().await;
}

#[tokio::test]
async fn what_cannot_be_decoded_fails_in_a_sentence_and_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let limit = |pipeline: &mut Pipeline| pipeline.max_media_duration = Duration::from_secs(10);
    let service = Service::with(dir.path(), &TestEngine::tiny_en(), limit).await;
    let text = dir.path().join("notes.mp4");
    std::fs::write(&text, "These are notes. ".repeat(1000)).unwrap();
    let text = service.submit(&text, None).await;
    let long = service.submit(&novel(dir.path(), 24), None).await;
    let missing = service.submit(&make(dir.path(), "tone.wav", "-f lavfi -i sine -t 1"), None).await;
    service.blobs.remove(missing).await.unwrap();
    for id in [text, long, missing] {
        let sentence = service.failure(id).await;
        assert!(sentence.ends_with('.') && sentence.starts_with(char::is_uppercase), "{sentence}");
    }
    service.until_no_uploads().await;
    service.shut_down().await;
}

//! The engine's threads, with the real engine on them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use verbatim::inference::{Inference, InferenceError, Parallelism, Speech};
use verbatim::job::JobId;
use verbatim_whisper::{Language, Options, WindowTranscript};

use crate::speech::{PANIC, ROOM, TestEngine, poisoned_window, until, window};

fn english() -> Arc<Options> {
    Arc::new(Options { language: Some(Language::ENGLISH), ..Options::default() })
}

fn prompted(prompt: &str) -> Arc<Options> {
    Arc::new(Options { initial_prompt: Some(prompt.to_owned()), ..(*english()).clone() })
}

/// Sends a window now, so that it waits behind those sent before.
fn send(
    inference: &Inference,
    job: JobId,
    speech: Speech,
    options: Arc<Options>,
) -> tokio::task::JoinHandle<Result<WindowTranscript, InferenceError>> {
    let inference = inference.clone();
    tokio::spawn(async move { inference.transcribe(job, speech, options).await })
}

/// Sends a window that is held up in the engine, so that whatever is sent next waits behind it.
async fn hold_up(
    engine: &TestEngine,
    inference: &Inference,
) -> tokio::task::JoinHandle<Result<WindowTranscript, InferenceError>> {
    engine.log.close_gate();
    let held = send(inference, JobId::new(), Speech::Window(window(0)), prompted("held"));
    until("the first window", || engine.log.is_at_gate()).await;
    held
}

/// Long enough for requests sent to reach the queue.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_panic_is_the_answer_to_its_own_window_only() {
    let engine = TestEngine::tiny_en();
    let inference = engine.start();
    let job = JobId::new();
    let alone = inference.transcribe(job, Speech::Window(window(0)), english()).await.unwrap();
    assert!(!alone.segments.is_empty());

    let (fine, panicking, poisoned) = tokio::join!(
        inference.transcribe(job, Speech::Window(window(0)), english()),
        inference.transcribe(JobId::new(), Speech::Window(window(0)), prompted(PANIC)),
        inference.transcribe(JobId::new(), Speech::Window(poisoned_window(0)), english()),
    );
    assert_eq!(fine.unwrap(), alone);
    assert_eq!(panicking.unwrap_err(), InferenceError::Panicked("told to panic".to_owned()));
    assert_eq!(poisoned.unwrap_err(), InferenceError::Panicked("poisoned".to_owned()));
    assert!(inference.alive().is_alive());
    assert_eq!(inference.windows_transcribed(), 2);
    inference.transcribe(job, Speech::Window(window(0)), english()).await.unwrap();
}

#[tokio::test]
async fn what_the_engine_refuses_is_told_in_its_words_and_hurts_no_neighbour() {
    let inference = TestEngine::tiny_en().start();
    let german = Arc::new(Options { language: Language::parse("de"), ..Options::default() });
    let (refused, fine) = tokio::join!(
        inference.transcribe(JobId::new(), Speech::Window(window(0)), german),
        inference.transcribe(JobId::new(), Speech::Window(window(0)), english()),
    );
    assert!(
        matches!(&refused, Err(InferenceError::Refused(text)) if text.contains("English")),
        "{refused:?}"
    );
    fine.unwrap();
}

#[tokio::test]
async fn jobs_take_turns() {
    let engine = TestEngine::tiny_en();
    let inference = engine.start();
    let held = hold_up(&engine, &inference).await;
    let (long, short) = (JobId::new(), JobId::new());
    let mut waiting = Vec::new();
    for index in 0..ROOM + 1 {
        waiting.push(send(&inference, long, Speech::Window(window(index)), prompted("long")));
        settle().await;
    }
    waiting.push(send(&inference, short, Speech::Window(window(0)), prompted("short")));
    settle().await;
    engine.log.open_gate();
    held.await.unwrap().unwrap();
    for answer in waiting {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(engine.log.prompts(), ["held", "long", "short", "long", "long", "long", "long"]);
}

#[tokio::test]
async fn a_short_job_joins_a_batch_that_a_long_one_fills() {
    let engine = TestEngine::tiny_en();
    let inference = engine.start();
    engine.log.close_gate();
    let long = JobId::new();
    let mut waiting = Vec::new();
    for index in 0..ROOM + 2 {
        waiting.push(send(&inference, long, Speech::Window(window(index)), prompted("long")));
    }
    until("the first window", || engine.log.is_at_gate()).await;
    settle().await;
    engine.log.step().await;
    assert_eq!(engine.log.prompts(), ["long"; ROOM]);

    let short = JobId::new();
    for prompt in ["short", "short"] {
        waiting.push(send(&inference, short, Speech::Window(window(0)), prompted(prompt)));
    }
    for prompt in ["another", "one too many"] {
        waiting.push(send(&inference, JobId::new(), Speech::Window(window(0)), prompted(prompt)));
        settle().await;
    }
    engine.log.step().await;
    assert_eq!(engine.log.prompts()[ROOM..], ["short", "another"]);
    engine.log.open_gate();
    for answer in waiting {
        answer.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn threads_share_the_windows_and_each_gets_its_own_answer() {
    let engine = TestEngine::tiny_en();
    let alone = engine.start().transcribe(JobId::new(), Speech::Window(window(0)), english()).await.unwrap();
    let parallelism =
        Parallelism { threads: NonZeroUsize::new(3).unwrap(), batch_size: NonZeroUsize::new(5).unwrap() };
    let inference = Inference::start(engine, parallelism).unwrap();
    let job = JobId::new();
    let windows = (0..12).map(|index| send(&inference, job, Speech::Window(window(index)), english()));
    for (index, answer) in windows.collect::<Vec<_>>().into_iter().enumerate() {
        let transcript = answer.await.unwrap().unwrap();
        assert_eq!(transcript.segments.len(), alone.segments.len(), "window {index}");
        assert_eq!(transcript.segments[0].text, alone.segments[0].text);
    }
    assert_eq!(inference.windows_transcribed(), 12);
}

#[tokio::test]
async fn a_window_that_nobody_waits_for_is_not_computed() {
    let engine = TestEngine::tiny_en();
    let inference = engine.start();
    let held = hold_up(&engine, &inference).await;
    let given_up = send(&inference, JobId::new(), Speech::Window(window(0)), prompted("given up"));
    let wanted = send(&inference, JobId::new(), Speech::Window(window(0)), prompted("wanted"));
    settle().await;
    given_up.abort();
    settle().await;
    engine.log.open_gate();
    held.await.unwrap().unwrap();
    wanted.await.unwrap().unwrap();
    assert_eq!(engine.log.prompts(), ["held", "wanted"]);
}

#[tokio::test]
async fn at_a_stop_the_windows_in_decoding_end_and_the_waiting_ones_are_told() {
    let engine = TestEngine::tiny_en();
    let inference = engine.start();
    let held = hold_up(&engine, &inference).await;
    let waiting = send(&inference, JobId::new(), Speech::Window(window(0)), english());
    settle().await;
    inference.stop();
    engine.log.open_gate();
    held.await.unwrap().unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err(), InferenceError::Stopping);
    let late = inference.detect(JobId::new(), window(0)).await;
    assert_eq!(late.unwrap_err(), InferenceError::Stopping);
}

#[tokio::test]
async fn a_window_is_encoded_once_for_language_and_text() {
    let engine = TestEngine::base();
    let inference = engine.start();
    let job = JobId::new();
    let (encoded, languages) = inference.detect(job, window(0)).await.unwrap();
    let (language, probability) = languages.best().unwrap();
    assert_eq!(language, Language::ENGLISH);
    assert!(probability > 0.5, "{probability}");
    let transcript = inference.transcribe(job, Speech::Encoded(encoded), english()).await.unwrap();
    assert_eq!(transcript.language_probabilities, languages);
    assert_eq!(engine.log.encoded.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_engine_ends_with_its_last_handle_and_that_is_seen() {
    let inference = TestEngine::tiny_en().start();
    let alive = inference.alive();
    let other = inference.clone();
    drop(inference);
    assert!(alive.is_alive());
    drop(other);
    until("the engine's end", || !alive.is_alive()).await;
}

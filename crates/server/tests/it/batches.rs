//! The engine's threads, with the real engine on them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use verbatim::jobs::JobId;
use verbatim::recognizer::cpu::{CpuRecognizer, Parallelism};
use verbatim::recognizer::{Recognizer, RecognizerError, RecognizerInput};
use verbatim_speech::{DecodeOptions, Language, Window, WindowTranscript};

use crate::speech::{PANIC, ROOM, TestEngine, poisoned_window, until, window};

/// Requests that may wait in the queue.
const WAITING: usize = 64;

type Answer = tokio::task::JoinHandle<Result<WindowTranscript, RecognizerError>>;

fn english() -> Arc<DecodeOptions> {
    Arc::new(DecodeOptions { language: Some(Language::ENGLISH), ..DecodeOptions::default() })
}

fn prompted(prompt: &str) -> Arc<DecodeOptions> {
    Arc::new(DecodeOptions { initial_prompt: Some(prompt.to_owned()), ..(*english()).clone() })
}

fn input(window: Window) -> Arc<RecognizerInput> {
    RecognizerInput::new(window)
}

/// Sends a window now, so that it waits behind those sent before.
fn send(
    recognizer: &CpuRecognizer,
    job: JobId,
    input: Arc<RecognizerInput>,
    options: Arc<DecodeOptions>,
) -> Answer {
    let recognizer = recognizer.clone();
    tokio::spawn(async move { recognizer.transcribe(job, input, options).await })
}

/// Sends a window that is held up in the engine, so that whatever is sent next waits behind it.
async fn hold_up(engine: &TestEngine, recognizer: &CpuRecognizer) -> Answer {
    engine.log.close_gate();
    let held = send(recognizer, JobId::new(), input(window(0)), prompted("held"));
    until("the first window", || engine.log.is_at_gate()).await;
    held
}

/// Sends a window, and returns once it is in the queue behind those sent before.
async fn queue_up(
    recognizer: &CpuRecognizer,
    job: JobId,
    input: Arc<RecognizerInput>,
    prompt: &str,
) -> Answer {
    let before = recognizer.queued();
    let answer = send(recognizer, job, input, prompted(prompt));
    until("the request in the queue", || recognizer.queued() > before).await;
    answer
}

/// Fills the batch, and `queued` places of the queue, with windows of one job; the engine is held up then.
async fn fill(engine: &TestEngine, recognizer: &CpuRecognizer, queued: usize) -> Vec<Answer> {
    engine.log.close_gate();
    let job = JobId::new();
    let one = |_| send(recognizer, job, input(window(0)), prompted("long"));
    let windows = (0..ROOM + queued).map(one).collect();
    let arrived = || engine.log.prompts().len() + recognizer.queued() == ROOM + queued;
    until("the windows", || engine.log.is_at_gate() && arrived()).await;
    engine.log.step().await;
    assert_eq!((engine.log.prompts().len(), recognizer.queued()), (ROOM, queued));
    windows
}

/// An answer that comes though the engine is held up. Only a test that fails waits for it.
async fn at_once(answer: Answer) -> Result<WindowTranscript, RecognizerError> {
    tokio::time::timeout(Duration::from_secs(20), answer)
        .await
        .expect("an answer was to come at once")
        .unwrap()
}

/// Stops waiting for a window, as a job does that is cancelled; returns once that is so.
async fn give_up(answer: Answer) {
    answer.abort();
    assert!(answer.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn a_panic_is_the_answer_to_its_own_window_only() {
    let engine = TestEngine::tiny_en();
    let recognizer = engine.start();
    let job = JobId::new();
    let alone = recognizer.transcribe(job, input(window(0)), english()).await.unwrap();
    assert!(!alone.segments.is_empty());

    let (fine, panicking, poisoned) = tokio::join!(
        recognizer.transcribe(job, input(window(0)), english()),
        recognizer.transcribe(JobId::new(), input(window(0)), prompted(PANIC)),
        recognizer.transcribe(JobId::new(), input(poisoned_window(0)), english()),
    );
    assert_eq!(fine.unwrap(), alone);
    assert_eq!(panicking.unwrap_err(), RecognizerError::Panicked("told to panic".to_owned()));
    assert_eq!(poisoned.unwrap_err(), RecognizerError::Panicked("poisoned".to_owned()));
    assert!(recognizer.liveness().is_alive());
    assert_eq!(recognizer.windows_transcribed(), 2);
    recognizer.transcribe(job, input(window(0)), english()).await.unwrap();
}

#[tokio::test]
async fn what_the_engine_refuses_is_told_in_its_words_and_hurts_no_neighbour() {
    let recognizer = TestEngine::tiny_en().start();
    let german = Arc::new(DecodeOptions { language: Language::parse("de"), ..DecodeOptions::default() });
    let (refused, fine) = tokio::join!(
        recognizer.transcribe(JobId::new(), input(window(0)), german),
        recognizer.transcribe(JobId::new(), input(window(0)), english()),
    );
    assert!(
        matches!(&refused, Err(RecognizerError::Refused(text)) if text.contains("English")),
        "{refused:?}"
    );
    fine.unwrap();
}

#[tokio::test]
async fn jobs_take_turns() {
    let engine = TestEngine::tiny_en();
    let recognizer = engine.start();
    let held = hold_up(&engine, &recognizer).await;
    let (long, short) = (JobId::new(), JobId::new());
    let mut waiting = Vec::new();
    for index in 0..ROOM + 1 {
        waiting.push(queue_up(&recognizer, long, input(window(index)), "long").await);
    }
    waiting.push(queue_up(&recognizer, short, input(window(0)), "short").await);
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
    let recognizer = engine.start();
    let mut waiting = fill(&engine, &recognizer, 2).await;
    let short = JobId::new();
    for (job, prompt) in
        [(short, "short"), (short, "short"), (JobId::new(), "another"), (JobId::new(), "one too many")]
    {
        waiting.push(queue_up(&recognizer, job, input(window(0)), prompt).await);
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
    let alone = engine.start().transcribe(JobId::new(), input(window(0)), english()).await.unwrap();
    let parallelism =
        Parallelism { threads: NonZeroUsize::new(3).unwrap(), batch_size: NonZeroUsize::new(5).unwrap() };
    let model = engine.model();
    let recognizer = CpuRecognizer::start(engine, model, parallelism).unwrap();
    let job = JobId::new();
    let windows = (0..12).map(|index| send(&recognizer, job, input(window(index)), english()));
    for (index, answer) in windows.collect::<Vec<_>>().into_iter().enumerate() {
        let transcript = answer.await.unwrap().unwrap();
        assert_eq!(transcript.segments.len(), alone.segments.len(), "window {index}");
        assert_eq!(transcript.segments[0].text, alone.segments[0].text);
    }
    assert_eq!(recognizer.windows_transcribed(), 12);
}

#[tokio::test]
async fn a_window_that_nobody_waits_for_is_not_computed() {
    let engine = TestEngine::tiny_en();
    let recognizer = engine.start();
    let held = hold_up(&engine, &recognizer).await;
    let given_up = queue_up(&recognizer, JobId::new(), input(window(0)), "given up").await;
    let wanted = queue_up(&recognizer, JobId::new(), input(window(0)), "wanted").await;
    give_up(given_up).await;
    engine.log.open_gate();
    held.await.unwrap().unwrap();
    wanted.await.unwrap().unwrap();
    assert_eq!(engine.log.prompts(), ["held", "wanted"]);
}

#[tokio::test]
async fn a_window_in_decoding_that_nobody_waits_for_any_more_makes_room_at_the_next_step() {
    let undisturbed = TestEngine::tiny_en().start();
    let alone = undisturbed.transcribe(JobId::new(), input(window(0)), prompted("long")).await.unwrap();
    let engine = TestEngine::tiny_en();
    let recognizer = engine.start();
    let mut windows = fill(&engine, &recognizer, 2).await;
    for _ in 0..5 {
        engine.log.step().await;
    }
    assert_eq!((engine.log.prompts().len(), recognizer.queued()), (ROOM, 2));
    for given_up in windows.drain(1..3) {
        give_up(given_up).await;
    }
    engine.log.step().await;
    assert_eq!(
        (engine.log.prompts().len(), recognizer.queued()),
        (ROOM + 2, 0),
        "the queued windows have room"
    );
    assert_eq!(engine.log.decoding.load(Ordering::Relaxed), ROOM, "the given up ones are gone");
    engine.log.open_gate();
    for answer in windows {
        let transcript = answer.await.unwrap().unwrap();
        assert_eq!(transcript.segments, alone.segments, "the others are decoded as if nothing had happened");
    }
    assert_eq!(recognizer.windows_transcribed(), ROOM as u64);
}

#[tokio::test]
async fn the_last_window_that_is_given_up_ends_the_work() {
    let engine = TestEngine::tiny_en();
    let recognizer = engine.start();
    let held = hold_up(&engine, &recognizer).await;
    give_up(held).await;
    engine.log.open_gate();
    recognizer.transcribe(JobId::new(), input(window(0)), english()).await.unwrap();
    assert_eq!(engine.log.decoding.load(Ordering::Relaxed), 1);
    assert_eq!(recognizer.windows_transcribed(), 1);
}

#[tokio::test]
async fn a_window_that_is_given_up_while_it_is_encoded_is_not_decoded() {
    let engine = TestEngine::tiny_en();
    let recognizer = engine.start();
    engine.log.encoding_gate.close();
    let given_up = send(&recognizer, JobId::new(), input(window(0)), prompted("given up"));
    until("the window's encoding", || engine.log.encoding_gate.was_reached()).await;
    give_up(given_up).await;
    engine.log.encoding_gate.open();
    recognizer.transcribe(JobId::new(), input(window(0)), prompted("wanted")).await.unwrap();
    assert_eq!(engine.log.prompts(), ["wanted"]);
}

/// After a panic every window of the batch is decoded again by itself.
#[tokio::test]
async fn a_window_that_is_given_up_is_not_decoded_again_after_a_panic() {
    let engine = TestEngine::tiny_en();
    let recognizer = engine.start();
    let held = hold_up(&engine, &recognizer).await;
    let job = JobId::new();
    let mut waiting = Vec::new();
    for prompt in ["given up half way", "given up before", PANIC] {
        waiting.push(queue_up(&recognizer, job, input(window(0)), prompt).await);
    }
    // With the first token the three join; the next step panics.
    engine.log.step().await;
    engine.log.step().await;
    assert_eq!(engine.log.prompts()[4..], ["held"]);
    give_up(waiting.remove(1)).await;
    while engine.log.prompts().len() < 6 {
        engine.log.step().await;
    }
    give_up(waiting.remove(0)).await;
    engine.log.open_gate();
    held.await.unwrap().unwrap();
    let panicked = waiting.remove(0).await.unwrap().unwrap_err();
    assert_eq!(panicked, RecognizerError::Panicked("told to panic".to_owned()));
    assert_eq!(engine.log.prompts()[4..], ["held", "given up half way", PANIC]);
    assert_eq!(recognizer.windows_transcribed(), 1);
}

#[tokio::test]
async fn at_a_stop_the_windows_in_decoding_end_and_the_waiting_ones_are_told_at_once() {
    let engine = TestEngine::tiny_en();
    let recognizer = engine.start();
    let mut windows = fill(&engine, &recognizer, 0).await;
    let queued = queue_up(&recognizer, JobId::new(), input(window(0)), "queued").await;
    recognizer.stop();
    // The gate is closed still: no room comes up.
    assert_eq!(at_once(queued).await.unwrap_err(), RecognizerError::Stopping);
    let late = recognizer.detect(JobId::new(), input(window(0))).await;
    assert_eq!(late.unwrap_err(), RecognizerError::Stopping);
    engine.log.open_gate();
    for answer in windows.drain(..) {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(recognizer.windows_transcribed(), ROOM as u64);
}

#[tokio::test]
async fn at_a_stop_those_who_wait_for_a_place_in_the_queue_are_told_at_once() {
    let engine = TestEngine::tiny_en();
    let recognizer = engine.start();
    let held = hold_up(&engine, &recognizer).await;
    let job = JobId::new();
    let many = (0..WAITING + 10).map(|_| send(&recognizer, job, input(window(0)), english()));
    let many: Vec<_> = many.collect();
    until("a full queue", || recognizer.queued() == WAITING).await;
    recognizer.stop();
    for answer in many {
        assert_eq!(at_once(answer).await.unwrap_err(), RecognizerError::Stopping);
    }
    engine.log.open_gate();
    held.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_window_is_encoded_once_for_language_and_text() {
    let engine = TestEngine::base();
    let recognizer = engine.start();
    let job = JobId::new();
    let input = input(window(0));
    let languages = recognizer.detect(job, input.clone()).await.unwrap();
    let (language, probability) = languages.best().unwrap();
    assert_eq!(language, Language::ENGLISH);
    assert!(probability > 0.5, "{probability}");
    let transcript = recognizer.transcribe(job, input, english()).await.unwrap();
    assert_eq!(transcript.language_probabilities, languages);
    assert_eq!(engine.log.encoded.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_engine_ends_with_its_last_handle_and_that_is_seen() {
    let recognizer = TestEngine::tiny_en().start();
    let alive = recognizer.liveness();
    let other = recognizer.clone();
    drop(recognizer);
    assert!(alive.is_alive());
    drop(other);
    until("the engine's end", || !alive.is_alive()).await;
}

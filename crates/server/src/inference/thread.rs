//! What the engine's thread does: gather, compute, answer.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use verbatim_whisper::{DecodeRequest, Encoded, Options, Window, WindowTranscript};

use super::queue::FairQueue;
use super::{Ask, BATCH, Engine, InferenceError, Reply, Request, Shared, Speech, WAITING};

/// How long an incomplete batch waits for more. A window takes a hundred times as long to compute, and a
/// job sends its windows one right after the other.
const LINGER: Duration = Duration::from_millis(10);

/// The step in which the wait above looks again.
const LINGER_STEP: Duration = Duration::from_millis(1);

pub(super) fn run(engine: &dyn Engine, mut requests: mpsc::Receiver<Request>, shared: &Shared) {
    let mut queue = FairQueue::default();
    loop {
        if queue.len() == 0 {
            let Some(first) = requests.blocking_recv() else { return };
            queue.push(first.job, first);
        }
        gather(&mut requests, &mut queue);
        if shared.stopping.load(Ordering::Relaxed) {
            while let Some(request) = queue.pop() {
                request.ask.refuse(InferenceError::Stopping);
            }
            continue;
        }
        let batch: Vec<Request> = std::iter::from_fn(|| queue.pop())
            .filter(|request| !request.ask.is_abandoned())
            .take(BATCH)
            .collect();
        compute(engine, batch, shared);
    }
}

fn gather(requests: &mut mpsc::Receiver<Request>, queue: &mut FairQueue) {
    let start = Instant::now();
    loop {
        while queue.len() < WAITING
            && let Ok(request) = requests.try_recv()
        {
            queue.push(request.job, request);
        }
        if queue.len() >= BATCH || requests.is_closed() || start.elapsed() >= LINGER {
            return;
        }
        std::thread::sleep(LINGER_STEP);
    }
}

fn compute(engine: &dyn Engine, batch: Vec<Request>, shared: &Shared) {
    let (mut detections, mut transcriptions) = (Vec::new(), Vec::new());
    for (encoded, ask) in encode(engine, batch) {
        match ask {
            Ask::Detect(reply) => detections.push((encoded, reply)),
            Ask::Transcribe(options, reply) => transcriptions.push((encoded, options, reply)),
        }
    }

    let encoded: Vec<&Encoded> = detections.iter().map(|(encoded, _)| encoded).collect();
    let languages = all_or_each(&encoded, &|encoded: &[&Encoded]| Ok(engine.detect_language(encoded)));
    for ((encoded, reply), language) in detections.into_iter().zip(languages) {
        answer(reply, language.map(|language| (encoded, language)));
    }

    let decode = |some: &[(Encoded, Arc<Options>, Reply<WindowTranscript>)]| {
        let requests: Vec<DecodeRequest<'_>> =
            some.iter().map(|(encoded, options, _)| DecodeRequest { encoded, options }).collect();
        engine.decode(&requests).map_err(|error| InferenceError::Refused(error.to_string()))
    };
    let transcripts = all_or_each(&transcriptions, &decode);
    for ((_, _, reply), transcript) in transcriptions.into_iter().zip(transcripts) {
        shared.transcribed.fetch_add(u64::from(transcript.is_ok()), Ordering::Relaxed);
        answer(reply, transcript);
    }
}

/// Encodes what is not encoded yet. What cannot be is answered and left out.
fn encode(engine: &dyn Engine, batch: Vec<Request>) -> Vec<(Encoded, Ask)> {
    let (mut encoded, mut windows, mut asks) = (Vec::new(), Vec::new(), Vec::new());
    for Request { speech, ask, .. } in batch {
        match speech {
            Speech::Encoded(done) => encoded.push((done, ask)),
            Speech::Window(window) => {
                windows.push(window);
                asks.push(ask);
            }
        }
    }
    let results =
        all_or_each(&windows, &|some: &[Window]| Ok(engine.encode(&some.iter().collect::<Vec<_>>())));
    for (ask, result) in asks.into_iter().zip(results) {
        match result {
            Ok(done) => encoded.push((done, ask)),
            Err(error) => ask.refuse(error),
        }
    }
    encoded
}

type Run<'a, T, R> = &'a dyn Fn(&[T]) -> Result<Vec<R>, InferenceError>;

/// Runs all items together; if that fails, each alone, so that only the guilty one fails.
fn all_or_each<T, R>(items: &[T], run: Run<'_, T, R>) -> Vec<Result<R, InferenceError>> {
    if items.is_empty() {
        return Vec::new();
    }
    let together = catch_unwind(AssertUnwindSafe(|| run(items)))
        .unwrap_or_else(|panic| Err(InferenceError::Panicked(panic_text(panic.as_ref()))));
    match together {
        Ok(results) => results.into_iter().map(Ok).collect(),
        Err(error) if items.len() == 1 => vec![Err(error)],
        Err(_) => items.iter().flat_map(|item| all_or_each(slice::from_ref(item), run)).collect(),
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, InferenceError>) {
    if reply.send(result).is_err() {
        tracing::debug!("nobody waits for a window any more");
    }
}

/// What a panic says, if it says anything.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
        .to_owned()
}

impl Ask {
    /// Nobody waits for the answer.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Detect(reply) => reply.is_closed(),
            Self::Transcribe(_, reply) => reply.is_closed(),
        }
    }

    fn refuse(self, error: InferenceError) {
        match self {
            Self::Detect(reply) => answer(reply, Err(error)),
            Self::Transcribe(_, reply) => answer(reply, Err(error)),
        }
    }
}

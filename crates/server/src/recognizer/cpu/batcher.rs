//! The work of the engine's threads: encode a window and add it to the batch, decode one token of all windows in the
//! batch, answer. Windows whose receiver was dropped are removed from the batch before each of these steps.
//!
//! A batcher occupies its thread for at most one window's encoding or one token. Then it continues as a new task of the
//! pool, or becomes idle if there is nothing to do. So a thread without a batch can help the others.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use verbatim_speech::{DecodeOptions, WindowTranscript};

use super::queue::FairQueue;
use super::{Engine, Operation, Reply, Request, Shared};
use crate::jobs::JobId;
use crate::recognizer::RecognizerError;
use crate::signals::Running;

/// The number of windows that may join a full batch, each of a job that has none in it: so a short recording does not
/// wait for windows of long ones. The number is small, so that the other windows lose little time and memory.
const EXTRA_WINDOWS: usize = 2;

/// The engine, the queue of requests, and the idle batchers.
pub(super) struct Batchers<E: Engine> {
    engine: E,
    /// The number of windows that a batcher decodes together.
    batch_size: usize,
    shared: Arc<Shared>,
    state: Mutex<State<E>>,
    _running: Running,
}

struct State<E: Engine> {
    queue: FairQueue,
    idle: Vec<Batcher<E>>,
    stopping: bool,
}

/// Decodes one batch.
pub(super) struct Batcher<E: Engine> {
    session: E::Session,
    /// The windows in the batch, by their keys in the session.
    windows: BTreeMap<u64, BatchedWindow<E>>,
    next_key: u64,
}

/// A window in the batch, with what is needed to decode it again from its start.
struct BatchedWindow<E: Engine> {
    job: JobId,
    encoded: E::Encoded,
    options: Arc<DecodeOptions>,
    reply: Reply<WindowTranscript>,
}

impl<E: Engine> Batchers<E> {
    pub(super) fn new(
        engine: E,
        count: usize,
        batch_size: usize,
        shared: Arc<Shared>,
        running: Running,
    ) -> Self {
        let idle = (0..count).map(|_| Batcher::default()).collect();
        let state = Mutex::new(State { queue: FairQueue::default(), idle, stopping: false });
        Self { engine, batch_size, shared, state, _running: running }
    }

    /// Puts a request into the queue. Gives an idle batcher to be run, if there is one.
    pub(super) fn enqueue(&self, request: Request) -> Option<Batcher<E>> {
        let mut state = self.state();
        if state.stopping {
            request.operation.refuse(RecognizerError::Stopping);
            return None;
        }
        state.queue.push(request.job, request);
        state.idle.pop()
    }

    /// Refuses the queued requests, and all later ones.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        for request in state.queue.drain() {
            request.operation.refuse(RecognizerError::Stopping);
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.state().queue.len()
    }

    /// The next request of a job that is `wanted` and whose receiver was not dropped.
    fn next(&self, wanted: impl Fn(JobId) -> bool) -> Option<Request> {
        let mut state = self.state();
        // Removes all abandoned requests: each holds a slot that another request may wait for.
        state.queue.retain(|request| !request.operation.is_abandoned());
        state.queue.pop_if(wanted)
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a window, and counts it if it was transcribed.
    fn transcribed(&self, reply: Reply<WindowTranscript>, result: Result<WindowTranscript, RecognizerError>) {
        self.shared.transcribed.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
        answer(reply, result);
    }
}

impl<E: Engine> Default for Batcher<E> {
    fn default() -> Self {
        Self { session: E::Session::default(), windows: BTreeMap::new(), next_key: 0 }
    }
}

impl<E: Engine> Batcher<E> {
    /// Works until there is nothing to do. Call this on a thread of the pool.
    pub(super) fn run(mut self, batchers: Arc<Batchers<E>>) {
        self.remove_abandoned(&batchers.engine);
        if let Some(request) = self.next(&batchers) {
            self.admit(&batchers, request);
        } else if !self.windows.is_empty() {
            self.step(&batchers);
        } else {
            let mut state = batchers.state();
            if state.queue.len() == 0 {
                state.idle.push(self);
                return;
            }
        }
        rayon::spawn(move || self.run(batchers));
    }

    /// Removes windows whose receivers were dropped from the batch.
    fn remove_abandoned(&mut self, engine: &E) {
        let session = &mut self.session;
        self.windows.retain(|key, window| {
            let abandoned = window.reply.is_closed();
            if abandoned {
                tracing::debug!(job = %window.job, "nobody waits for a window any more: its decoding is given up");
                engine.remove(session, *key);
            }
            !abandoned
        });
    }

    /// The request to admit before the next token, if there is room for one.
    fn next(&self, batchers: &Batchers<E>) -> Option<Request> {
        let has_no_window = |job| self.windows.values().all(|window| window.job != job);
        match self.windows.len().checked_sub(batchers.batch_size) {
            None => batchers.next(|_| true),
            Some(extra) => batchers.next(|job| extra < EXTRA_WINDOWS && has_no_window(job)),
        }
    }

    /// Encodes a window. Then detects its language and answers, or adds it to the batch.
    fn admit(&mut self, batchers: &Batchers<E>, Request { job, input, operation, .. }: Request) {
        let engine = &batchers.engine;
        let encoded = match input.computed::<E::Encoded>() {
            Some(encoded) => Ok(encoded.clone()),
            None => catch_panic(|| engine.encode(input.window())),
        };
        let encoded = match encoded {
            Ok(encoded) => encoded,
            Err(error) => return operation.refuse(error),
        };
        if operation.is_abandoned() {
            return;
        }
        match operation {
            Operation::Detect(reply) => {
                let languages = catch_panic(|| engine.detect_language(&encoded));
                input.keep(encoded);
                answer(reply, languages);
            }
            Operation::Transcribe(options, reply) => {
                self.start_decoding(batchers, BatchedWindow { job, encoded, options, reply })
            }
        }
    }

    fn start_decoding(&mut self, batchers: &Batchers<E>, window: BatchedWindow<E>) {
        let key = self.next_key;
        self.next_key += 1;
        let session = &mut self.session;
        let started = catch_panic(|| batchers.engine.add(session, key, &window.encoded, &window.options));
        match started.and_then(|started| started.map_err(|error| RecognizerError::Refused(error.to_string())))
        {
            Ok(()) => {
                self.windows.insert(key, window);
            }
            Err(error) => answer(window.reply, Err(error)),
        }
    }

    /// Decodes one token of all windows. After a panic, each window is decoded again alone, so that only the one that
    /// causes the panic fails.
    fn step(&mut self, batchers: &Batchers<E>) {
        let session = &mut self.session;
        match catch_panic(|| batchers.engine.step(session)) {
            Ok(done) => {
                for (key, transcript) in done {
                    if let Some(window) = self.windows.remove(&key) {
                        batchers.transcribed(window.reply, Ok(transcript));
                    }
                }
            }
            Err(error) => {
                self.session = E::Session::default();
                let mut windows: Vec<BatchedWindow<E>> =
                    std::mem::take(&mut self.windows).into_values().collect();
                if let [_] = windows[..] {
                    windows.drain(..).for_each(|window| answer(window.reply, Err(error.clone())));
                }
                for window in windows {
                    if let Some(transcript) = decode_alone(&batchers.engine, &window).transpose() {
                        batchers.transcribed(window.reply, transcript);
                    }
                }
            }
        }
    }
}

/// Decodes one window to its end. `None` if its receiver was dropped.
fn decode_alone<E: Engine>(
    engine: &E,
    window: &BatchedWindow<E>,
) -> Result<Option<WindowTranscript>, RecognizerError> {
    if window.reply.is_closed() {
        return Ok(None);
    }
    let mut session = E::Session::default();
    let started = catch_panic(|| engine.add(&mut session, 0, &window.encoded, &window.options))?;
    started.map_err(|error| RecognizerError::Refused(error.to_string()))?;
    while !window.reply.is_closed() {
        let done = catch_panic(|| engine.step(&mut session))?;
        if let Some((_, transcript)) = done.into_iter().next() {
            return Ok(Some(transcript));
        }
    }
    Ok(None)
}

/// Runs a function and turns a panic into [`RecognizerError::Panicked`].
fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, RecognizerError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| RecognizerError::Panicked(panic_text(panic.as_ref())))
}

/// Sends an answer; ignores a receiver that was dropped.
fn answer<T>(reply: Reply<T>, result: Result<T, RecognizerError>) {
    if reply.send(result).is_err() {
        tracing::debug!("nobody waits for a window any more");
    }
}

/// The message of a panic, if it has one.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
        .to_owned()
}

impl Operation {
    /// Whether the receiver of the answer was dropped.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Detect(reply) => reply.is_closed(),
            Self::Transcribe(_, reply) => reply.is_closed(),
        }
    }

    fn refuse(self, error: RecognizerError) {
        match self {
            Self::Detect(reply) => answer(reply, Err(error)),
            Self::Transcribe(_, reply) => answer(reply, Err(error)),
        }
    }
}

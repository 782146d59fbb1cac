//! What the engine's threads do: take a window in, take all a token further, answer. A window whose answer nobody
//! waits for any more is given up before the next of these.
//!
//! A batcher never holds its thread for longer than one window's encoding or one token: it goes on as a new task
//! of the pool, and with nothing left to do it is laid aside. So a thread without a batch of its own is free to
//! help the others.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use verbatim_speech::{DecodeOptions, WindowTranscript};

use super::queue::FairQueue;
use super::{Ask, Engine, Reply, Request, Shared};
use crate::jobs::JobId;
use crate::recognizer::RecognizerError;
use crate::signals::Running;

/// Windows that may join a full batch, each of a job that has none in it: a short recording does not wait until
/// windows of long ones are done. So few cost the others little time and memory.
const GUESTS: usize = 2;

/// The engine, what waits for it, and the batchers that rest.
pub(super) struct Batchers<E: Engine> {
    engine: E,
    /// Windows that a batcher decodes beside each other.
    room: usize,
    shared: Arc<Shared>,
    state: Mutex<State<E>>,
    _running: Running,
}

struct State<E: Engine> {
    queue: FairQueue,
    resting: Vec<Batcher<E>>,
    stopping: bool,
}

/// One batch.
pub(super) struct Batcher<E: Engine> {
    session: E::Session,
    held: BTreeMap<u64, Held<E>>,
    next_key: u64,
}

/// A window in the batch, with all that is needed to begin it again.
struct Held<E: Engine> {
    job: JobId,
    encoded: E::Encoded,
    options: Arc<DecodeOptions>,
    reply: Reply<WindowTranscript>,
}

impl<E: Engine> Batchers<E> {
    pub(super) fn new(engine: E, count: usize, room: usize, shared: Arc<Shared>, running: Running) -> Self {
        let resting = (0..count).map(|_| Batcher::default()).collect();
        let state = Mutex::new(State { queue: FairQueue::default(), resting, stopping: false });
        Self { engine, room, shared, state, _running: running }
    }

    /// Puts a request into the queue; gives a batcher to be set to work, if one rests.
    pub(super) fn take_in(&self, request: Request) -> Option<Batcher<E>> {
        let mut state = self.state();
        if state.stopping {
            request.ask.refuse(RecognizerError::Stopping);
            return None;
        }
        state.queue.push(request.job, request);
        state.resting.pop()
    }

    /// Refuses the requests that wait, and all that come from now on.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        for request in state.queue.drain() {
            request.ask.refuse(RecognizerError::Stopping);
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.state().queue.len()
    }

    /// The next request that is wanted and that somebody still waits for.
    fn next(&self, wanted: impl Fn(JobId) -> bool) -> Option<Request> {
        let mut state = self.state();
        // Also those that would not be served next: they take places that others wait for.
        state.queue.retain(|request| !request.ask.is_abandoned());
        state.queue.pop_if(wanted)
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn transcribed(&self, reply: Reply<WindowTranscript>, result: Result<WindowTranscript, RecognizerError>) {
        self.shared.transcribed.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
        answer(reply, result);
    }
}

impl<E: Engine> Default for Batcher<E> {
    fn default() -> Self {
        Self { session: E::Session::default(), held: BTreeMap::new(), next_key: 0 }
    }
}

impl<E: Engine> Batcher<E> {
    /// Works until nothing is left to do. To be called on a thread of the pool.
    pub(super) fn run(mut self, batchers: Arc<Batchers<E>>) {
        self.give_up_abandoned(&batchers.engine);
        if let Some(request) = self.next(&batchers) {
            self.admit(&batchers, request);
        } else if !self.held.is_empty() {
            self.step(&batchers);
        } else {
            let mut state = batchers.state();
            if state.queue.len() == 0 {
                state.resting.push(self);
                return;
            }
        }
        rayon::spawn(move || self.run(batchers));
    }

    /// Windows that nobody waits for any more make room for others.
    fn give_up_abandoned(&mut self, engine: &E) {
        let session = &mut self.session;
        self.held.retain(|key, held| {
            let abandoned = held.reply.is_closed();
            if abandoned {
                tracing::debug!(job = %held.job, "nobody waits for a window any more: its decoding is given up");
                engine.remove(session, *key);
            }
            !abandoned
        });
    }

    /// What to take in before the next token, if there is room for it.
    fn next(&self, batchers: &Batchers<E>) -> Option<Request> {
        let is_guest = |job| self.held.values().all(|held| held.job != job);
        match self.held.len().checked_sub(batchers.room) {
            None => batchers.next(|_| true),
            Some(guests) => batchers.next(|job| guests < GUESTS && is_guest(job)),
        }
    }

    /// Encodes a window, and answers or begins to decode it.
    fn admit(&mut self, batchers: &Batchers<E>, Request { job, input, ask, .. }: Request) {
        let engine = &batchers.engine;
        let encoded = match input.computed::<E::Encoded>() {
            Some(encoded) => Ok(encoded.clone()),
            None => caught(|| engine.encode(input.window())),
        };
        let encoded = match encoded {
            Ok(encoded) => encoded,
            Err(error) => return ask.refuse(error),
        };
        if ask.is_abandoned() {
            return;
        }
        match ask {
            Ask::Detect(reply) => {
                let languages = caught(|| engine.detect_language(&encoded));
                input.keep(encoded);
                answer(reply, languages);
            }
            Ask::Transcribe(options, reply) => self.begin(batchers, Held { job, encoded, options, reply }),
        }
    }

    fn begin(&mut self, batchers: &Batchers<E>, held: Held<E>) {
        let key = self.next_key;
        self.next_key += 1;
        let session = &mut self.session;
        let begun = caught(|| batchers.engine.add(session, key, &held.encoded, &held.options));
        match begun.and_then(|begun| begun.map_err(|error| RecognizerError::Refused(error.to_string()))) {
            Ok(()) => {
                self.held.insert(key, held);
            }
            Err(error) => answer(held.reply, Err(error)),
        }
    }

    /// Takes all windows a token further. After a panic each is decoded again alone, so that only the guilty one
    /// fails.
    fn step(&mut self, batchers: &Batchers<E>) {
        let session = &mut self.session;
        match caught(|| batchers.engine.step(session)) {
            Ok(done) => {
                for (key, transcript) in done {
                    if let Some(held) = self.held.remove(&key) {
                        batchers.transcribed(held.reply, Ok(transcript));
                    }
                }
            }
            Err(error) => {
                self.session = E::Session::default();
                let mut held: Vec<Held<E>> = std::mem::take(&mut self.held).into_values().collect();
                if let [_] = held[..] {
                    held.drain(..).for_each(|held| answer(held.reply, Err(error.clone())));
                }
                for held in held {
                    if let Some(transcript) = alone(&batchers.engine, &held).transpose() {
                        batchers.transcribed(held.reply, transcript);
                    }
                }
            }
        }
    }
}

/// Decodes one window to its end; `None` once nobody waits for it any more.
fn alone<E: Engine>(engine: &E, held: &Held<E>) -> Result<Option<WindowTranscript>, RecognizerError> {
    if held.reply.is_closed() {
        return Ok(None);
    }
    let mut session = E::Session::default();
    let begun = caught(|| engine.add(&mut session, 0, &held.encoded, &held.options))?;
    begun.map_err(|error| RecognizerError::Refused(error.to_string()))?;
    while !held.reply.is_closed() {
        let done = caught(|| engine.step(&mut session))?;
        if let Some((_, transcript)) = done.into_iter().next() {
            return Ok(Some(transcript));
        }
    }
    Ok(None)
}

fn caught<T>(run: impl FnOnce() -> T) -> Result<T, RecognizerError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| RecognizerError::Panicked(panic_text(panic.as_ref())))
}

fn answer<T>(reply: Reply<T>, result: Result<T, RecognizerError>) {
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

    fn refuse(self, error: RecognizerError) {
        match self {
            Self::Detect(reply) => answer(reply, Err(error)),
            Self::Transcribe(_, reply) => answer(reply, Err(error)),
        }
    }
}

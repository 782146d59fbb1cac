//! The engine's own threads: windows of all jobs wait in one queue, are taken in turn from each job, decoded
//! beside each other and answered one by one.
//!
//! Every thread has a batch that windows join as soon as another has left it. What goes wrong on one window, a
//! panic included, is that window's answer and nobody else's.

mod batcher;
mod queue;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use verbatim_speech::{DecodeOptions, LanguageProbabilities, Window, WindowTranscript};
use verbatim_whisper::{Encoded, Error, Session, Transcriber};

use self::batcher::Batchers;
use crate::job::JobId;
use crate::signals::{Alive, Running};

/// Requests that may wait before whoever sends one more has to wait, too.
const WAITING: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferenceError {
    /// The engine refuses what it was asked, for example a language that the model does not know.
    #[error("{0}")]
    Refused(String),
    #[error("The engine failed on a stretch of the recording (an internal error: {0}).")]
    Panicked(String),
    /// The service shuts down: ask again after its start.
    #[error("The engine takes no more work because the service is shutting down.")]
    Stopping,
    #[error("The engine is not running any more; restart the service.")]
    Gone,
}

/// What the threads need of an engine: the transcriber, or in tests one that can be made to fail.
pub trait Engine: Send + Sync + 'static {
    /// Windows that are decoded together.
    type Session: Default + Send + 'static;

    fn is_multilingual(&self) -> bool;
    fn encode(&self, window: &Window) -> Encoded;
    fn detect_language(&self, encoded: &Encoded) -> LanguageProbabilities;
    fn add(
        &self,
        session: &mut Self::Session,
        key: u64,
        encoded: &Encoded,
        options: &DecodeOptions,
    ) -> Result<(), Error>;
    /// Gives up a window; the others go on.
    fn remove(&self, session: &mut Self::Session, key: u64);
    fn step(&self, session: &mut Self::Session) -> Vec<(u64, WindowTranscript)>;
}

impl Engine for Transcriber {
    type Session = Session;

    fn is_multilingual(&self) -> bool {
        self.model().is_multilingual()
    }

    fn encode(&self, window: &Window) -> Encoded {
        Transcriber::encode(self, window)
    }

    fn detect_language(&self, encoded: &Encoded) -> LanguageProbabilities {
        Transcriber::detect_language(self, encoded)
    }

    fn add(
        &self,
        session: &mut Session,
        key: u64,
        encoded: &Encoded,
        options: &DecodeOptions,
    ) -> Result<(), Error> {
        Transcriber::add(self, session, key, encoded, options)
    }

    fn remove(&self, session: &mut Session, key: u64) {
        session.remove(key);
    }

    fn step(&self, session: &mut Session) -> Vec<(u64, WindowTranscript)> {
        Transcriber::step(self, session)
    }
}

/// How much is done at once.
#[derive(Debug, Clone, Copy)]
pub struct Parallelism {
    pub threads: NonZeroUsize,
    /// Windows decoded beside each other, over all threads.
    pub batch_size: NonZeroUsize,
}

/// A window on its way through the engine: as sound, or as what the encoder made of it.
#[derive(Debug)]
pub enum Speech {
    Window(Window),
    Encoded(Encoded),
}

/// One window of one job, and what to do with it.
#[derive(Debug)]
struct Request {
    job: JobId,
    speech: Speech,
    ask: Ask,
    /// Its place among those that may wait.
    _place: OwnedSemaphorePermit,
}

type Reply<T> = oneshot::Sender<Result<T, InferenceError>>;

#[derive(Debug)]
enum Ask {
    Detect(Reply<(Encoded, LanguageProbabilities)>),
    Transcribe(Arc<DecodeOptions>, Reply<WindowTranscript>),
}

/// What handles and threads share.
#[derive(Debug, Default)]
struct Shared {
    /// Windows decoded since the start.
    transcribed: AtomicU64,
}

/// Takes requests to the engine, whichever it is.
trait Submit: Send + Sync {
    fn submit(&self, request: Request);
    /// Refuses the requests that wait, and all that come from now on.
    fn stop(&self);
    /// Requests in the queue.
    fn queued(&self) -> usize;
}

/// Asks the engine. Clones ask the same one; it ends once all of them are gone.
#[derive(Clone)]
pub struct Inference {
    requests: Arc<dyn Submit>,
    places: Arc<Semaphore>,
    shared: Arc<Shared>,
    alive: Alive,
    multilingual: bool,
    batch_size: usize,
}

impl fmt::Debug for Inference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inference").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// The engine with threads of its own.
struct Threads<E: Engine> {
    batchers: Arc<Batchers<E>>,
    pool: ThreadPool,
}

impl<E: Engine> Submit for Threads<E> {
    fn submit(&self, request: Request) {
        if let Some(batcher) = self.batchers.take_in(request) {
            let batchers = self.batchers.clone();
            self.pool.spawn(move || batcher.run(batchers));
        }
    }

    fn stop(&self) {
        self.batchers.stop();
    }

    fn queued(&self) -> usize {
        self.batchers.queued()
    }
}

impl Inference {
    /// Gives the engine threads of its own.
    pub fn start(engine: impl Engine, parallelism: Parallelism) -> Result<Self, ThreadPoolBuildError> {
        let threads = parallelism.threads.get();
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("engine-{index}"))
            .build()?;
        let shared = Arc::new(Shared::default());
        let running = Running::default();
        let alive = running.watch();
        let multilingual = engine.is_multilingual();
        let batch_size = parallelism.batch_size.get();
        let room = batch_size.div_ceil(threads);
        let batchers = Arc::new(Batchers::new(engine, threads, room, shared.clone(), running));
        Ok(Self {
            requests: Arc::new(Threads { batchers, pool }),
            places: Arc::new(Semaphore::new(WAITING)),
            shared,
            alive,
            multilingual,
            batch_size,
        })
    }

    /// A probability for every language, and the encoded window for [`transcribe`](Self::transcribe).
    pub async fn detect(
        &self,
        job: JobId,
        window: Window,
    ) -> Result<(Encoded, LanguageProbabilities), InferenceError> {
        let (reply, answer) = oneshot::channel();
        self.ask(job, Speech::Window(window), Ask::Detect(reply), answer).await
    }

    pub async fn transcribe(
        &self,
        job: JobId,
        speech: Speech,
        options: Arc<DecodeOptions>,
    ) -> Result<WindowTranscript, InferenceError> {
        let (reply, answer) = oneshot::channel();
        self.ask(job, speech, Ask::Transcribe(options, reply), answer).await
    }

    async fn ask<T>(
        &self,
        job: JobId,
        speech: Speech,
        ask: Ask,
        answer: oneshot::Receiver<Result<T, InferenceError>>,
    ) -> Result<T, InferenceError> {
        // Only a stop closes the semaphore.
        let place = self.places.clone().acquire_owned().await.map_err(|_| InferenceError::Stopping)?;
        self.requests.submit(Request { job, speech, ask, _place: place });
        answer.await.unwrap_or(Err(InferenceError::Gone))
    }

    /// False for models that only know English.
    pub fn is_multilingual(&self) -> bool {
        self.multilingual
    }

    /// Windows that are decoded beside each other: what a job alone has to send to keep the engine busy.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Answers everything that waits, and all that is asked from now on, with [`InferenceError::Stopping`] at once.
    /// Windows that the engine has begun are decoded to their end and answered.
    pub fn stop(&self) {
        self.places.close();
        self.requests.stop();
    }

    /// Requests that wait for room in a batch. Those that wait for a place among them are not counted.
    pub fn queued(&self) -> usize {
        self.requests.queued()
    }

    /// Tells whether the engine still runs.
    pub fn alive(&self) -> Alive {
        self.alive.clone()
    }

    /// Windows decoded since the start.
    pub fn windows_transcribed(&self) -> u64 {
        self.shared.transcribed.load(Ordering::Relaxed)
    }
}

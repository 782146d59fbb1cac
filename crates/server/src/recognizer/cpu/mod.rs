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

use async_trait::async_trait;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use verbatim_speech::{DecodeOptions, LanguageProbabilities, Window, WindowTranscript};
use verbatim_whisper::{Encoded, Error, Session, Transcriber};

use self::batcher::Batchers;
use super::{Recognizer, RecognizerError, RecognizerInput, RecognizerModel};
use crate::jobs::JobId;
use crate::signals::{Liveness, Running};

/// Requests that may wait before whoever sends one more has to wait, too.
const WAITING: usize = 64;

/// What the threads need of an engine: the transcriber, or in tests one that can be made to fail.
pub trait Engine: Send + Sync + 'static {
    /// Windows that are decoded together.
    type Session: Default + Send + 'static;
    /// What the encoder makes of a window: both the language and the text come from it.
    type Encoded: Clone + Send + Sync + 'static;
    /// Why a window is not decoded.
    type Error: fmt::Display;

    fn encode(&self, window: &Window) -> Self::Encoded;
    fn detect_language(&self, encoded: &Self::Encoded) -> LanguageProbabilities;
    fn add(
        &self,
        session: &mut Self::Session,
        key: u64,
        encoded: &Self::Encoded,
        options: &DecodeOptions,
    ) -> Result<(), Self::Error>;
    /// Gives up a window; the others go on.
    fn remove(&self, session: &mut Self::Session, key: u64);
    fn step(&self, session: &mut Self::Session) -> Vec<(u64, WindowTranscript)>;
}

impl Engine for Transcriber {
    type Session = Session;
    type Encoded = Encoded;
    type Error = Error;

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

/// One window of one job, and what to do with it.
#[derive(Debug)]
struct Request {
    job: JobId,
    input: Arc<RecognizerInput>,
    ask: Ask,
    /// Its place among those that may wait.
    _place: OwnedSemaphorePermit,
}

type Reply<T> = oneshot::Sender<Result<T, RecognizerError>>;

#[derive(Debug)]
enum Ask {
    Detect(Reply<LanguageProbabilities>),
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

/// Our engine on threads of its own. Clones ask the same one; it ends once all of them are gone.
#[derive(Clone)]
pub struct CpuRecognizer {
    requests: Arc<dyn Submit>,
    places: Arc<Semaphore>,
    shared: Arc<Shared>,
    liveness: Liveness,
    model: RecognizerModel,
    batch_size: usize,
}

impl fmt::Debug for CpuRecognizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuRecognizer").field("shared", &self.shared).finish_non_exhaustive()
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

impl CpuRecognizer {
    /// Gives the engine threads of its own.
    pub fn start(
        engine: impl Engine,
        model: RecognizerModel,
        parallelism: Parallelism,
    ) -> Result<Self, ThreadPoolBuildError> {
        let threads = parallelism.threads.get();
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("engine-{index}"))
            .build()?;
        let shared = Arc::new(Shared::default());
        let running = Running::default();
        let liveness = running.watch();
        let batch_size = parallelism.batch_size.get();
        let room = batch_size.div_ceil(threads);
        let batchers = Arc::new(Batchers::new(engine, threads, room, shared.clone(), running));
        Ok(Self {
            requests: Arc::new(Threads { batchers, pool }),
            places: Arc::new(Semaphore::new(WAITING)),
            shared,
            liveness,
            model,
            batch_size,
        })
    }

    async fn ask<T>(
        &self,
        job: JobId,
        input: Arc<RecognizerInput>,
        ask: Ask,
        answer: oneshot::Receiver<Result<T, RecognizerError>>,
    ) -> Result<T, RecognizerError> {
        // Only a stop closes the semaphore.
        let place = self.places.clone().acquire_owned().await.map_err(|_| RecognizerError::Stopping)?;
        self.requests.submit(Request { job, input, ask, _place: place });
        answer.await.unwrap_or(Err(RecognizerError::Gone))
    }

    /// Requests that wait for room in a batch. Those that wait for a place among them are not counted.
    pub fn queued(&self) -> usize {
        self.requests.queued()
    }

    /// Windows decoded since the start.
    pub fn windows_transcribed(&self) -> u64 {
        self.shared.transcribed.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Recognizer for CpuRecognizer {
    fn model(&self) -> &RecognizerModel {
        &self.model
    }

    fn capacity(&self) -> usize {
        self.batch_size
    }

    async fn detect(
        &self,
        job: JobId,
        input: Arc<RecognizerInput>,
    ) -> Result<LanguageProbabilities, RecognizerError> {
        let (reply, answer) = oneshot::channel();
        self.ask(job, input, Ask::Detect(reply), answer).await
    }

    async fn transcribe(
        &self,
        job: JobId,
        input: Arc<RecognizerInput>,
        options: Arc<DecodeOptions>,
    ) -> Result<WindowTranscript, RecognizerError> {
        let (reply, answer) = oneshot::channel();
        self.ask(job, input, Ask::Transcribe(options, reply), answer).await
    }

    fn stop(&self) {
        self.places.close();
        self.requests.stop();
    }

    fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }
}

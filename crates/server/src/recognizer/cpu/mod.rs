//! Runs our engine on threads of its own. Windows of all jobs wait in one queue, are taken in turn from each job,
//! decoded together and answered one by one.
//!
//! Each thread has a batch; a window joins as soon as another has left. An error on one window, or a panic, is the
//! answer of that window and does not affect others.

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

/// The most requests in the queue. Callers with further requests wait until there is a slot.
const MAX_QUEUED: usize = 64;

/// What the threads need from an engine: the [`Transcriber`], or in tests an engine that can be made to fail.
pub trait Engine: Send + Sync + 'static {
    /// Windows that are decoded together.
    type Session: Default + Send + 'static;
    /// The output of the encoder for a window, from which both the language and the text are decoded.
    type Encoded: Clone + Send + Sync + 'static;
    /// Why a window is not decoded.
    type Error: fmt::Display;

    /// Runs the encoder on a window.
    fn encode(&self, window: &Window) -> Self::Encoded;
    /// A probability for each language.
    fn detect_language(&self, encoded: &Self::Encoded) -> LanguageProbabilities;
    /// Adds a window to a session. `key` is unique in it.
    fn add(
        &self,
        session: &mut Self::Session,
        key: u64,
        encoded: &Self::Encoded,
        options: &DecodeOptions,
    ) -> Result<(), Self::Error>;
    /// Removes a window from a session; the others continue.
    fn remove(&self, session: &mut Self::Session, key: u64);
    /// Decodes one token of each window. Gives the windows that are done, by their keys.
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

/// How much is computed at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Parallelism {
    pub threads: NonZeroUsize,
    /// The number of windows that are decoded together, over all threads.
    pub batch_size: NonZeroUsize,
}

/// One window of one job, and the operation on it.
#[derive(Debug)]
struct Request {
    job: JobId,
    input: Arc<RecognizerInput>,
    operation: Operation,
    /// Its slot in the queue.
    _slot: OwnedSemaphorePermit,
}

/// Sends the answer to a request.
type Reply<T> = oneshot::Sender<Result<T, RecognizerError>>;

#[derive(Debug)]
enum Operation {
    Detect(Reply<LanguageProbabilities>),
    Transcribe(Arc<DecodeOptions>, Reply<WindowTranscript>),
}

/// What recognizers and threads share.
#[derive(Debug, Default)]
struct Shared {
    /// The number of windows decoded since the start.
    transcribed: AtomicU64,
}

/// Passes requests to the engine, independent of its type.
trait Submit: Send + Sync {
    /// Queues a request.
    fn submit(&self, request: Request);
    /// Refuses the queued requests, and all later ones.
    fn stop(&self);
    /// The number of requests in the queue.
    fn queued(&self) -> usize;
}

/// Our engine on threads of its own. Clones share it; its threads end when the last clone is dropped.
#[derive(Clone)]
pub struct CpuRecognizer {
    requests: Arc<dyn Submit>,
    slots: Arc<Semaphore>,
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
        if let Some(batcher) = self.batchers.enqueue(request) {
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
    /// Starts the threads of an engine. Fails if they cannot be created.
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
        let batcher_size = batch_size.div_ceil(threads);
        let batchers = Arc::new(Batchers::new(engine, threads, batcher_size, shared.clone(), running));
        Ok(Self {
            requests: Arc::new(Threads { batchers, pool }),
            slots: Arc::new(Semaphore::new(MAX_QUEUED)),
            shared,
            liveness,
            model,
            batch_size,
        })
    }

    /// Queues a request and waits for its answer.
    async fn request<T>(
        &self,
        job: JobId,
        input: Arc<RecognizerInput>,
        operation: Operation,
        answer: oneshot::Receiver<Result<T, RecognizerError>>,
    ) -> Result<T, RecognizerError> {
        // Only `stop` closes the semaphore.
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| RecognizerError::Stopping)?;
        self.requests.submit(Request { job, input, operation, _slot: slot });
        answer.await.unwrap_or(Err(RecognizerError::Gone))
    }

    /// The number of requests in the queue, without those that wait for a slot in it.
    pub fn queued(&self) -> usize {
        self.requests.queued()
    }

    /// The number of windows decoded since the start.
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
        self.request(job, input, Operation::Detect(reply), answer).await
    }

    async fn transcribe(
        &self,
        job: JobId,
        input: Arc<RecognizerInput>,
        options: Arc<DecodeOptions>,
    ) -> Result<WindowTranscript, RecognizerError> {
        let (reply, answer) = oneshot::channel();
        self.request(job, input, Operation::Transcribe(options, reply), answer).await
    }

    fn stop(&self) {
        self.slots.close();
        self.requests.stop();
    }

    fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }
}

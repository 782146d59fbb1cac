//! The engine's own thread: windows of all jobs come in by a bounded queue, are taken in turn from each
//! job, computed in batches and answered one by one.
//!
//! What goes wrong on one window, a panic included, is that window's answer and nobody else's.

mod queue;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};
use verbatim_whisper::{
    DecodeRequest, Encoded, Error, LanguageProbabilities, Options, Transcriber, Window, WindowTranscript,
};

use crate::job::JobId;
use crate::signals::{Alive, Running};

/// Windows that are computed together. More than a few gain little on a CPU and make everybody wait.
pub const BATCH: usize = 4;

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

/// What the thread needs of an engine: the transcriber, or in tests one that can be made to fail.
pub trait Engine: Send + 'static {
    fn is_multilingual(&self) -> bool;
    fn encode(&self, windows: &[&Window]) -> Vec<Encoded>;
    fn detect_language(&self, windows: &[&Encoded]) -> Vec<LanguageProbabilities>;
    fn decode(&self, requests: &[DecodeRequest<'_>]) -> Result<Vec<WindowTranscript>, Error>;
}

impl Engine for Transcriber {
    fn is_multilingual(&self) -> bool {
        self.model().is_multilingual()
    }

    fn encode(&self, windows: &[&Window]) -> Vec<Encoded> {
        Transcriber::encode(self, windows)
    }

    fn detect_language(&self, windows: &[&Encoded]) -> Vec<LanguageProbabilities> {
        Transcriber::detect_language(self, windows)
    }

    fn decode(&self, requests: &[DecodeRequest<'_>]) -> Result<Vec<WindowTranscript>, Error> {
        Transcriber::decode(self, requests)
    }
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
}

type Reply<T> = oneshot::Sender<Result<T, InferenceError>>;

#[derive(Debug)]
enum Ask {
    Detect(Reply<(Encoded, LanguageProbabilities)>),
    Transcribe(Arc<Options>, Reply<WindowTranscript>),
}

/// What handles and thread share.
#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    /// Windows decoded since the start.
    transcribed: AtomicU64,
}

/// Asks the engine. Clones ask the same one; it ends once all of them are gone.
#[derive(Debug, Clone)]
pub struct Inference {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
    alive: Alive,
    multilingual: bool,
}

impl Inference {
    /// Gives the engine a thread of its own.
    pub fn start(engine: impl Engine) -> std::io::Result<Self> {
        let (requests, receiver) = mpsc::channel(WAITING);
        let shared = Arc::new(Shared::default());
        let running = Running::default();
        let handle = Self {
            requests,
            shared: shared.clone(),
            alive: running.watch(),
            multilingual: engine.is_multilingual(),
        };
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let _running = running;
            thread::run(&engine, receiver, &shared);
        })?;
        Ok(handle)
    }

    /// A probability for every language, and the encoded window for [`transcribe`](Self::transcribe).
    pub async fn detect(
        &self,
        job: JobId,
        window: Window,
    ) -> Result<(Encoded, LanguageProbabilities), InferenceError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request { job, speech: Speech::Window(window), ask: Ask::Detect(reply) }, answer).await
    }

    pub async fn transcribe(
        &self,
        job: JobId,
        speech: Speech,
        options: Arc<Options>,
    ) -> Result<WindowTranscript, InferenceError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request { job, speech, ask: Ask::Transcribe(options, reply) }, answer).await
    }

    async fn ask<T>(
        &self,
        request: Request,
        answer: oneshot::Receiver<Result<T, InferenceError>>,
    ) -> Result<T, InferenceError> {
        self.requests.send(request).await.map_err(|_| InferenceError::Gone)?;
        answer.await.unwrap_or(Err(InferenceError::Gone))
    }

    /// False for models that only know English.
    pub fn is_multilingual(&self) -> bool {
        self.multilingual
    }

    /// Ends the batch that is being computed; everything that waits is told [`InferenceError::Stopping`].
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// Tells whether the engine's thread still runs.
    pub fn alive(&self) -> Alive {
        self.alive.clone()
    }

    /// Windows decoded since the start.
    pub fn windows_transcribed(&self) -> u64 {
        self.shared.transcribed.load(Ordering::Relaxed)
    }
}

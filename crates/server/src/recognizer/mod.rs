//! Speech recognition: turns windows of audio into text. A trait over plain data, and its implementation.
//!
//! The inputs and outputs (windows, options, transcripts) can be stored and sent. So a recognizer may also use another
//! family of models, another processor or another machine. [`cpu`] is our own engine on the processors of this machine.

pub mod cpu;
mod pool;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use verbatim_speech::{DecodeOptions, Language, LanguageProbabilities, Window, WindowTranscript};

pub use self::pool::{PoolError, PoolLimits, RecognizerLease, RecognizerPool, RecognizerSource};
use crate::jobs::JobId;
use crate::signals::Liveness;

/// Why a window was not transcribed, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecognizerError {
    /// The request is invalid, for example its language is one that the model does not know.
    #[error("{0}")]
    Refused(String),
    /// The engine panicked on this window.
    #[error("The engine failed on a stretch of the recording (an internal error: {0}).")]
    Panicked(String),
    /// The service is shutting down; try again after its restart.
    #[error("The engine takes no more work because the service is shutting down.")]
    Stopping,
    /// The threads of the engine have ended.
    #[error("The engine is not running any more; restart the service.")]
    Gone,
}

/// The model that a recognizer transcribes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecognizerModel {
    /// The name in results and log lines.
    pub name: String,
    /// Identifies everything that a transcript depends on: model files, precision, version. Windows of different
    /// fingerprints are not mixed in one transcript.
    pub fingerprint: String,
    /// The languages that the model knows.
    pub languages: Arc<[Language]>,
}

impl RecognizerModel {
    /// The language of the model, if it knows only one.
    pub fn only_language(&self) -> Option<Language> {
        match *self.languages {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// Turns windows into text. Many jobs call it concurrently; the recognizer decides which windows are computed together.
#[async_trait]
pub trait Recognizer: fmt::Debug + Send + Sync + 'static {
    /// The model that it transcribes with.
    fn model(&self) -> &RecognizerModel;

    /// The number of windows that are transcribed together: what a single job has to send to keep the recognizer busy.
    fn capacity(&self) -> usize;

    /// Detects the language of a window: a probability for each language. `job` is the job of the window; jobs take
    /// turns.
    async fn detect(
        &self,
        job: JobId,
        input: Arc<RecognizerInput>,
    ) -> Result<LanguageProbabilities, RecognizerError>;

    /// Transcribes a window. The transcript depends only on the window and the options, so that an interrupted job ends
    /// with the same words. Dropping the future cancels the window.
    async fn transcribe(
        &self,
        job: JobId,
        input: Arc<RecognizerInput>,
        options: Arc<DecodeOptions>,
    ) -> Result<WindowTranscript, RecognizerError>;

    /// Answers all waiting and all later requests with [`RecognizerError::Stopping`] at once. Windows that are being
    /// transcribed are finished and answered.
    fn stop(&self);

    /// Tells whether the recognizer still runs.
    fn liveness(&self) -> Liveness;
}

/// A window and a cache of what a recognizer has computed for it: detecting the language and transcribing may share the
/// output of the encoder.
pub struct RecognizerInput {
    window: Window,
    computed: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl RecognizerInput {
    /// Wraps a window.
    pub fn new(window: Window) -> Arc<Self> {
        Arc::new(Self { window, computed: OnceLock::new() })
    }

    /// The window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// The cached value, if there is one and it is of this type: see [`Self::keep`].
    pub fn computed<T: 'static>(&self) -> Option<&T> {
        self.computed.get()?.downcast_ref()
    }

    /// Caches a value as long as the window. A second value is dropped.
    pub fn keep<T: Send + Sync + 'static>(&self, computed: T) {
        let _ = self.computed.set(Box::new(computed));
    }
}

impl fmt::Debug for RecognizerInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecognizerInput").field("window", &self.window.index).finish_non_exhaustive()
    }
}

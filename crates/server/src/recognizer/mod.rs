//! Who turns windows into text: a trait over plain data, and what stands behind it.
//!
//! Everything that goes in and comes out can be stored and sent: windows, options, transcripts. So a recognizer may as
//! well be another family of models, another processor or another machine. [`cpu`] is our own engine on this one.

pub mod cpu;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use verbatim_speech::{DecodeOptions, Language, LanguageProbabilities, Window, WindowTranscript};

use crate::jobs::JobId;
use crate::signals::Liveness;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecognizerError {
    /// It refuses what it was asked, for example a language that the model does not know.
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

/// The model that a recognizer transcribes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecognizerModel {
    /// What results and log lines call it.
    pub name: String,
    /// Different for every model file, precision or version that words may differ by: windows that were transcribed
    /// under another fingerprint are not mixed into a transcript.
    pub fingerprint: String,
    /// Those that it knows.
    pub languages: Arc<[Language]>,
}

impl RecognizerModel {
    /// The language of every recording, where the model knows but one.
    pub fn only_language(&self) -> Option<Language> {
        match *self.languages {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// Turns windows into text. Cheap calls from many jobs at once; the recognizer decides what is computed together.
#[async_trait]
pub trait Recognizer: fmt::Debug + Send + Sync + 'static {
    fn model(&self) -> &RecognizerModel;

    /// Windows that are transcribed beside each other: what a job alone has to send to keep the recognizer busy.
    fn capacity(&self) -> usize;

    /// A probability for every language. `job` says whose window it is: jobs take turns.
    async fn detect(
        &self,
        job: JobId,
        input: Arc<RecognizerInput>,
    ) -> Result<LanguageProbabilities, RecognizerError>;

    /// What is said in a window. Depends on the window and the options alone, so that a job that was interrupted ends
    /// with the same words. Dropping the future gives the window up.
    async fn transcribe(
        &self,
        job: JobId,
        input: Arc<RecognizerInput>,
        options: Arc<DecodeOptions>,
    ) -> Result<WindowTranscript, RecognizerError>;

    /// Answers everything that waits, and all that is asked from now on, with [`RecognizerError::Stopping`] at once.
    /// Windows that have been begun are transcribed to their end and answered.
    fn stop(&self);

    /// Tells whether it still works.
    fn liveness(&self) -> Liveness;
}

/// A window on its way through a recognizer, with room for what that has computed of it: the language of a window is
/// detected before it is transcribed, and both may need the same.
pub struct RecognizerInput {
    window: Window,
    computed: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl RecognizerInput {
    pub fn new(window: Window) -> Arc<Self> {
        Arc::new(Self { window, computed: OnceLock::new() })
    }

    pub fn window(&self) -> &Window {
        &self.window
    }

    /// What was [kept](Self::keep), if it is of this type.
    pub fn computed<T: 'static>(&self) -> Option<&T> {
        self.computed.get()?.downcast_ref()
    }

    /// Keeps what was computed as long as the window. The first counts.
    pub fn keep<T: Send + Sync + 'static>(&self, computed: T) {
        let _ = self.computed.set(Box::new(computed));
    }
}

impl fmt::Debug for RecognizerInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecognizerInput").field("window", &self.window.index).finish_non_exhaustive()
    }
}

//! One job's way: media -> windows of speech -> segments -> structure -> result.
//!
//! Every window is stored as it ends. A job that was interrupted reads its media again, which is quick,
//! and computes only what is not stored yet.

mod assemble;
mod decoding;
mod progress;
mod source;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rayon::ThreadPoolBuilder;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use verbatim_whisper::{Options, Vad, Window, WindowTranscript};

use self::assemble::detected;
pub(crate) use self::assemble::{Recording, assemble};
pub(crate) use self::decoding::{Decoding, Place};
use self::progress::{DETECTING, Done, STRUCTURING, TRANSCRIBING};
pub(crate) use self::source::{Event, Source};
use crate::files::Uploads;
use crate::inference::{Inference, InferenceError};
use crate::media::MediaError;
use crate::store::{Claim, JobStore, MAX_ATTEMPTS, STARTED, StoreError, StoredWindow};
use crate::structure::Structurer;

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The job cannot be done. A sentence for whoever sent it.
    #[error("{0}")]
    Job(String),
    /// Told to stop; what is done is stored.
    #[error("the job was stopped before its end")]
    Stopped,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<MediaError> for PipelineError {
    fn from(error: MediaError) -> Self {
        Self::Job(error.to_string())
    }
}

impl From<InferenceError> for PipelineError {
    fn from(error: InferenceError) -> Self {
        match error {
            InferenceError::Stopping | InferenceError::Gone => Self::Stopped,
            InferenceError::Refused(_) | InferenceError::Panicked(_) => Self::Job(error.to_string()),
        }
    }
}

/// What a job ends with.
#[derive(Debug)]
pub struct Finished {
    /// The contract's `result` object, as JSON.
    pub result: String,
    /// The moment that the result names.
    pub at: Timestamp,
}

/// What jobs are worked on with.
#[derive(Debug)]
pub struct Pipeline {
    pub store: Arc<dyn JobStore>,
    pub uploads: Uploads,
    pub inference: Inference,
    pub vad: Arc<Vad>,
    /// The name of the model that the engine runs.
    pub whisper: String,
    pub structurer: Structurer,
    pub max_media_duration: Duration,
    /// How to decode what does not ask for anything else.
    pub options: Options,
}

impl Pipeline {
    /// Does a job to its end, or until `stop`: then windows that the engine has already are waited for
    /// and stored.
    pub async fn run(&self, claim: &Claim, stop: &CancellationToken) -> Result<Finished, PipelineError> {
        let stored = self.store.windows(claim.job.id).await?;
        let mut run =
            Run { pipeline: self, claim, stop, done: Done::new(claim.job.duration), transcribed: 0 };
        run.say(STARTED).await?;
        let source = Source {
            path: self.uploads.path(claim.job.id),
            max_duration: self.max_media_duration,
            vad: self.vad.clone(),
            known: stored.iter().map(|window| window.index).collect::<HashSet<_>>(),
        };
        let mut events = source
            .start()
            .map_err(|error| PipelineError::Job(format!("No thread could be started: {error}.")))?;
        // Whoever was here before has detected the language.
        let known = detected(&stored);
        let resumed = !stored.is_empty();
        drop(stored);
        let options = claim.job.wishes.over(&self.options);
        let mut decoding = Decoding::new(self.inference.clone(), claim.job.id, options, known);
        run.transcribe(&mut events, &mut decoding).await?;
        run.say(STRUCTURING).await?;
        // The attempts before this last one had nothing left to do but this, and did not come back from it.
        let hopeless = claim.attempt >= MAX_ATTEMPTS && resumed && run.transcribed == 0;
        let structurer = Some(self.structurer.clone()).filter(|_| !hopeless);
        self.assemble(claim, structurer).await
    }

    /// From the store alone, see [`assemble`]; on a thread for that.
    async fn assemble(
        &self,
        claim: &Claim,
        structurer: Option<Structurer>,
    ) -> Result<Finished, PipelineError> {
        let job = &claim.job;
        let windows = self.store.windows(job.id).await?;
        let recording = Recording {
            job: job.id,
            filename: job.filename.clone(),
            file_size: job.file_size,
            file_type: job.file_type,
            language: job.wishes.language,
            task: job.wishes.task.unwrap_or(self.options.task),
            whisper: self.whisper.clone(),
            structurer,
        };
        let at = Timestamp::now();
        let write = move || serde_json::to_string(&assemble(recording, &windows, at));
        let result = spawn_blocking(|| in_own_pool(write)).await;
        let result =
            result.map_err(|error| error.to_string()).and_then(|json| json.map_err(|e| e.to_string()));
        let result = result
            .map_err(|error| PipelineError::Job(format!("The result cannot be written down: {error}.")))?;
        Ok(Finished { result, at })
    }
}

/// On threads of its own: in a pool that all share, a short transcript's work would wait behind a long one's.
fn in_own_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match ThreadPoolBuilder::new().build() {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}

/// A job under way.
struct Run<'a> {
    pipeline: &'a Pipeline,
    claim: &'a Claim,
    stop: &'a CancellationToken,
    done: Done,
    /// Windows that this attempt has transcribed.
    transcribed: usize,
}

impl Run<'_> {
    async fn say(&self, step: &str) -> Result<(), StoreError> {
        self.pipeline.store.set_progress(&self.claim.lease, &self.done.progress(step)).await
    }

    /// Transcribes and stores every window that is not stored yet.
    async fn transcribe(
        &mut self,
        events: &mut mpsc::Receiver<Event>,
        decoding: &mut Decoding,
    ) -> Result<(), PipelineError> {
        let mut at_end = false;
        if !decoding.is_undecided() {
            self.say(TRANSCRIBING).await?;
        }
        loop {
            if decoding.can_detect(at_end) {
                self.say(DETECTING).await?;
                decoding.detect().await?;
                self.say(TRANSCRIBING).await?;
            }
            let take_more = !at_end && decoding.has_room() && !self.stop.is_cancelled();
            tokio::select! {
                event = events.recv(), if take_more => {
                    if let Some(window) = self.take(event, &mut at_end)? {
                        decoding.push(window);
                    }
                }
                Some((place, transcript)) = decoding.next() => self.keep(place, transcript?).await?,
                () = self.stop.cancelled(), if take_more => {}
                else => break,
            }
        }
        if at_end { Ok(()) } else { Err(PipelineError::Stopped) }
    }

    /// A window to transcribe, if that is what the source has brought.
    fn take(&mut self, event: Option<Event>, at_end: &mut bool) -> Result<Option<Window>, PipelineError> {
        match event {
            Some(Event::Window { index, end, window, read }) => {
                self.done.read(read);
                if window.is_none() {
                    self.done.window(index, end);
                }
                Ok(window)
            }
            Some(Event::End { read, damage }) => {
                if let Some(damage) = damage {
                    tracing::warn!(job = %self.claim.job.id, "{damage} What comes before is kept.");
                }
                self.done.read_all(read);
                *at_end = true;
                Ok(None)
            }
            Some(Event::Failed(error)) => Err(error.into()),
            None => Err(PipelineError::Job("Reading the sound broke off (an internal error).".to_owned())),
        }
    }

    async fn keep(&mut self, place: Place, transcript: WindowTranscript) -> Result<(), StoreError> {
        let Place { index, start, end } = place;
        tracing::debug!(job = %self.claim.job.id, window = index, start, end, "window transcribed");
        self.done.window(index, end);
        self.transcribed += 1;
        let window = StoredWindow { index, start, end, transcript };
        let progress = self.done.progress(TRANSCRIBING);
        self.pipeline.store.store_window(&self.claim.lease, &window, &progress).await
    }
}

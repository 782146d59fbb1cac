//! One job's way: media -> windows of speech -> segments -> structure -> result.
//!
//! Every window is stored as it ends. A job that was interrupted reads its media again, which is quick,
//! and computes only what is not stored yet.

mod assemble;
mod decoding;
mod fingerprint;
mod progress;
mod source;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rayon::ThreadPoolBuilder;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use verbatim_media::MediaError;
use verbatim_whisper::{Options, Vad, Window, WindowTranscript};

pub(crate) use self::assemble::{Recording, assemble};
pub(crate) use self::decoding::{Decoding, Place};
use self::fingerprint::{fingerprint, model_of};
use self::progress::{DETECTING, Done, STRUCTURING, TRANSCRIBING};
pub(crate) use self::source::{Event, Source};
use crate::files::Uploads;
use crate::inference::{Inference, InferenceError};
use crate::store::{Claim, JobStore, Lease, MAX_STRIKES, STARTED, StoreError, StoreResult, StoredWindow};
use crate::structure::Structurer;

/// What is said of a transcript that is not structured any more.
const HOPELESS: &str = "The transcript was not structured: the service ended each time that it tried.";

/// What is said of a transcript that ends before its recording does.
const PARTIAL: &str = "The transcript was not structured, for the job failed before its end.";

/// Between two tries of a write that may pass.
const RETRY_DELAY: Duration = Duration::from_millis(500);

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
    /// Different for every model file and precision that words may differ by.
    pub model_hash: String,
    pub structurer: Structurer,
    pub max_media_duration: Duration,
    /// How to decode what does not ask for anything else.
    pub options: Options,
}

impl Pipeline {
    /// Does a job to its end, or until `stop`: then windows that the engine has begun are waited for
    /// and stored.
    pub async fn run(&self, claim: &Claim, stop: &CancellationToken) -> Result<Finished, PipelineError> {
        let (job, lease) = (&claim.job, &claim.lease);
        let options = job.wishes.over(&self.options);
        let fingerprint = fingerprint(&self.whisper, &self.model_hash, &options)
            .map_err(|error| PipelineError::Job(format!("The options cannot be written down: {error}.")))?;
        let checkpoint = retried(|| self.store.checkpoint(lease, &fingerprint)).await?;
        if checkpoint.discarded > 0 {
            tracing::warn!(
                job = %job.id, windows = checkpoint.discarded,
                "the stored windows were made with another model or other options; the job starts anew"
            );
        }
        let resumed = !checkpoint.windows.is_empty();
        let mut run = Run { pipeline: self, claim, stop, done: Done::new(job.duration), transcribed: 0 };
        run.say(STARTED).await?;
        let source = Source {
            path: self.uploads.path(job.id),
            tracks: job.tracks.clone(),
            max_duration: self.max_media_duration,
            vad: self.vad.clone(),
            known: checkpoint.windows,
        };
        let mut events = source
            .start()
            .map_err(|error| PipelineError::Job(format!("No thread could be started: {error}.")))?;
        let mut decoding = Decoding::new(self.inference.clone(), job.id, options, checkpoint.language);
        run.transcribe(&mut events, &mut decoding).await?;
        run.say(STRUCTURING).await?;
        // Earlier starts had nothing left to do but this, and took the process down with them.
        let hopeless = claim.strikes + 1 >= MAX_STRIKES && resumed && run.transcribed == 0;
        let structurer = if hopeless { Err(HOPELESS) } else { Ok(self.structurer.clone()) };
        self.assemble(claim, &self.whisper, structurer).await
    }

    /// What a job has that will not come to its end, in the form of a result, without structure; `None` where that is
    /// nothing.
    pub async fn partial(&self, claim: &Claim) -> Result<Option<String>, PipelineError> {
        if self.store.windows(claim.job.id).await?.is_empty() {
            return Ok(None);
        }
        // A job that is given up was not started here, so its windows may be another model's.
        let not_started = claim.fingerprint.as_deref().filter(|_| claim.strikes >= MAX_STRIKES);
        let whisper = not_started.map_or(self.whisper.as_str(), model_of);
        Ok(Some(self.assemble(claim, whisper, Err(PARTIAL)).await?.result))
    }

    /// From the store alone, see [`assemble`]; on a thread for that.
    async fn assemble(
        &self,
        claim: &Claim,
        whisper: &str,
        structurer: Result<Structurer, &'static str>,
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
            whisper: whisper.to_owned(),
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
    fn lease(&self) -> &Lease {
        &self.claim.lease
    }

    async fn say(&self, step: &str) -> StoreResult<()> {
        let progress = self.done.progress(step);
        retried(|| self.pipeline.store.set_progress(self.lease(), &progress, Timestamp::now())).await
    }

    /// Transcribes and stores every window that is not stored yet. At a stop, what the engine has begun is stored before
    /// this returns.
    async fn transcribe(
        &mut self,
        events: &mut mpsc::Receiver<Event>,
        decoding: &mut Decoding,
    ) -> Result<(), PipelineError> {
        let (mut at_end, mut stopped) = (false, false);
        if !decoding.is_undecided() {
            self.say(TRANSCRIBING).await?;
        }
        loop {
            if decoding.can_detect(at_end) {
                self.say(DETECTING).await?;
                let (language, begun) = decoding.detect().await?;
                retried(|| self.pipeline.store.decide_language(self.lease(), language)).await?;
                self.begin(&begun).await?;
                self.say(TRANSCRIBING).await?;
            }
            let take_more = !at_end && decoding.has_room() && !stopped && !self.stop.is_cancelled();
            tokio::select! {
                event = events.recv(), if take_more => {
                    let window = self.take(event, &mut at_end)?;
                    if let Some(place) = window.and_then(|window| decoding.push(window)) {
                        self.begin(&[place]).await?;
                    }
                }
                Some((place, transcript)) = decoding.next() => match transcript {
                    Ok(transcript) => self.keep(place, transcript).await?,
                    // It had not been begun; others have.
                    Err(InferenceError::Stopping) => stopped = true,
                    Err(error) => return Err(error.into()),
                },
                () = self.stop.cancelled(), if take_more => {}
                else => break,
            }
        }
        if at_end && !stopped { Ok(()) } else { Err(PipelineError::Stopped) }
    }

    /// Notes that the engine has these windows.
    async fn begin(&self, places: &[Place]) -> StoreResult<()> {
        for Place { index, start, end } in places {
            let begin = || self.pipeline.store.begin_window(self.lease(), *index, *start, *end);
            retried(begin).await?;
        }
        Ok(())
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

    async fn keep(&mut self, place: Place, transcript: WindowTranscript) -> StoreResult<()> {
        let Place { index, start, end } = place;
        tracing::debug!(job = %self.claim.job.id, window = index, start, end, "window transcribed");
        self.done.window(index, end);
        self.transcribed += 1;
        let window = StoredWindow { index, start, end, transcript };
        let progress = self.done.progress(TRANSCRIBING);
        let store = &self.pipeline.store;
        retried(|| store.store_window(self.lease(), &window, &progress, Timestamp::now())).await
    }
}

/// Tries again while the database has no room or does not answer, so that nothing that was computed is lost. The lease
/// ends it: whoever is not heard of for long has lost the job.
pub(crate) async fn retried<T, F>(mut write: impl FnMut() -> F) -> StoreResult<T>
where
    F: Future<Output = StoreResult<T>>,
{
    loop {
        match write().await {
            Err(error) if error.may_pass() => {
                tracing::warn!("a job waits for the database: {error}");
                sleep(RETRY_DELAY).await;
            }
            other => return other,
        }
    }
}

//! One job: its upload transcribed, structured and put together. Every window is stored as it ends. A job that was
//! interrupted reads its media again, which is quick, and computes only what is not stored yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rayon::ThreadPoolBuilder;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use verbatim_media::MediaError;
use verbatim_speech::{DecodeOptions, Language, WindowTranscript};
use verbatim_structure::Structurer;
use verbatim_vad::Vad;

use super::analysis::Analysis;
use super::assemble::{Recording, assemble};
use super::channels::{Before, Part, channels};
use super::decoding::Place;
use super::detection::detect;
use super::error::PipelineError;
use super::fingerprint::{fingerprint, model_of};
use super::progress::{DETECTING, Done, LOADING, STRUCTURING, TRANSCRIBING};
use super::source::Source;
use super::transcribe::{Ended, Sink, Transcribing, Transcription};
use super::upload_sound::SharedUpload;
use crate::blobs::Blobs;
use crate::jobs::Job;
use crate::jobs::options::Channels;
use crate::recognizer::{Recognizer, RecognizerPool};
use crate::signals::Notifier;
use crate::store::{
    Analyses, Claim, JobStore, Lease, MAX_STRIKES, Progress, STARTED, StoreResult, StoredWindow,
};

/// What is said of a transcript that is not structured any more.
const UNSTRUCTURED: &str = "The transcript was not structured: the service ended each time that it tried.";

/// What is said of a transcript that ends before its recording does.
const PARTIAL: &str = "The transcript was not structured, for the job failed before its end.";

/// Between two tries of a write that may pass.
const RETRY_DELAY: Duration = Duration::from_millis(500);

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
    pub blobs: Arc<dyn Blobs>,
    pub recognizers: RecognizerPool,
    pub vad: Arc<Vad>,
    pub structurer: Structurer,
    /// What is found out about windows besides their words.
    pub analyses: Vec<Arc<dyn Analysis>>,
    pub max_media_duration: Duration,
    /// Notified of every event of a job that is under way.
    pub changed: Notifier,
    /// How to decode what does not ask for anything else.
    pub options: DecodeOptions,
}

impl Pipeline {
    /// Does a job to its end, or until `stop`: then windows that the engine has begun are waited for
    /// and stored.
    pub async fn run(&self, claim: &Claim, stop: &CancellationToken) -> Result<Finished, PipelineError> {
        let (job, lease) = (&claim.job, &claim.lease);
        let options = job.options.over(&self.options);
        let model = self.model_of(job);
        if !self.recognizers.loaded().iter().any(|loaded| loaded == model) {
            let progress = Progress { percentage: 0, step: LOADING.to_owned() };
            retried(|| self.store.set_progress(lease, &progress, Timestamp::now())).await?;
        }
        let acquired = stop.run_until_cancelled(self.recognizers.acquire(model)).await;
        let acquired = acquired.ok_or(PipelineError::Stopped)??;
        let recognizer = acquired.recognizer();
        let fingerprint = fingerprint(recognizer.model(), &options, &self.analyses)
            .map_err(|error| PipelineError::Job(format!("The options cannot be written down: {error}.")))?;
        let checkpoint = retried(|| self.store.checkpoint(lease, &fingerprint, Timestamp::now())).await?;
        if checkpoint.discarded > 0 {
            tracing::warn!(
                job = %job.id, windows = checkpoint.discarded,
                "the stored windows were made with another model or other options; the job starts anew"
            );
        }
        let resumed = !checkpoint.windows.is_empty();
        let mut run = Run {
            pipeline: self,
            claim,
            done: Done::new(job.duration),
            before: Before::default(),
            is_last_part: true,
            transcribed: 0,
            found: HashMap::new(),
        };
        run.report(STARTED).await?;
        let upload = self.blobs.open(job.id).await;
        let upload =
            upload.map_err(|error| PipelineError::Job(format!("The file could not be opened: {error}.")))?;
        let upload = Arc::new(upload);
        let parts = self.parts(job, &upload).await?;
        run.done = Done::new(job.duration.map(|seconds| seconds * parts.len() as f64));
        for (position, part) in parts.iter().enumerate() {
            run.is_last_part = position + 1 == parts.len();
            let detected = match part.channel {
                None => checkpoint.language,
                Some(_) if options.language.is_some() => None,
                Some(_) if recognizer.model().only_language().is_some() => None,
                Some(_) => self.language_of(part, recognizer.as_ref(), job, &upload).await?,
            };
            let source = Source {
                vad: self.vad.clone(),
                known: checkpoint.windows.clone(),
                analyses: self.analyses.clone(),
            };
            let events = part.start(source, upload.clone(), self.max_media_duration, run.before)?;
            let transcription = Transcription {
                recognizer: recognizer.clone(),
                job: job.id,
                options: options.clone(),
                detected,
                stop: stop.clone(),
            };
            if transcription.run(events, &mut run).await? == Ended::Stopped {
                return Err(PipelineError::Stopped);
            }
        }
        run.report(STRUCTURING).await?;
        // Earlier starts had nothing left to do but this, and took the process down with them.
        let give_up = claim.strikes + 1 >= MAX_STRIKES && resumed && run.transcribed == 0;
        let structurer = if give_up { Err(UNSTRUCTURED) } else { Ok(self.structurer.clone()) };
        drop(acquired);
        self.assemble(claim, model, structurer).await
    }

    /// What is transcribed one after the other.
    async fn parts(&self, job: &Job, upload: &SharedUpload) -> Result<Vec<Part>, MediaError> {
        match (&job.tracks, job.options.channels) {
            (Some(tracks), Some(Channels::Separate)) => {
                channels(upload, tracks, self.max_media_duration).await
            }
            (tracks, _) => Ok(vec![Part { tracks: tracks.clone(), channel: None }]),
        }
    }

    /// The language of a channel, from its first windows, whichever of them are stored: an interrupted job decides as the
    /// one before.
    async fn language_of(
        &self,
        part: &Part,
        recognizer: &dyn Recognizer,
        job: &Job,
        upload: &SharedUpload,
    ) -> Result<Option<Language>, PipelineError> {
        let sound = (upload.clone(), part.tracks.clone(), self.max_media_duration);
        let detected = detect(recognizer, job.id, self.vad.clone(), sound).await?;
        Ok(detected.map(|(language, _)| language))
    }

    /// The name of the model that the job asks for.
    fn model_of<'a>(&'a self, job: &'a Job) -> &'a str {
        job.options.model.as_deref().unwrap_or(self.recognizers.default_name())
    }

    /// What a job has that will not come to its end, in the form of a result, without structure; `None` where that is
    /// nothing.
    pub async fn partial(&self, claim: &Claim) -> Result<Option<String>, PipelineError> {
        if self.store.windows(claim.job.id).await?.is_empty() {
            return Ok(None);
        }
        // A job that is given up was not started here, so its windows may be another model's.
        let not_started = claim.fingerprint.as_deref().filter(|_| claim.strikes >= MAX_STRIKES);
        let whisper = not_started.map_or(self.model_of(&claim.job), model_of);
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
            language: job.options.language,
            task: job.options.task.unwrap_or(self.options.task),
            whisper: whisper.to_owned(),
            structurer,
        };
        let (at, analyses) = (Timestamp::now(), self.analyses.clone());
        let write = move || {
            let cuts = analyses.iter().flat_map(|analysis| analysis.cuts(&windows)).collect();
            serde_json::to_string(&assemble(recording, &windows, cuts, at))
        };
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
    done: Done,
    /// What was read so far.
    before: Before,
    /// Whether nothing is read after the part that is being read.
    is_last_part: bool,
    /// Windows that this attempt has transcribed.
    transcribed: usize,
    /// Where windows whose transcripts are not there yet end, among all that is to be read, and what was found out about
    /// them.
    found: HashMap<usize, (f64, Analyses)>,
}

impl Run<'_> {
    fn lease(&self) -> &Lease {
        &self.claim.lease
    }

    async fn report(&self, step: &str) -> StoreResult<()> {
        let progress = self.done.progress(step);
        retried(|| self.pipeline.store.set_progress(self.lease(), &progress, Timestamp::now())).await?;
        self.pipeline.changed.notify();
        Ok(())
    }

    /// Notes that the recognizer has this window.
    async fn begin(&self, Place { index, start, end }: Place) -> StoreResult<()> {
        retried(|| self.pipeline.store.begin_window(self.lease(), index, start, end)).await
    }

    async fn keep(&mut self, place: Place, transcript: WindowTranscript) -> StoreResult<()> {
        let Place { index, start, end } = place;
        tracing::debug!(job = %self.claim.job.id, window = index, start, end, "window transcribed");
        let (read_until, analyses) = self.found.remove(&index).unwrap_or((end, Analyses::new()));
        self.done.window(index, read_until);
        self.transcribed += 1;
        let window = StoredWindow { index, start, end, transcript, analyses };
        let progress = self.done.progress(TRANSCRIBING);
        let store = &self.pipeline.store;
        retried(|| store.store_window(self.lease(), &window, &progress, Timestamp::now())).await?;
        self.pipeline.changed.notify();
        Ok(())
    }
}

impl Sink for Run<'_> {
    type Error = PipelineError;

    async fn take(&mut self, event: Transcribing) -> Result<(), PipelineError> {
        match event {
            Transcribing::DetectingLanguage => self.report(DETECTING).await?,
            Transcribing::LanguageDetected(language) => {
                retried(|| self.pipeline.store.decide_language(self.lease(), language)).await?;
            }
            Transcribing::Started => self.report(TRANSCRIBING).await?,
            Transcribing::Read(seconds) => self.done.read(seconds),
            Transcribing::Skipped { index, end } => {
                self.before.windows = index + 1;
                self.done.window(index, end);
            }
            Transcribing::Analyzed { index, end, found } => {
                self.before.windows = index + 1;
                self.found.insert(index, (end, found));
            }
            Transcribing::Begun(place) => self.begin(place).await?,
            Transcribing::Transcribed(place, transcript) => self.keep(place, transcript).await?,
            Transcribing::ReadAll { seconds, damage } => {
                if let Some(damage) = damage {
                    tracing::warn!(job = %self.claim.job.id, "{damage} What comes before is kept.");
                }
                self.before.seconds = seconds;
                if self.is_last_part {
                    self.done.read_all(seconds);
                }
            }
        }
        Ok(())
    }
}

/// Tries again while the database has no room or does not answer, so that nothing that was computed is lost. The lease
/// ends it: a worker that does not renew it in time has lost the job.
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

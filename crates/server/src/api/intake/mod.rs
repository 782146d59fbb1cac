//! Makes a job of a request, in any dialect: streams the file to its blob in constant memory, checks the rest of the
//! request, probes the file and stores the job. Cheap checks come first. A refused request leaves no file behind.
//!
//! A dialect defines the names and meanings of its form's fields ([`Fields`]) and renders [`IntakeError`] in its own
//! form.

mod digest;
mod error;
mod fetch;
mod filename;
mod form;
mod keys;
mod prober;
mod receive;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use verbatim_speech::{Language, Task};

pub(super) use self::error::IntakeError;
pub use self::fetch::Fetcher;
pub(super) use self::filename::sanitise;
pub(super) use self::form::STALL_TIMEOUT;
use self::keys::KeyInUse;
pub use self::keys::KeysInUse;
pub use self::prober::Prober;
pub(super) use self::receive::{Fields, Received, linger};
use crate::blobs::{Blob, Blobs};
use crate::jobs::{FileType, Job, JobId, JobOptions, NewJob};
use crate::recognizer::RecognizerPool;
use crate::settings::UploadLimits;
use crate::signals::Notifiers;
use crate::store::{IdempotencyKey, Inserted, JobStore, KEYS_KEPT, KeyedJob};

/// What is needed to make a job of an upload.
#[derive(Debug, Clone)]
pub struct Intake {
    pub store: Arc<dyn JobStore>,
    pub blobs: Arc<dyn Blobs>,
    pub prober: Prober,
    pub limits: UploadLimits,
    /// Options that the job's model does not support are refused.
    pub recognizers: RecognizerPool,
    pub notifiers: Notifiers,
    /// `None` if files are not fetched from addresses.
    pub fetcher: Option<Fetcher>,
    /// The idempotency keys of requests under way.
    pub keys: KeysInUse,
    /// Cancelled when the server begins to stop.
    pub stopping: CancellationToken,
}

/// What a dialect asks of a job besides its options.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Demands {
    /// The only kind of file that is taken.
    pub(super) file_type: Option<FileType>,
    /// The job of the same upload with the same options will do, if it is no older than this.
    pub(super) join: Option<Duration>,
}

/// A job that a request has made, or would have made if there had not been the same before.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) job: Job,
    /// The request's key, in use until its answer is there.
    pub(super) key: Option<KeyInUse>,
}

impl Intake {
    /// Fails with [`IntakeError::UnknownModel`] or [`IntakeError::Invalid`] if the model does not exist or does not
    /// support the options.
    pub(super) async fn check_options(&self, options: &JobOptions) -> Result<(), IntakeError> {
        let name = options.model.as_deref().unwrap_or(self.recognizers.default_name());
        if options.model.is_none() && options.language.is_none() && options.task.is_none() {
            return Ok(());
        }
        let languages = self.recognizers.languages(name).await?;
        if let Some(language) = options.language.filter(|language| !languages.contains(language)) {
            return Err(IntakeError::Invalid(format!(
                "The model {name} does not know the language {language}."
            )));
        }
        if options.task == Some(Task::Translate) && *languages == [Language::ENGLISH] {
            return Err(IntakeError::Invalid(format!(
                "The model {name} knows only English; it cannot translate."
            )));
        }
        Ok(())
    }

    /// Makes the job of an upload. Refuses a file that is not media, or not of the demanded kind.
    pub(super) async fn create<F>(
        &self,
        mut received: Received<F>,
        demands: Demands,
    ) -> Result<Created, IntakeError>
    where
        F: Fields + Into<Submission>,
    {
        let key = received.key.take();
        let idempotency = key
            .as_ref()
            .map(|key| IdempotencyKey { key: key.key.clone(), request_hash: received.request_hash.clone() });
        if let Some(job) = self.earlier(&received, idempotency.as_ref(), demands.join).await? {
            return Ok(Created { job, key });
        }
        let (new, upload) = self.probe(received).await?;
        if let Some(expected) = demands.file_type.filter(|expected| *expected != new.file_type) {
            return Err(wrong_kind(expected));
        }
        // When the client disconnects, this future is dropped. A task of its own still stores the job with its upload.
        let intake = self.clone();
        let stored = tokio::spawn(async move { intake.submit(new, upload, idempotency).await });
        let job = stored.await.map_err(|error| IntakeError::Internal(error.to_string()))??;
        Ok(Created { job, key })
    }

    /// The job that the same request, or one with the same upload and options, has made before.
    async fn earlier<F: Fields>(
        &self,
        received: &Received<F>,
        key: Option<&IdempotencyKey>,
        join: Option<Duration>,
    ) -> Result<Option<Job>, IntakeError> {
        if let Some(key) = key
            && let Some(keyed) = self.store.keyed(&key.key, before_now(KEYS_KEPT)).await?
        {
            return self.job_of(keyed, key).await.map(Some);
        }
        // A request with a key of its own has a job of its own, which the key is stored with.
        let join = join.filter(|_| key.is_none());
        let Some((age, hash)) = join.zip(received.content_hash.as_ref()) else { return Ok(None) };
        match self.store.same_content(hash, &received.fields.options(), before_now(age)).await? {
            Some(id) => Ok(self.store.get(id).await?),
            None => Ok(None),
        }
    }

    /// The job of an earlier request under this key. Fails if that was another request.
    async fn job_of(&self, keyed: KeyedJob, key: &IdempotencyKey) -> Result<Job, IntakeError> {
        if keyed.request_hash != key.request_hash {
            return Err(IntakeError::Invalid(format!(
                "The Idempotency-Key “{}” belongs to another request of the last day; give this one a key of its own.",
                key.key
            )));
        }
        let gone = || IntakeError::Conflict("The job of this Idempotency-Key is being removed.".into());
        self.store.get(keyed.job).await?.ok_or_else(gone)
    }

    /// Probes an upload; refuses a file that is not media. The probe ends early if the server stops or the client
    /// disconnects.
    pub(super) async fn probe<F>(&self, received: Received<F>) -> Result<(NewJob, Box<dyn Blob>), IntakeError>
    where
        F: Fields + Into<Submission>,
    {
        let Received { job, upload, filename, fields, content_hash, .. } = received;
        let track = fields.options().audio_track;
        let probe = self.prober.probe(upload.open()?, self.limits.max_media_duration, track);
        let info = self.stopping.run_until_cancelled(probe).await.ok_or_else(stopping)??;
        let Submission { options, webhook_url } = fields.into();
        let new = NewJob {
            id: job,
            filename,
            file_size: upload.size(),
            file_type: info.file_type,
            duration: info.duration,
            tracks: Some(info.tracks),
            options,
            webhook_url,
            content_hash,
        };
        Ok((new, upload))
    }

    /// Stores the job and hands the upload over to it. Run this in a task of its own, so that it is never cancelled
    /// between the two. Where another process has stored the same request meanwhile, its job is given.
    pub(super) async fn submit(
        &self,
        new: NewJob,
        upload: Box<dyn Blob>,
        key: Option<IdempotencyKey>,
    ) -> Result<Job, IntakeError> {
        let now = Timestamp::now();
        let job = match &key {
            None => self.store.insert(new, now).await?,
            Some(key) => match self.store.insert_once(new, key, before_now(KEYS_KEPT), now).await? {
                Inserted::New(job) => *job,
                Inserted::Earlier(keyed) => return self.job_of(keyed, key).await,
            },
        };
        upload.keep();
        self.notifiers.queued.notify();
        Ok(job)
    }

    /// Cancels a job, unless it has ended. False if it has. Its upload is removed where uploads of ended jobs are.
    pub(super) async fn cancel(&self, job: JobId, sentence: &str) -> Result<bool, IntakeError> {
        if !self.store.cancel(job, sentence, Timestamp::now()).await? {
            return Ok(false);
        }
        self.notifiers.ended.notify();
        Ok(true)
    }
}

fn before_now(age: Duration) -> Timestamp {
    Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN)
}

fn wrong_kind(expected: FileType) -> IntakeError {
    let sentence = match expected {
        FileType::Video => "This is an audio file: send it to /process-audio.",
        FileType::Audio => "This is a video: send it to /process-video.",
    };
    IntakeError::Refused(sentence.into())
}

/// What a client sends besides the file, the same for every dialect.
#[derive(Debug, Default)]
pub(super) struct Submission {
    pub(super) options: JobOptions,
    pub(super) webhook_url: Option<String>,
}

fn stopping() -> IntakeError {
    IntakeError::Unavailable("The server is stopping; send the file again once it is back.".into())
}

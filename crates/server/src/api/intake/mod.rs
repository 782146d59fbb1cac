//! Makes a job of a request, in any dialect: streams the file to its blob in constant memory, checks the rest of the
//! request, probes the file and stores the job. Cheap checks come first. A refused request leaves no file behind.
//!
//! A dialect defines the names and meanings of its form's fields ([`Fields`]) and renders [`IntakeError`] in its own
//! form.

mod error;
mod filename;
mod form;
mod prober;
mod receive;

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use verbatim_speech::{Language, Task};

pub(super) use self::error::IntakeError;
pub(super) use self::filename::sanitise;
pub(super) use self::form::STALL_TIMEOUT;
pub use self::prober::Prober;
pub(super) use self::receive::{Fields, Received, linger};
use crate::blobs::{Blob, Blobs};
use crate::jobs::{Job, JobOptions, NewJob};
use crate::recognizer::RecognizerModel;
use crate::settings::UploadLimits;
use crate::signals::Notifiers;
use crate::store::JobStore;

/// What is needed to make a job of an upload.
#[derive(Debug, Clone)]
pub struct Intake {
    pub store: Arc<dyn JobStore>,
    pub blobs: Arc<dyn Blobs>,
    pub prober: Prober,
    pub limits: UploadLimits,
    /// Options that this model does not support are refused.
    pub model: RecognizerModel,
    pub notifiers: Notifiers,
    /// Cancelled when the server begins to stop.
    pub stopping: CancellationToken,
}

impl Intake {
    /// Fails with [`IntakeError::Invalid`] if the model does not support the options.
    pub(super) fn check_options(&self, options: &JobOptions) -> Result<(), IntakeError> {
        let RecognizerModel { name, languages, .. } = &self.model;
        if let Some(language) = options.language.filter(|language| !languages.contains(language)) {
            return Err(IntakeError::Invalid(format!(
                "The model {name} does not know the language {language}."
            )));
        }
        if options.task == Some(Task::Translate) && **languages == [Language::ENGLISH] {
            return Err(IntakeError::Invalid(format!(
                "The model {name} knows only English; it cannot translate."
            )));
        }
        Ok(())
    }

    /// Probes an upload; refuses a file that is not media. The probe ends early if the server stops or the client
    /// disconnects.
    pub(super) async fn probe<F>(&self, received: Received<F>) -> Result<(NewJob, Box<dyn Blob>), IntakeError>
    where
        F: Fields + Into<Submission>,
    {
        let Received { job, upload, filename, fields } = received;
        let probe = self.prober.probe(upload.open()?, self.limits.max_media_duration);
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
        };
        Ok((new, upload))
    }

    /// Stores the job and hands the upload over to it. Run this in a task of its own, so that it is never cancelled
    /// between the two.
    pub(super) async fn submit(&self, new: NewJob, upload: Box<dyn Blob>) -> Result<Job, IntakeError> {
        let job = self.store.insert(new, Timestamp::now()).await?;
        upload.keep();
        self.notifiers.queued.notify();
        Ok(job)
    }
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

//! Finds out what has become of an upload.

use jiff::Timestamp;

use super::error::UploadError;
use crate::api::intake::Intake;
use crate::blobs::PartialUpload;
use crate::jobs::{Job, JobId};

/// What an id stands for.
#[derive(Debug)]
pub(super) enum Found {
    /// The upload is complete and has become a job.
    Job(Box<Job>),
    /// It is not a job yet. No other request has it open.
    Partial(Box<dyn PartialUpload>),
}

/// Looks for a job first: a crash may have left the partial upload of one.
pub(super) async fn find(intake: &Intake, id: JobId) -> Result<Found, UploadError> {
    let job = async || intake.store.get(id).await.map(|job| job.map(|job| Found::Job(Box::new(job))));
    if let Some(found) = job().await? {
        return Ok(found);
    }
    match intake.blobs.partials().open(id).await.map_err(UploadError::from) {
        Ok(partial) if partial.state().expires <= Timestamp::now() => Err(UploadError::Expired),
        Ok(partial) => Ok(Found::Partial(partial)),
        // It may have become a job while it was waited for.
        Err(UploadError::Unknown) => job().await?.ok_or(UploadError::Unknown),
        Err(error) => Err(error),
    }
}

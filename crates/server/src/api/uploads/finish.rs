//! Makes a job of an upload whose last byte has arrived. Only then is the last request answered.
//!
//! The partial upload is removed after the job is stored, so a process that ends in between loses nothing: the client
//! asks again, or [`finish_uploads`] finishes the upload at the next start.

use super::error::UploadError;
use super::metadata::{self, Metadata};
use crate::api::intake::{Intake, IntakeError, Received};
use crate::blobs::PartialUpload;
use crate::jobs::Job;

/// Probes the upload and stores its job. A file that is refused is removed. After any other error the upload stays, and
/// can be finished later. Goes on if the future is dropped.
pub(super) async fn finish(intake: &Intake, partial: Box<dyn PartialUpload>) -> Result<Job, UploadError> {
    let intake = intake.clone();
    let finishing = tokio::spawn(async move { finish_here(&intake, partial).await });
    Ok(finishing.await.map_err(UploadError::internal)??)
}

/// Finishes the uploads that processes have left complete, but without a job, when they ended.
pub async fn finish_uploads(intake: Intake) {
    let complete = intake.blobs.partials().complete().await.unwrap_or_else(|error| {
        tracing::error!("complete uploads without a job cannot be found: {error}");
        Vec::new()
    });
    for id in complete {
        // A client that asks for its upload may have been first.
        let Ok(partial) = intake.blobs.partials().open(id).await else { continue };
        match finish(&intake, partial).await {
            Ok(_) => tracing::info!(job = %id, "an upload that was complete has become a job"),
            Err(error) => tracing::warn!(upload = %id, "a complete upload has not become a job: {error}"),
        }
    }
}

async fn finish_here(intake: &Intake, partial: Box<dyn PartialUpload>) -> Result<Job, IntakeError> {
    let stored = match intake.store.get(partial.id()).await? {
        Some(job) => Ok(job),
        None => submit(intake, partial.as_ref()).await,
    };
    let is_needed =
        matches!(&stored, Err(error) if !matches!(error, IntakeError::Refused(_) | IntakeError::Invalid(_)));
    if !is_needed {
        let id = partial.id();
        if let Err(error) = partial.remove().await {
            tracing::error!(upload = %id, "what is left of an upload could not be removed: {error}");
        }
    }
    stored
}

async fn submit(intake: &Intake, partial: &dyn PartialUpload) -> Result<Job, IntakeError> {
    let Metadata { filename, parameters } = metadata::parse(intake, &partial.state().metadata)?;
    let upload = partial.finish().await?;
    let received = Received::in_parts(partial.id(), upload, filename, parameters);
    let (new, upload) = intake.probe(received).await?;
    intake.submit(new, upload, None).await
}

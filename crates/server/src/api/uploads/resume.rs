//! `PATCH /uploads/{id}`: sends more bytes of an upload.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::checksum::Checksum;
use super::create::require_length;
use super::error::UploadError;
use super::find::{Found, find};
use super::finish::finish;
use super::headers::{bytes, insert_expiry, require_bytes};
use super::protocol::{UPLOAD_LENGTH, UPLOAD_OFFSET};
use super::transfer::{Arrived, require_fit, transfer};
use super::unread::Unread;
use crate::api::intake::Intake;
use crate::blobs::PartialUpload;
use crate::jobs::{Job, JobId};

pub(super) async fn resume(
    intake: &Intake,
    id: JobId,
    headers: &HeaderMap,
    body: &mut Unread,
) -> Result<Response, UploadError> {
    require_bytes(headers)?;
    let missing = || UploadError::malformed("The header Upload-Offset is missing.");
    let offset = bytes(headers, &UPLOAD_OFFSET)?.ok_or_else(missing)?;
    let length = bytes(headers, &UPLOAD_LENGTH)?;
    let size = bytes(headers, &header::CONTENT_LENGTH)?.unwrap_or_default();
    let checksum = Checksum::of(headers)?;

    let mut partial = match find(intake, id).await? {
        Found::Job(job) => return repeated(&job, offset, size),
        Found::Partial(partial) if partial.state().is_complete() => {
            let job = finish(intake, partial).await?;
            return repeated(&job, offset, size);
        }
        Found::Partial(partial) => partial,
    };
    let expected = partial.state().offset;
    if offset != expected {
        return Err(UploadError::WrongOffset { expected, given: offset });
    }
    if let Some(length) = length {
        declare_length(intake, partial.as_mut(), length).await?;
    }
    require_fit(intake, partial.state().length, offset, size)?;
    intake.blobs.require_room(size)?;

    let (intake, body) = (intake.clone(), body.take());
    let receiving = tokio::spawn(async move { transfer(&intake, partial, body, checksum).await });
    answer(&receiving.await.map_err(UploadError::internal)??)
}

/// The answer to a request for an upload that is complete: a repetition of its last request is none that is wrong.
fn repeated(job: &Job, offset: u64, size: u64) -> Result<Response, UploadError> {
    if offset.saturating_add(size) != job.file_size {
        return Err(UploadError::WrongOffset { expected: job.file_size, given: offset });
    }
    answer(&Arrived { offset: job.file_size, expires: None })
}

/// Sets the size of the whole file, which may not change once it is known.
async fn declare_length(
    intake: &Intake,
    partial: &mut dyn PartialUpload,
    length: u64,
) -> Result<(), UploadError> {
    let state = partial.state();
    if state.length == Some(length) {
        return Ok(());
    }
    if let Some(known) = state.length {
        let sentence = format!("Upload-Length is {length}, but was {known} before; it cannot change.");
        return Err(UploadError::malformed(sentence));
    }
    if length < state.offset {
        let sentence = format!("Upload-Length is {length}, but {} bytes have arrived already.", state.offset);
        return Err(UploadError::malformed(sentence));
    }
    require_length(intake, length)?;
    intake.blobs.require_room(length - state.offset)?;
    Ok(partial.set_length(length).await?)
}

fn answer(arrived: &Arrived) -> Result<Response, UploadError> {
    let mut headers = HeaderMap::new();
    headers.insert(UPLOAD_OFFSET, arrived.offset.into());
    if let Some(expires) = arrived.expires {
        insert_expiry(&mut headers, expires)?;
    }
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

//! `POST /uploads`: begins an upload, with its first bytes in the body if the client likes.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::checksum::Checksum;
use super::error::UploadError;
use super::headers::{bytes, carries_bytes, insert_expiry, text};
use super::metadata;
use super::protocol::{UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET};
use super::transfer::{Arrived, require_fit, too_large, transfer};
use super::unread::Unread;
use crate::api::intake::{Fields, Intake, IntakeError};
use crate::blobs::PartialUpload;
use crate::jobs::JobId;

pub(super) async fn create(
    intake: &Intake,
    headers: &HeaderMap,
    body: &mut Unread,
) -> Result<Response, UploadError> {
    let length = length(intake, headers)?;
    let metadata = text(headers, &UPLOAD_METADATA)?.unwrap_or_default();
    let parsed = metadata::parse(intake, metadata)?;
    intake.check_options(&parsed.parameters.options()).await?;
    let carries_bytes = carries_bytes(headers)?;
    let checksum = Checksum::of(headers)?;
    require_fit(intake, length, 0, bytes(headers, &header::CONTENT_LENGTH)?.unwrap_or_default())?;

    let id = JobId::new();
    let now = Timestamp::now();
    let partial = intake.blobs.partials().create(id, length, metadata.to_owned(), now).await?;
    let mut answer = HeaderMap::new();
    let location = HeaderValue::try_from(format!("/uploads/{id}")).map_err(UploadError::internal)?;
    answer.insert(header::LOCATION, location);
    let Arrived { offset, expires } = match carries_bytes {
        true => first_bytes(intake, partial, body, checksum).await?,
        false => Arrived { offset: 0, expires: Some(partial.state().expires) },
    };
    answer.insert(UPLOAD_OFFSET, offset.into());
    if let Some(expires) = expires {
        insert_expiry(&mut answer, expires)?;
    }
    Ok((StatusCode::CREATED, answer).into_response())
}

/// The size of the whole file; `None` if the client will say later.
fn length(intake: &Intake, headers: &HeaderMap) -> Result<Option<u64>, UploadError> {
    match (bytes(headers, &UPLOAD_LENGTH)?, text(headers, &UPLOAD_DEFER_LENGTH)?) {
        (None, Some("1")) => Ok(None),
        (Some(length), None) => require_length(intake, length).map(|()| Some(length)),
        (None, None) => Err(UploadError::malformed(
            "The size of the file is missing: send it as Upload-Length, or Upload-Defer-Length: 1 to say it later.",
        )),
        (_, Some(_)) => Err(UploadError::malformed(
            "Upload-Defer-Length can only be 1, and only where there is no Upload-Length.",
        )),
    }
}

/// Fails if a file of this size is not taken.
pub(super) fn require_length(intake: &Intake, length: u64) -> Result<(), UploadError> {
    match length {
        0 => Err(IntakeError::Refused("The file is empty.".into()).into()),
        length if length > intake.limits.max_file_size => Err(UploadError::TooLarge(too_large(intake))),
        _ => Ok(()),
    }
}

/// Receives the body. If that fails, nothing is left: the client does not know the address of the upload.
async fn first_bytes(
    intake: &Intake,
    partial: Box<dyn PartialUpload>,
    body: &mut Unread,
    checksum: Option<Checksum>,
) -> Result<Arrived, UploadError> {
    let (intake, body) = (intake.clone(), body.take());
    let receiving = tokio::spawn(async move {
        let id = partial.id();
        let arrived = transfer(&intake, partial, body, checksum).await;
        if arrived.is_err()
            && let Ok(partial) = intake.blobs.partials().open(id).await
            && let Err(error) = partial.remove().await
        {
            tracing::error!(upload = %id, "a refused upload could not be removed: {error}");
        }
        arrived
    });
    receiving.await.map_err(UploadError::internal)?
}

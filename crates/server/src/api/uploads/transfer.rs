//! Writes the body of a request to its upload, in constant memory, and keeps what has arrived of a body that breaks
//! off.

use std::io;
use std::time::Duration;

use axum::body::BodyDataStream;
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::checksum::Checksum;
use super::error::UploadError;
use super::finish::finish;
use crate::api::intake::{Intake, IntakeError, STALL_TIMEOUT, linger};
use crate::blobs::PartialUpload;
use crate::units::format_size;

/// The most bytes that are not durable, and that a crash of the server loses: the client sends them again. Making them
/// durable takes a few milliseconds, however many they are, and the time of writing them to the disk.
const COMMIT_BYTES: u64 = 32 << 20;

/// How long bytes of a slow client are not durable.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// How long a client may be silent until others may have its upload. It is shorter than the time in which clients try
/// again, because a connection that was cut without notice looks like a silent client.
const RELEASE_AFTER: Duration = Duration::from_secs(2);

/// What has become of an upload.
#[derive(Debug)]
pub(super) struct Arrived {
    /// The bytes that are safe on disk.
    pub(super) offset: u64,
    /// `None` once the upload is a job.
    pub(super) expires: Option<Timestamp>,
}

/// Appends a body to an upload, and makes a job of the upload if it is complete then. Run this in a task of its own, so
/// that what has arrived is kept when the client disconnects.
///
/// With a checksum, the bytes count only if all have arrived and have it.
pub(super) async fn transfer(
    intake: &Intake,
    mut partial: Box<dyn PartialUpload>,
    mut body: BodyDataStream,
    checksum: Option<Checksum>,
) -> Result<Arrived, UploadError> {
    if let Err(error) = receive(intake, partial.as_mut(), &mut body, checksum).await {
        linger(body);
        return Err(error);
    }
    let offset = partial.state().offset;
    let expires = match partial.state().is_complete() {
        true => finish(intake, partial).await.map(|_| None)?,
        false => Some(partial.state().expires),
    };
    Ok(Arrived { offset, expires })
}

/// Fails unless `bytes` more fit into the declared length of the upload or, if there is none, into the limit.
pub(super) fn require_fit(
    intake: &Intake,
    length: Option<u64>,
    offset: u64,
    bytes: u64,
) -> Result<(), UploadError> {
    let limit = length.unwrap_or(intake.limits.max_file_size);
    if offset.saturating_add(bytes) <= limit {
        return Ok(());
    }
    Err(UploadError::TooLarge(match length {
        Some(length) => format!("The request has more bytes than the {length} that the upload was to have."),
        None => too_large(intake),
    }))
}

/// The sentence for a file over the limit.
pub(super) fn too_large(intake: &Intake) -> String {
    format!("The file is too large: at most {} are taken.", format_size(intake.limits.max_file_size))
}

async fn receive(
    intake: &Intake,
    partial: &mut dyn PartialUpload,
    body: &mut BodyDataStream,
    mut checksum: Option<Checksum>,
) -> Result<(), UploadError> {
    let read = read(intake, partial, body, checksum.as_mut()).await;
    hold(partial).await?;
    match checksum {
        None => {
            partial.commit(Timestamp::now()).await?;
            read
        }
        Some(checksum) => {
            let checked = read.and_then(|()| match checksum.matches() {
                true => Ok(()),
                false => Err(UploadError::ChecksumMismatch),
            });
            match &checked {
                Ok(()) => partial.commit(Timestamp::now()).await?,
                Err(_) => partial.roll_back().await?,
            }
            checked
        }
    }
}

/// Reads the body to its end. Without a checksum, what has arrived is made durable again and again.
async fn read(
    intake: &Intake,
    partial: &mut dyn PartialUpload,
    body: &mut BodyDataStream,
    mut checksum: Option<&mut Checksum>,
) -> Result<(), UploadError> {
    let superseded = partial.superseded();
    let mut last_chunk = Instant::now();
    let mut last_commit = Instant::now();
    loop {
        let next = tokio::select! {
            biased;
            () = superseded.cancelled() => return Err(UploadError::Superseded),
            () = intake.stopping.cancelled() => return Err(stopping()),
            next = timeout(RELEASE_AFTER, body.next()) => next,
        };
        let chunk = match next {
            Ok(None) => return Ok(()),
            Ok(Some(chunk)) => chunk.map_err(|error| UploadError::BrokeOff(error.to_string()))?,
            Err(_) if last_chunk.elapsed() >= STALL_TIMEOUT => return Err(UploadError::Stalled),
            Err(_) => {
                release(partial, checksum.is_some()).await?;
                continue;
            }
        };
        last_chunk = Instant::now();
        hold(partial).await?;
        require_fit(intake, partial.state().length, partial.written(), chunk.len() as u64)?;
        partial.write(&chunk).await?;
        match &mut checksum {
            Some(checksum) => checksum.update(&chunk),
            None => {
                let is_much = partial.written() - partial.state().offset >= COMMIT_BYTES;
                if is_much || last_commit.elapsed() >= COMMIT_INTERVAL {
                    partial.commit(Timestamp::now()).await?;
                    last_commit = Instant::now();
                }
            }
        }
    }
}

/// Lets others have the upload of a silent client, with all that has arrived, unless that has still to be checked.
async fn release(partial: &mut dyn PartialUpload, has_checksum: bool) -> Result<(), UploadError> {
    if !has_checksum && partial.written() > partial.state().offset {
        partial.commit(Timestamp::now()).await?;
    }
    Ok(partial.release().await?)
}

/// Takes the upload back after it was released.
async fn hold(partial: &mut dyn PartialUpload) -> Result<(), UploadError> {
    partial.hold().await.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => UploadError::Superseded,
        _ => error.into(),
    })
}

fn stopping() -> UploadError {
    IntakeError::Unavailable("The server is stopping; resume the upload once it is back.".into()).into()
}

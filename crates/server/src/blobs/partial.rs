//! Uploads that arrive in several requests, which may be cut off and resumed, also after a restart.

use std::fmt;
use std::io;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Blob;
use crate::jobs::JobId;

/// What is stored of a partial upload besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialState {
    /// The size of the whole file in bytes; `None` if the client has not said yet.
    pub length: Option<u64>,
    /// How many bytes are safe on disk: those before this offset.
    pub offset: u64,
    /// When the upload is given up unless more of it arrives.
    pub expires: Timestamp,
    /// What the client said of the file when it began, for whoever makes a job of the upload. Not read here.
    pub metadata: String,
}

impl PartialState {
    /// Whether all bytes have arrived.
    pub fn is_complete(&self) -> bool {
        self.length == Some(self.offset)
    }

    /// The bytes that are still to come; 0 if the length is not known.
    pub fn missing(&self) -> u64 {
        self.length.unwrap_or_default().saturating_sub(self.offset)
    }
}

/// The partial uploads, each under the id of the job that it becomes. Several processes may use them.
#[async_trait]
pub trait PartialUploads: fmt::Debug + Send + Sync + 'static {
    /// Begins an upload that has no bytes yet. Fails with [`io::ErrorKind::StorageFull`] if the disk has no room for
    /// it besides all that the other partial uploads have still to bring.
    async fn create(
        &self,
        id: JobId,
        length: Option<u64>,
        metadata: String,
        now: Timestamp,
    ) -> io::Result<Box<dyn PartialUpload>>;

    /// Opens an upload to inspect, continue, finish or remove it. Only one request has it open; in this process it is
    /// asked to make way ([`PartialUpload::superseded`]). Fails with [`io::ErrorKind::WouldBlock`] if the other one
    /// does not within seconds, and with [`io::ErrorKind::NotFound`] if there is no such upload.
    async fn open(&self, id: JobId) -> io::Result<Box<dyn PartialUpload>>;

    /// The uploads of which all bytes have arrived, but that were not removed: their process has ended before it made
    /// jobs of them, or could not.
    async fn complete(&self) -> io::Result<Vec<JobId>>;

    /// Removes uploads that have expired, and what a crash has left of others.
    async fn purge_expired(&self, now: Timestamp) -> io::Result<()>;
}

/// A partial upload that is open in one request. Dropping it leaves the upload as the last [`commit`](Self::commit)
/// has stored it.
#[async_trait]
pub trait PartialUpload: fmt::Debug + Send + Sync {
    /// The id of the upload and of its job.
    fn id(&self) -> JobId;

    /// What is safe on disk.
    fn state(&self) -> &PartialState;

    /// The bytes written so far, in this request and before; those behind the stored offset are not safe yet.
    fn written(&self) -> u64;

    /// Cancelled when another request of this process wants the upload. Whoever waits for bytes of a client should end:
    /// the other request most likely comes from the same client, whose connection was cut.
    fn superseded(&self) -> CancellationToken;

    /// Stores the size of the whole file, which was not known before.
    async fn set_length(&mut self, length: u64) -> io::Result<()>;

    /// Appends bytes. Fails with [`io::ErrorKind::StorageFull`] before the disk is completely full. What was written
    /// before an error can still be committed.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes all written bytes durable, then stores the new offset and a new time of expiry. Once this returns, they
    /// survive a crash and a power cut.
    async fn commit(&mut self, now: Timestamp) -> io::Result<()>;

    /// Discards the bytes that were written since the last commit.
    async fn roll_back(&mut self) -> io::Result<()>;

    /// Lets others have the upload, also those of another process, until [`hold`](Self::hold). For a request that waits
    /// for a silent client.
    async fn release(&mut self) -> io::Result<()>;

    /// Takes the upload back after a [`release`](Self::release). Does nothing if it was not released. Fails with
    /// [`io::ErrorKind::WouldBlock`] if another request has it or has changed it.
    async fn hold(&mut self) -> io::Result<()>;

    /// Gives the complete upload as the blob of its job. The upload stays until [`remove`](Self::remove), so that it can
    /// be finished again if the process ends before the job is stored. Dropping the blob without [`Blob::keep`] takes it
    /// back.
    async fn finish(&self) -> io::Result<Box<dyn Blob>>;

    /// Removes the upload; a blob of it that was kept stays.
    async fn remove(self: Box<Self>) -> io::Result<()>;
}

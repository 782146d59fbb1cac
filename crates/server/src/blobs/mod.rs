//! Stores uploads until their job has ended. No other module knows where their bytes are.
//!
//! [`DiskBlobs`] keeps them in a folder. An object store could implement the same trait: readers get an open file,
//! which would then be a local copy.

mod disk;
mod partial;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;

pub use self::disk::{DiskBlobs, ORPHANS_KEPT, RESERVED_BYTES};
pub use self::partial::{PartialState, PartialUpload, PartialUploads};
use crate::jobs::JobId;
use crate::store::{JobStore, StoreError};

/// Why [`Blobs::sweep`] failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stores uploads, one for each job.
#[async_trait]
pub trait Blobs: fmt::Debug + Send + Sync + 'static {
    /// Starts an upload. Fails with [`io::ErrorKind::StorageFull`] if less than [`RESERVED_BYTES`] are free, and with
    /// [`io::ErrorKind::AlreadyExists`] if an upload of this job is being written.
    async fn begin(&self, job: JobId) -> io::Result<Box<dyn BlobWriter>>;

    /// Opens the finished upload of a job for reading.
    async fn open(&self, job: JobId) -> io::Result<OpenBlob>;

    /// Removes the upload of a job that has ended. Does nothing if there is none.
    async fn remove(&self, job: JobId) -> io::Result<()>;

    /// The jobs that have a finished upload.
    async fn jobs(&self) -> io::Result<Vec<JobId>>;

    /// Moves files that belong to no job and to no running upload, as after a crash, to a folder of orphans. Gives the
    /// names of the moved files.
    ///
    /// Safe while other processes receive uploads.
    async fn sweep(&self, store: &dyn JobStore) -> Result<Vec<String>, SweepError>;

    /// Removes orphans that were moved more than [`ORPHANS_KEPT`] before `now`.
    async fn purge_orphans(&self, now: SystemTime) -> io::Result<()>;

    /// The uploads that arrive in several requests and are not complete yet.
    fn partials(&self) -> &dyn PartialUploads;

    /// The free space, in bytes.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Fails with [`io::ErrorKind::StorageFull`] unless `bytes` more would leave [`RESERVED_BYTES`] free.
    fn require_room(&self, bytes: u64) -> io::Result<()>;
}

/// An upload that is being written. Dropping it before [`finish`](Self::finish) removes what was written.
#[async_trait]
pub trait BlobWriter: fmt::Debug + Send {
    /// Appends bytes. Fails with [`io::ErrorKind::StorageFull`] before the disk is completely full.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The bytes written so far.
    fn written(&self) -> u64;

    /// Makes the upload durable. It is still removed if the [`Blob`] is dropped without [`Blob::keep`].
    async fn finish(self: Box<Self>) -> io::Result<Box<dyn Blob>>;
}

/// A complete upload that no job owns yet. Dropping it removes the file, so that a request that ends with an error, a
/// panic or a disconnected client leaves no file behind.
pub trait Blob: fmt::Debug + Send + Sync {
    /// Opens the upload for reading.
    fn open(&self) -> io::Result<OpenBlob>;

    /// The size in bytes.
    fn size(&self) -> u64;

    /// Hands the upload over to its job; from then on [`Blobs::remove`] removes it. Call this after the job is stored,
    /// in the same task, which must not be cancelled between: a sweep handles an upload without a job, but a job
    /// without an upload fails.
    fn keep(self: Box<Self>);
}

/// An upload, open for reading.
#[derive(Debug)]
pub struct OpenBlob(File);

impl OpenBlob {
    /// Wraps an open regular file.
    pub fn new(file: File) -> Self {
        Self(file)
    }

    /// A path under `/proc/self/fd` that opens the file again, from its beginning. Valid in this process, as long as
    /// this value lives, even after the file is renamed or removed.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

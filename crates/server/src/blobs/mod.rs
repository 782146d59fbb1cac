//! Uploads while their job waits and runs. No other room knows where their bytes lie.
//!
//! [`DiskBlobs`] keeps them in a folder. Behind the same trait an object store could: what is read is an open file, which
//! there would be a copy on this machine.

mod disk;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;

pub use self::disk::{DiskBlobs, ORPHANS_KEPT, RESERVED_BYTES};
use crate::jobs::JobId;
use crate::store::{JobStore, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps uploads, one for each job.
#[async_trait]
pub trait Blobs: fmt::Debug + Send + Sync + 'static {
    /// Starts an upload. Fails with [`io::ErrorKind::StorageFull`] if there is no room already.
    async fn begin(&self, job: JobId) -> io::Result<Box<dyn BlobWriter>>;

    /// The finished upload of a job, to be read.
    async fn open(&self, job: JobId) -> io::Result<OpenBlob>;

    /// Removes the upload of a job that has ended; it may be gone already.
    async fn remove(&self, job: JobId) -> io::Result<()>;

    /// The jobs that have a finished upload here.
    async fn jobs(&self) -> io::Result<Vec<JobId>>;

    /// Moves aside what no job and no running upload has a use for, as after a crash, and gives the names of it. Uploads
    /// of jobs that have ended are removed.
    ///
    /// Safe while other processes take uploads.
    async fn sweep(&self, store: &dyn JobStore) -> Result<Vec<String>, SweepError>;

    /// Removes what was set aside more than [`ORPHANS_KEPT`] before `now`.
    async fn purge_orphans(&self, now: SystemTime) -> io::Result<()>;

    /// Bytes that may still be written.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Fails with [`io::ErrorKind::StorageFull`] unless `bytes` more would leave [`RESERVED_BYTES`] free.
    fn require_room(&self, bytes: u64) -> io::Result<()>;
}

/// An upload that is being written. Dropping it before [`finish`](Self::finish) removes what was written.
#[async_trait]
pub trait BlobWriter: fmt::Debug + Send {
    /// Appends. Fails with [`io::ErrorKind::StorageFull`] before there is quite no room.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Bytes so far.
    fn written(&self) -> u64;

    /// Makes the upload durable. It still goes when the [`Blob`] is dropped.
    async fn finish(self: Box<Self>) -> io::Result<Box<dyn Blob>>;
}

/// A whole upload that no job owns yet. Dropping it removes it, so that whatever stops the request on its way to a job,
/// an error, a panic or a client that disconnects, leaves nothing behind.
pub trait Blob: fmt::Debug + Send + Sync {
    fn open(&self) -> io::Result<OpenBlob>;

    /// Bytes.
    fn size(&self) -> u64;

    /// Leaves the upload to its job: from here on [`Blobs::remove`] takes it away. Call it once the job is stored, in
    /// the same uncancellable task: an upload without a job waits for the next sweep, but a job without an upload fails.
    fn keep(self: Box<Self>);
}

/// An upload, open for reading.
#[derive(Debug)]
pub struct OpenBlob(File);

impl OpenBlob {
    /// Takes a regular file.
    pub fn new(file: File) -> Self {
        Self(file)
    }

    /// A path by which this process, as long as it holds this, can open the file anew, whatever it is called and
    /// wherever it lies. Each that opens it reads from the beginning.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

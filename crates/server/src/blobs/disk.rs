//! Uploads as files in a folder. A file is written under the name `{job}.part`, synced, and renamed to `{job}`. Those
//! that arrive in several requests have other names before: see [`partial`].
//!
//! Files are removed on threads for blocking work: on some file systems, removing a file of 10 GB takes seconds.

mod partial;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use self::partial::Holders;
use super::{Blob, BlobWriter, Blobs, OpenBlob, PartialUploads, SweepError};
use crate::jobs::JobId;
use crate::store::JobStore;

/// Bytes that an upload leaves free on the disk, so that the database and the log can still be written.
pub const RESERVED_BYTES: u64 = 256 << 20;

/// The bytes written between two checks of the free space.
const SPACE_CHECK_BYTES: u64 = 16 << 20;

/// The size of the write buffer, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// The suffix of an upload that is being written.
const PART: &str = ".part";
/// The suffix of an upload that is not locked yet.
const UNLOCKED: &str = ".new";

/// How long files that no job needs are kept in the folder of orphans, in case they are needed after all.
pub const ORPHANS_KEPT: Duration = Duration::from_secs(24 * 3600);

/// How long partial uploads are kept after the last of their bytes has arrived, unless the settings say otherwise.
const UPLOAD_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// The folder of uploads, `DATA_DIR/uploads`, and beside it `DATA_DIR/orphans`.
#[derive(Debug, Clone)]
pub struct DiskBlobs {
    dir: PathBuf,
    orphans: PathBuf,
    upload_expiry: Duration,
    holders: Holders,
}

impl DiskBlobs {
    /// Opens the folder, and creates it if it does not exist. Only the owner may enter it.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let blobs = Self::at(data_dir);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&blobs.dir)?;
        Ok(blobs)
    }

    /// Opens the folder if it exists; creates nothing.
    pub fn existing(data_dir: &Path) -> io::Result<Option<Self>> {
        let blobs = Self::at(data_dir);
        Ok(blobs.dir.try_exists()?.then_some(blobs))
    }

    /// Keeps partial uploads for another time than a day after the last of their bytes has arrived.
    #[must_use]
    pub fn with_upload_expiry(self, upload_expiry: Duration) -> Self {
        Self { upload_expiry, ..self }
    }

    fn at(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("uploads"),
            orphans: data_dir.join("orphans"),
            upload_expiry: UPLOAD_EXPIRY,
            holders: Holders::default(),
        }
    }

    /// The same as [`Blobs::jobs`], blocking.
    pub fn list(&self) -> io::Result<Vec<JobId>> {
        let names = fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.file_name()));
        let jobs =
            names.filter_map(|name: io::Result<_>| name.map(|name| JobId::parse(name.to_str()?)).transpose());
        jobs.collect()
    }

    /// The path of the finished upload of a job.
    fn path(&self, job: JobId) -> PathBuf {
        self.dir.join(job.to_string())
    }

    /// Moves a file to the folder of orphans. Its modification time becomes the time of the move.
    fn move_to_orphans(&self, path: &Path, name: &str) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.orphans)?;
        fs::File::options().write(true).open(path)?.set_modified(SystemTime::now())?;
        fs::rename(path, self.orphans.join(name))
    }
}

#[async_trait]
impl Blobs for DiskBlobs {
    async fn begin(&self, job: JobId) -> io::Result<Box<dyn BlobWriter>> {
        self.require_room(0)?;
        let path = self.dir.join(format!("{job}{PART}"));
        // The lock tells `sweep`, of this process or another, that the upload is in progress. So the file is locked
        // before it gets a name that `sweep` considers.
        let unlocked = self.dir.join(format!("{job}{UNLOCKED}"));
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unlocked)?;
        let mut part = RemoveOnDrop::new(unlocked);
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        if path.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        part.rename(path)?;
        let file = tokio::fs::File::from_std(file);
        Ok(Box::new(DiskWriter {
            blobs: self.clone(),
            job,
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            part,
            written: 0,
            next_space_check: SPACE_CHECK_BYTES,
        }))
    }

    async fn open(&self, job: JobId) -> io::Result<OpenBlob> {
        let path = self.path(job);
        let file = spawn_blocking(move || fs::File::open(path)).await.map_err(io::Error::other)??;
        Ok(OpenBlob::new(file))
    }

    async fn remove(&self, job: JobId) -> io::Result<()> {
        let path = self.path(job);
        spawn_blocking(move || remove_if_exists(&path)).await.map_err(io::Error::other)?
    }

    async fn jobs(&self) -> io::Result<Vec<JobId>> {
        let blobs = self.clone();
        spawn_blocking(move || blobs.list()).await.map_err(io::Error::other)?
    }

    /// The file of a running upload is locked, and is unlocked only after its job is stored. So a file that can be
    /// locked and has no unfinished job is not needed. Files with names of another form are not touched.
    async fn sweep(&self, store: &dyn JobStore) -> Result<Vec<String>, SweepError> {
        let mut moved = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Some(job) = JobId::parse(name.strip_suffix(PART).unwrap_or(name)) else { continue };
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let Some(_lock) = lock(&entry.path())? else { continue };
            match store.get(job).await? {
                // Workers remove it once its job has ended and it was kept long enough.
                Some(_) if !name.ends_with(PART) => {}
                // Its process ended before it had stored the job. The partial upload has the bytes.
                None if partial::exists(&self.dir, job) => self.remove(job).await?,
                _ => match self.move_to_orphans(&entry.path(), name) {
                    Ok(()) => moved.push(name.to_owned()),
                    // Its upload has renamed or removed the file since it was listed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Ok(moved)
    }

    async fn purge_orphans(&self, now: SystemTime) -> io::Result<()> {
        let orphans = self.orphans.clone();
        let purge = move || {
            let entries = match fs::read_dir(orphans) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other?,
            };
            for entry in entries {
                let entry = entry?;
                let age = now.duration_since(entry.metadata()?.modified()?).unwrap_or_default();
                if age > ORPHANS_KEPT {
                    remove_if_exists(&entry.path())?;
                }
            }
            Ok(())
        };
        spawn_blocking(purge).await.map_err(io::Error::other)?
    }

    fn partials(&self) -> &dyn PartialUploads {
        self
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.dir)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn require_room(&self, bytes: u64) -> io::Result<()> {
        let free = self.free_bytes()?;
        if free < bytes.saturating_add(RESERVED_BYTES) {
            let sentence = format!(
                "the disk of {} has only {} MB left, too little for this upload",
                self.dir.display(),
                free / 1_000_000
            );
            return Err(io::Error::new(io::ErrorKind::StorageFull, sentence));
        }
        Ok(())
    }
}

/// Locks a file without waiting. `None` if it is locked already or does not exist.
fn lock(path: &Path) -> io::Result<Option<fs::File>> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        other => other.map(|()| Some(file)).map_err(io::Error::from),
    }
}

/// Removes a file; does nothing if it does not exist.
fn remove_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// See [`BlobWriter`].
#[derive(Debug)]
struct DiskWriter {
    blobs: DiskBlobs,
    job: JobId,
    file: BufWriter<tokio::fs::File>,
    part: RemoveOnDrop,
    written: u64,
    /// The value of `written` after which the free space is checked again.
    next_space_check: u64,
}

#[async_trait]
impl BlobWriter for DiskWriter {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        if self.written > self.next_space_check {
            self.blobs.require_room(0)?;
            self.next_space_check = self.written + SPACE_CHECK_BYTES;
        }
        self.file.write_all(bytes).await
    }

    fn written(&self) -> u64 {
        self.written
    }

    async fn finish(self: Box<Self>) -> io::Result<Box<dyn Blob>> {
        let Self { blobs, job, mut file, mut part, written, .. } = *self;
        file.flush().await?;
        let file = file.into_inner().into_std().await;
        let sync = move || -> io::Result<Box<dyn Blob>> {
            file.sync_all()?;
            part.rename(blobs.path(job))?;
            fs::File::open(&blobs.dir)?.sync_all()?;
            Ok(Box::new(DiskBlob { _lock: file, file: part, size: written }))
        };
        spawn_blocking(sync).await.map_err(io::Error::other)?
    }
}

/// See [`Blob`].
#[derive(Debug)]
struct DiskBlob {
    /// Keeps `sweep` from the file until the upload is kept. Closed before `file` is dropped, so that `file` closes it
    /// last.
    _lock: fs::File,
    file: RemoveOnDrop,
    size: u64,
}

impl Blob for DiskBlob {
    fn open(&self) -> io::Result<OpenBlob> {
        fs::File::open(&self.file.path).map(OpenBlob::new)
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn keep(mut self: Box<Self>) {
        self.file.kept = true;
    }
}

/// A file that is removed on drop, unless it is kept.
#[derive(Debug)]
struct RemoveOnDrop {
    path: PathBuf,
    kept: bool,
}

impl RemoveOnDrop {
    fn new(path: PathBuf) -> Self {
        Self { path, kept: false }
    }

    fn rename(&mut self, to: PathBuf) -> io::Result<()> {
        fs::rename(&self.path, &to)?;
        self.path = to;
        Ok(())
    }
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Removing the name is fast. Freeing the blocks takes time and happens when the file is closed for the last
        // time.
        let open = fs::File::open(&self.path);
        if let Err(error) = remove_if_exists(&self.path) {
            tracing::warn!("{} could not be removed: {error}", self.path.display());
        }
        if let (Ok(runtime), Ok(file)) = (Handle::try_current(), open) {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

#[cfg(test)]
mod tests;

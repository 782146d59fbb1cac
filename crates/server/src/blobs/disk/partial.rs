//! Partial uploads as files in the folder of uploads: `{id}.upload` holds the bytes and is locked by the request that
//! has the upload open, `{id}.upload.json` is its state and is replaced as a whole.
//!
//! Only the bytes before the offset of the state count. What a crash or a power cut has left behind them is cut off
//! when the upload is opened again. A finished upload gets a second name, `{id}`, as its job's blob (a hard link), and
//! loses its first one when the job is stored: whenever the process ends, one of the two is there.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{DiskBlob, DiskBlobs, RemoveOnDrop, SPACE_CHECK_BYTES, lock, remove_if_exists};
use crate::blobs::partial::{PartialState, PartialUpload, PartialUploads};
use crate::blobs::{Blob, Blobs};
use crate::jobs::JobId;

/// The suffix of the bytes.
const BYTES: &str = ".upload";
/// The suffix of the state.
const STATE: &str = ".upload.json";
/// The suffix of a state that is being written.
const NEW_STATE: &str = ".upload.json.new";

/// How long an upload without bytes is kept at most. Where the answer to the request that began it was lost, nobody knows
/// of it, and room is promised to it.
const EMPTY_EXPIRY: Duration = Duration::from_secs(3600);

/// How many bytes are collected before they are written, since every write goes through another thread.
const BUFFER_BYTES: usize = 1 << 20;

/// How long to wait for a request that has the upload open: it may have much to make durable before it makes way.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The time between two tries to lock.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// The requests of this process that have an upload open, to be told when another one wants it.
#[derive(Debug, Clone, Default)]
pub(super) struct Holders(Arc<Mutex<HashMap<JobId, Arc<CancellationToken>>>>);

impl Holders {
    /// Tells the request that has the upload open that another one wants it.
    fn supersede(&self, id: JobId) {
        if let Some(token) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            token.cancel();
        }
    }

    /// Registers a request that has just opened the upload.
    fn register(&self, id: JobId) -> Holder {
        let token = Arc::new(CancellationToken::new());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, token.clone());
        Holder { holders: self.clone(), id, token }
    }
}

/// See [`Holders::register`].
#[derive(Debug)]
struct Holder {
    holders: Holders,
    id: JobId,
    token: Arc<CancellationToken>,
}

impl Drop for Holder {
    fn drop(&mut self) {
        let mut holders = self.holders.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A request that has released the upload may have been followed by another one.
        if holders.get(&self.id).is_some_and(|token| Arc::ptr_eq(token, &self.token)) {
            holders.remove(&self.id);
        }
    }
}

/// The files of one partial upload.
#[derive(Debug, Clone)]
struct Files {
    dir: PathBuf,
    bytes: PathBuf,
    state: PathBuf,
    new_state: PathBuf,
}

impl Files {
    fn new(dir: &Path, id: JobId) -> Self {
        let path = |suffix| dir.join(format!("{id}{suffix}"));
        Self { dir: dir.to_owned(), bytes: path(BYTES), state: path(STATE), new_state: path(NEW_STATE) }
    }

    fn read_state(&self) -> io::Result<PartialState> {
        Ok(serde_json::from_slice(&fs::read(&self.state)?)?)
    }

    /// Replaces the state. Durable once this returns.
    fn write_state(&self, state: &PartialState) -> io::Result<()> {
        let json = serde_json::to_vec(state)?;
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&self.new_state)?;
        file.write_all(&json)?;
        file.sync_data()?;
        fs::rename(&self.new_state, &self.state)?;
        fs::File::open(&self.dir)?.sync_all()
    }

    /// Removes all files of the upload, the state first: bytes without a state are what a crash has left.
    fn remove(&self) -> io::Result<()> {
        [&self.state, &self.new_state, &self.bytes].into_iter().try_for_each(|path| remove_if_exists(path))
    }
}

/// Whether there is a partial upload whose bytes are those of the blob `{id}`.
pub(super) fn exists(dir: &Path, id: JobId) -> bool {
    Files::new(dir, id).bytes.exists()
}

impl DiskBlobs {
    /// The ids of all partial uploads, and of what a crash has left of some.
    fn partial_ids(&self) -> io::Result<BTreeSet<JobId>> {
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.split_once(BYTES)).map(|(id, _)| JobId::parse(id));
            ids.extend(id.flatten());
        }
        Ok(ids)
    }

    /// The states of all partial uploads. Those that cannot be read are left out.
    fn partial_states(&self) -> io::Result<Vec<(JobId, PartialState)>> {
        let ids = self.partial_ids()?.into_iter();
        Ok(ids.filter_map(|id| Some((id, Files::new(&self.dir, id).read_state().ok()?))).collect())
    }

    /// Keeps other processes, and other requests of this one, from creating and purging partial uploads until the
    /// file is dropped.
    fn lock_partials(&self) -> io::Result<fs::File> {
        let dir = fs::File::open(&self.dir)?;
        flock(&dir, FlockOperation::LockExclusive)?;
        Ok(dir)
    }

    fn create_partial(&self, id: JobId, state: PartialState) -> io::Result<DiskPartial> {
        let _alone = self.lock_partials()?;
        let promised = self.partial_states()?.into_iter().map(|(_, state)| state.missing());
        let promised = promised.fold(state.missing(), u64::saturating_add);
        self.require_room(promised)?;
        let files = Files::new(&self.dir, id);
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&files.bytes)?;
        let mut bytes = RemoveOnDrop::new(files.bytes.clone());
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        files.write_state(&state)?;
        bytes.kept = true;
        Ok(DiskPartial::new(self, id, files, file, state))
    }

    /// `None` if another request has the upload open.
    fn try_open_partial(&self, id: JobId) -> io::Result<Option<DiskPartial>> {
        let files = Files::new(&self.dir, id);
        let file = fs::OpenOptions::new().read(true).write(true).open(&files.bytes)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            other => other?,
        }
        // Fails if whoever had the lock has removed the upload.
        let mut state = files.read_state()?;
        let size = file.metadata()?.len();
        if size < state.offset {
            tracing::warn!(upload = %id, size, offset = state.offset, "bytes of a partial upload are missing");
            state.offset = size;
        }
        if size > state.offset {
            file.set_len(state.offset)?;
        }
        Ok(Some(DiskPartial::new(self, id, files, file, state)))
    }

    fn purge_partials(&self, now: Timestamp) -> io::Result<()> {
        let _alone = self.lock_partials()?;
        for id in self.partial_ids()? {
            let files = Files::new(&self.dir, id);
            let lock = lock(&files.bytes)?;
            if lock.is_none() && files.bytes.try_exists()? {
                continue;
            }
            match files.read_state() {
                Ok(state) if state.expires > now => {}
                Ok(_) => {
                    tracing::info!(upload = %id, "partial upload expired");
                    files.remove()?;
                }
                Err(error) => {
                    if error.kind() != io::ErrorKind::NotFound {
                        tracing::warn!(upload = %id, "a partial upload without a readable state is removed: {error}");
                    }
                    files.remove()?;
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl PartialUploads for DiskBlobs {
    async fn create(
        &self,
        id: JobId,
        length: Option<u64>,
        metadata: String,
        now: Timestamp,
    ) -> io::Result<Box<dyn PartialUpload>> {
        let blobs = self.clone();
        let expires = now + self.upload_expiry.min(EMPTY_EXPIRY);
        let state = PartialState { length, offset: 0, expires, metadata };
        let create = move || blobs.create_partial(id, state);
        Ok(Box::new(spawn_blocking(create).await.map_err(io::Error::other)??))
    }

    async fn open(&self, id: JobId) -> io::Result<Box<dyn PartialUpload>> {
        let begun = Instant::now();
        loop {
            self.holders.supersede(id);
            let blobs = self.clone();
            let open = spawn_blocking(move || blobs.try_open_partial(id)).await.map_err(io::Error::other)?;
            match open? {
                Some(partial) => return Ok(Box::new(partial)),
                None if begun.elapsed() < LOCK_WAIT => sleep(LOCK_POLL).await,
                None => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
    }

    async fn complete(&self) -> io::Result<Vec<JobId>> {
        let blobs = self.clone();
        let states = spawn_blocking(move || blobs.partial_states()).await.map_err(io::Error::other)??;
        Ok(states.into_iter().filter(|(_, state)| state.is_complete()).map(|(id, _)| id).collect())
    }

    async fn purge_expired(&self, now: Timestamp) -> io::Result<()> {
        let blobs = self.clone();
        spawn_blocking(move || blobs.purge_partials(now)).await.map_err(io::Error::other)?
    }
}

/// See [`PartialUpload`].
#[derive(Debug)]
struct DiskPartial {
    blobs: DiskBlobs,
    id: JobId,
    files: Files,
    state: PartialState,
    /// Bytes that are not in the file yet.
    buffer: Vec<u8>,
    /// Where the next bytes go in the file.
    flushed: u64,
    /// The value of `flushed` after which the free space is checked again.
    next_space_check: u64,
    is_held: bool,
    /// Dropped before `file`, whose lock ends then.
    holder: Holder,
    file: Arc<fs::File>,
}

impl DiskPartial {
    /// An upload whose file was just locked.
    fn new(blobs: &DiskBlobs, id: JobId, files: Files, file: fs::File, state: PartialState) -> Self {
        Self {
            id,
            files,
            buffer: Vec::new(),
            flushed: state.offset,
            next_space_check: state.offset + SPACE_CHECK_BYTES,
            is_held: true,
            holder: blobs.holders.register(id),
            file: Arc::new(file),
            state,
            blobs: blobs.clone(),
        }
    }

    /// Writes the buffer to the file. If that fails, its bytes are lost.
    async fn flush(&mut self) -> io::Result<()> {
        let (file, mut buffer, at) = (self.file.clone(), std::mem::take(&mut self.buffer), self.flushed);
        let write = move || file.write_all_at(&buffer, at).map(|()| buffer);
        buffer = spawn_blocking(write).await.map_err(io::Error::other)??;
        self.flushed += buffer.len() as u64;
        buffer.clear();
        self.buffer = buffer;
        Ok(())
    }

    async fn store(&mut self, state: PartialState) -> io::Result<()> {
        let (files, new) = (self.files.clone(), state.clone());
        spawn_blocking(move || files.write_state(&new)).await.map_err(io::Error::other)??;
        self.state = state;
        Ok(())
    }
}

#[async_trait]
impl PartialUpload for DiskPartial {
    fn id(&self) -> JobId {
        self.id
    }

    fn state(&self) -> &PartialState {
        &self.state
    }

    fn written(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    fn superseded(&self) -> CancellationToken {
        CancellationToken::clone(&self.holder.token)
    }

    async fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.store(PartialState { length: Some(length), ..self.state.clone() }).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.flushed > self.next_space_check {
            self.blobs.require_room(0)?;
            self.next_space_check = self.flushed + SPACE_CHECK_BYTES;
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < BUFFER_BYTES { Ok(()) } else { self.flush().await }
    }

    async fn commit(&mut self, now: Timestamp) -> io::Result<()> {
        self.flush().await?;
        if self.flushed == self.state.offset {
            return Ok(());
        }
        let file = self.file.clone();
        spawn_blocking(move || file.sync_data()).await.map_err(io::Error::other)??;
        let expires = now + self.blobs.upload_expiry;
        self.store(PartialState { offset: self.flushed, expires, ..self.state.clone() }).await
    }

    async fn roll_back(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.flushed = self.state.offset;
        let (file, offset) = (self.file.clone(), self.state.offset);
        spawn_blocking(move || file.set_len(offset)).await.map_err(io::Error::other)?
    }

    async fn release(&mut self) -> io::Result<()> {
        self.flush().await?;
        if self.is_held {
            flock(&self.file, FlockOperation::Unlock)?;
            self.is_held = false;
        }
        Ok(())
    }

    async fn hold(&mut self) -> io::Result<()> {
        if self.is_held {
            return Ok(());
        }
        flock(&self.file, FlockOperation::NonBlockingLockExclusive)?;
        let changed = match self.files.read_state() {
            Ok(state) => state.offset != self.state.offset || self.file.metadata()?.len() != self.flushed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        if changed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.is_held = true;
        Ok(())
    }

    async fn finish(&self) -> io::Result<Box<dyn Blob>> {
        let (blob, files, size) = (self.blobs.path(self.id), self.files.clone(), self.state.offset);
        let file = self.file.clone();
        let link = move || -> io::Result<Box<dyn Blob>> {
            if file.metadata()?.len() != size {
                // A failed write has left bytes behind the end.
                file.set_len(size)?;
                file.sync_all()?;
            }
            // Of a process that ended before it had stored the job.
            remove_if_exists(&blob)?;
            fs::hard_link(&files.bytes, &blob)?;
            let link = RemoveOnDrop::new(blob);
            fs::File::open(&files.dir)?.sync_all()?;
            Ok(Box::new(DiskBlob { _lock: file.try_clone()?, file: link, size }))
        };
        spawn_blocking(link).await.map_err(io::Error::other)?
    }

    async fn remove(self: Box<Self>) -> io::Result<()> {
        spawn_blocking(move || self.files.remove()).await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests;

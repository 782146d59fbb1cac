//! Which process this is, and which of those that used the same data folder have ended.
//!
//! Every process holds a lock on a file of its own, `DATA_DIR/processes/ID`, for as long as it lives. The kernel
//! lets go of it however the process ends, so a process that can lock another's file knows that the other has ended, and need not
//! wait until its leases expire.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};

use crate::store::{JobStore, ProcessId, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum RequeueError {
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// This process, as others that use the same data folder see it. Dropping it says that the process has ended.
#[derive(Debug)]
pub struct ProcessLock {
    id: ProcessId,
    dir: PathBuf,
    path: PathBuf,
    _locked: File,
}

impl ProcessLock {
    /// Registers this process.
    pub fn take(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("processes");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let id = ProcessId::new();
        // Locked before it has its name, so that nobody takes it for an ended process's.
        let unnamed = dir.join(format!("{id}.new"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unnamed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let path = dir.join(id.to_string());
        fs::rename(&unnamed, &path)?;
        Ok(Self { id, dir, path, _locked: file })
    }

    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// Puts the jobs of processes that have ended back into the queue. Gives their number.
    pub async fn requeue_jobs_of_ended(
        &self,
        store: &dyn JobStore,
        now: Timestamp,
    ) -> Result<u64, RequeueError> {
        let mut jobs = 0;
        for ended in self.ended()? {
            jobs += store.process_ended(ended, now).await?;
            self.forget(ended)?;
        }
        if jobs > 0 {
            tracing::info!(jobs, "jobs of a process that has ended are taken up again");
        }
        Ok(jobs)
    }

    /// Processes that have ended without [`forget`](Self::forget) having been called for them.
    fn ended(&self) -> io::Result<Vec<ProcessId>> {
        let mut ended = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Some(id) = entry.file_name().to_str().and_then(ProcessId::parse) else { continue };
            let Ok(file) = File::open(entry.path()) else { continue };
            if id != self.id && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                ended.push(id);
            }
        }
        Ok(ended)
    }

    /// To be called once it was noted in the store that a process has ended.
    fn forget(&self, ended: ProcessId) -> io::Result<()> {
        match fs::remove_file(self.dir.join(ended.to_string())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        // What is left of it would only be looked at once more.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_process_is_seen_to_have_ended_and_only_then() {
        let dir = TempDir::new().unwrap();
        let watching = ProcessLock::take(dir.path()).unwrap();
        let mut other = ProcessLock::take(dir.path()).unwrap();
        let id = other.id();
        assert_eq!(watching.ended().unwrap(), []);
        // As the kernel leaves it when a process is killed: the file stays, the lock goes.
        let kept = std::mem::take(&mut other.path);
        drop(other);
        assert!(kept.exists());
        assert_eq!(watching.ended().unwrap(), [id]);
        watching.forget(id).unwrap();
        watching.forget(id).unwrap();
        assert_eq!(watching.ended().unwrap(), []);
    }

    #[test]
    fn a_process_that_ends_in_order_leaves_nothing() {
        let dir = TempDir::new().unwrap();
        drop(ProcessLock::take(dir.path()).unwrap());
        assert_eq!(fs::read_dir(dir.path().join("processes")).unwrap().count(), 0);
    }
}

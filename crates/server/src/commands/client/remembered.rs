//! Remembers uploads that are not complete, in a file of the user, so that they go on when the program is started again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::source::SourceFile;
use crate::jobs::JobId;

/// How long an upload is remembered. Servers forget those that do not go on much earlier.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// What has to be the same for an upload to go on: the file, the server, and what was asked of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UploadKey {
    server: String,
    path: PathBuf,
    /// Bytes.
    size: u64,
    modified: Timestamp,
    /// The `Upload-Metadata` of the upload.
    metadata: String,
}

impl UploadKey {
    pub(super) fn new(server: &str, source: &SourceFile, metadata: &str) -> Self {
        let SourceFile { path, size, modified, .. } = source.clone();
        Self { server: server.to_owned(), path, size, modified, metadata: metadata.to_owned() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    key: UploadKey,
    id: String,
    begun: Timestamp,
}

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Uploads {
    uploads: Vec<Entry>,
}

/// The uploads that are not complete. They are only a help: where the file cannot be read or written, a warning says so,
/// and uploads begin anew.
#[derive(Debug)]
pub(in crate::commands) struct RememberedUploads(Option<PathBuf>);

impl RememberedUploads {
    /// With this file, which need not exist; without one, nothing is remembered.
    pub(in crate::commands) fn new(file: Option<PathBuf>) -> Self {
        Self(file)
    }

    /// The id of the upload that was begun for this key.
    pub(super) fn find(&self, key: &UploadKey) -> Option<JobId> {
        let file = self.0.as_ref()?;
        let uploads = warn(file, read(file))?;
        JobId::parse(&uploads.uploads.iter().find(|entry| entry.key == *key)?.id)
    }

    /// Remembers an upload, instead of an earlier one for this key.
    pub(super) fn remember(&self, key: &UploadKey, id: JobId, now: Timestamp) {
        self.change(|uploads| {
            uploads.retain(|entry| entry.key != *key && entry.begun > now - KEPT);
            uploads.push(Entry { key: key.clone(), id: id.to_string(), begun: now });
        });
    }

    /// Forgets the upload for this key.
    pub(super) fn forget(&self, key: &UploadKey) {
        self.change(|uploads| uploads.retain(|entry| entry.key != *key));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Entry>)) {
        if let Some(file) = &self.0 {
            warn(file, write(file, change));
        }
    }
}

/// Gives what was read or written; warns where that failed.
fn warn<T>(file: &Path, done: io::Result<T>) -> Option<T> {
    done.inspect_err(|error| {
        tracing::warn!("uploads cannot go on at another start: {}: {error}", file.display());
    })
    .ok()
}

/// A file that does not exist, and one that is damaged, holds nothing.
fn read(file: &Path) -> io::Result<Uploads> {
    match fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Uploads::default()),
        Err(error) => Err(error),
    }
}

/// Changes the file under a lock: other processes may upload at the same time. Only the user may read it.
fn write(file: &Path, change: impl FnOnce(&mut Vec<Entry>)) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let lock = private(&file.with_extension("lock"))?;
    // Some network file systems do not support locks.
    if let Err(error) = lock.lock() {
        tracing::debug!("{} cannot be locked: {error}", file.display());
    }
    let mut uploads = read(file)?;
    change(&mut uploads.uploads);
    let part = file.with_extension("part");
    let mut written = private(&part)?;
    written.set_len(0)?;
    written.write_all(&serde_json::to_vec_pretty(&uploads)?)?;
    fs::rename(part, file)
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn key(path: &str, metadata: &str) -> UploadKey {
        let modified = "2026-11-23T15:00:00.123456789Z".parse().unwrap();
        let source = SourceFile { path: path.into(), name: "a".into(), size: 7, modified };
        UploadKey::new("http://here", &source, metadata)
    }

    #[test]
    fn an_upload_is_found_again_until_it_is_forgotten_and_only_for_the_same_file_and_options() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("state/verbatim/uploads.json");
        let uploads = || RememberedUploads::new(Some(file.clone()));
        let (now, first, second) = (Timestamp::now(), JobId::new(), JobId::new());
        assert_eq!(uploads().find(&key("/a", "x")), None);
        uploads().remember(&key("/a", "x"), first, now);
        uploads().remember(&key("/b", "x"), second, now);
        assert_eq!(uploads().find(&key("/a", "x")), Some(first));
        assert_eq!(uploads().find(&key("/a", "y")), None);
        let mut larger = key("/a", "x");
        larger.size += 1;
        assert_eq!(uploads().find(&larger), None);
        uploads().remember(&key("/a", "x"), second, now);
        assert_eq!(uploads().find(&key("/a", "x")), Some(second));
        uploads().forget(&key("/a", "x"));
        assert_eq!(uploads().find(&key("/a", "x")), None);
        assert_eq!(uploads().find(&key("/b", "x")), Some(second));
        uploads().remember(&key("/c", "x"), first, now + KEPT);
        assert_eq!(uploads().find(&key("/b", "x")), None, "it was too long ago");
    }

    #[test]
    fn a_damaged_file_and_a_folder_that_cannot_be_written_only_forget() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("uploads.json");
        fs::write(&file, "{\"uploads\": [{\"id\": 3").unwrap();
        let uploads = RememberedUploads::new(Some(file.clone()));
        assert_eq!(uploads.find(&key("/a", "x")), None);
        let id = JobId::new();
        uploads.remember(&key("/a", "x"), id, Timestamp::now());
        assert_eq!(uploads.find(&key("/a", "x")), Some(id));
        let nowhere = RememberedUploads::new(Some(file.join("uploads.json")));
        nowhere.remember(&key("/a", "x"), id, Timestamp::now());
        assert_eq!(nowhere.find(&key("/a", "x")), None);
        RememberedUploads::new(None).remember(&key("/a", "x"), id, Timestamp::now());
    }

    #[test]
    fn processes_that_upload_at_the_same_time_lose_nothing() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("uploads.json");
        let id = JobId::new();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let uploads = RememberedUploads::new(Some(file.clone()));
                scope.spawn(move || {
                    for number in 0..10 {
                        uploads.remember(&key(&format!("/{thread}/{number}"), "x"), id, Timestamp::now());
                    }
                });
            }
        });
        assert_eq!(read(&file).unwrap().uploads.len(), 40);
    }
}

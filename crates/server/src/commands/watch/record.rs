//! Remembers which recordings are done, in a file in the folder of transcripts, over restarts.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde::{Deserialize, Serialize};

use super::scan::Found;
use crate::jobs::JobId;

/// The file, in the folder of transcripts.
const FILE: &str = ".verbatim-watch.json";

/// The file that a process locks while it watches.
const LOCK: &str = ".verbatim-watch.lock";

/// Why a folder of transcripts cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("another `verbatim watch` writes to {} already", .0.display())]
    Locked(PathBuf),
    #[error("{} is damaged ({reason}); remove it, and recordings without a transcript are transcribed again", path.display())]
    Damaged { path: PathBuf, reason: serde_json::Error },
    #[error("{what} {}: {error}", path.display())]
    Disk { what: &'static str, path: PathBuf, error: io::Error },
}

/// What has become of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub(super) enum Outcome {
    /// Its transcripts were written.
    Done,
    /// It cannot be transcribed, and why.
    Failed { error: String },
    /// A server works on it.
    Submitted { server: String, job: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Bytes.
    size: u64,
    modified: Timestamp,
    /// The name of its transcripts, without their extensions.
    stem: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// By the recordings' paths from the folder that is watched.
    files: BTreeMap<String, Entry>,
}

/// What has become of every recording. Holds a lock on the folder of transcripts.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    content: Content,
    _lock: File,
}

impl Record {
    /// Locks the folder, and reads what is remembered there.
    pub(super) fn open(dir: &Path) -> Result<Self, RecordError> {
        let lock_path = dir.join(LOCK);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(disk_error("cannot write", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RecordError::Locked(dir.to_owned())),
            // Some network file systems do not support locks.
            Err(TryLockError::Error(error)) => {
                tracing::warn!("{} cannot be locked; see that nobody else watches: {error}", dir.display());
            }
        }
        let path = dir.join(FILE);
        let content = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|reason| RecordError::Damaged { path: path.clone(), reason })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(disk_error("cannot read", &path)(error)),
        };
        Ok(Self { path, content, _lock: lock })
    }

    /// Whether nothing is to be done for a file: it was transcribed, or failed, and has not changed since.
    pub(super) fn is_finished(&self, file: &Found) -> bool {
        self.same(file).is_some_and(|entry| !matches!(entry.outcome, Outcome::Submitted { .. }))
    }

    /// Whether there was a recording of this path before, even if it has changed since.
    pub(super) fn knows(&self, file: &Found) -> bool {
        self.content.files.contains_key(&key(&file.relative))
    }

    /// The job that this server works on for a file that has not changed since.
    pub(super) fn job(&self, file: &Found, on: &str) -> Option<JobId> {
        match &self.same(file)?.outcome {
            Outcome::Submitted { server, job } if server == on => JobId::parse(job),
            _ => None,
        }
    }

    /// The name of a file's transcripts, without their extensions: its own without the extension, or with it if that name
    /// is another recording's in the same folder (`talk.mp3` and `talk.wav`). It stays the same once there is an entry.
    pub(super) fn stem(&self, file: &Found) -> String {
        if let Some(entry) = self.content.files.get(&key(&file.relative)) {
            return entry.stem.clone();
        }
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let (stem, name) = (text(file.relative.file_stem()), text(file.relative.file_name()));
        let folder = key(file.relative.parent().unwrap_or(Path::new("")));
        let taken: Vec<&str> = self
            .content
            .files
            .iter()
            .filter(|(path, _)| path.rsplit_once('/').map_or("", |(folder, _)| folder) == folder)
            .map(|(_, entry)| entry.stem.as_str())
            .collect();
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = [stem, name.clone()].into_iter().chain(numbered);
        names.find(|candidate| !taken.contains(&candidate.as_str())).unwrap_or(name)
    }

    /// Remembers what has become of a file, of the size and time that it was found with.
    pub(super) fn set(&mut self, file: &Found, outcome: Outcome) -> Result<(), RecordError> {
        let entry = Entry { size: file.size, modified: file.modified, stem: self.stem(file), outcome };
        self.content.files.insert(key(&file.relative), entry);
        let part = self.path.with_extension("part");
        let text = serde_json::to_vec_pretty(&self.content).map_err(io::Error::from);
        let written =
            text.and_then(|text| fs::write(&part, text)).and_then(|()| fs::rename(&part, &self.path));
        written.map_err(disk_error("cannot write", &self.path))
    }

    /// The entry of a file that has the same size and time as then.
    fn same(&self, file: &Found) -> Option<&Entry> {
        let entry = self.content.files.get(&key(&file.relative))?;
        ((entry.size, entry.modified) == (file.size, file.modified)).then_some(entry)
    }
}

/// A path as text, different for every path.
fn key(path: &Path) -> String {
    let parts = path.components().map(|part| {
        let part = part.as_os_str();
        part.to_str()
            .map_or_else(|| percent_encode(part.as_bytes(), NON_ALPHANUMERIC).to_string(), str::to_owned)
    });
    parts.collect::<Vec<_>>().join("/")
}

fn disk_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    move |error| RecordError::Disk { what, path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use tempfile::TempDir;

    use super::*;

    fn found(path: &str, size: u64) -> Found {
        Found { relative: path.into(), size, modified: "2026-01-01T00:00:00.123456789Z".parse().unwrap() }
    }

    #[test]
    fn what_has_become_of_a_recording_is_remembered_until_it_changes() {
        let dir = TempDir::new().unwrap();
        let (done, failed, sent) = (found("a.mp3", 1), found("2026/Größe.mp3", 2), found("c.mp3", 3));
        let job = JobId::new();
        {
            let mut record = Record::open(dir.path()).unwrap();
            assert!(!record.is_finished(&done) && !record.knows(&done));
            record.set(&done, Outcome::Done).unwrap();
            record.set(&failed, Outcome::Failed { error: "no sound".into() }).unwrap();
            let submitted = Outcome::Submitted { server: "http://here".into(), job: job.to_string() };
            record.set(&sent, submitted).unwrap();
        }
        let record = Record::open(dir.path()).unwrap();
        assert!(record.is_finished(&done) && record.is_finished(&failed) && !record.is_finished(&sent));
        assert_eq!(record.job(&sent, "http://here"), Some(job));
        assert_eq!(record.job(&sent, "http://there"), None);
        assert_eq!(record.job(&found("c.mp3", 4), "http://here"), None);
        let changed = found("a.mp3", 7);
        assert!(!record.is_finished(&changed) && record.knows(&changed));
    }

    #[test]
    fn two_recordings_never_share_the_name_of_their_transcripts() {
        let dir = TempDir::new().unwrap();
        let mut record = Record::open(dir.path()).unwrap();
        for (path, stem) in [
            ("talk.mp3", "talk"),
            ("talk.wav", "talk.wav"),
            ("x/talk.mp3", "talk"),
            ("talk", "talk-2"),
            ("talk.mp3.old", "talk.mp3"),
            ("talk.mp3", "talk"),
        ] {
            assert_eq!(record.stem(&found(path, 1)), stem, "{path}");
            record.set(&found(path, 1), Outcome::Done).unwrap();
        }
        let odd = Path::new("x").join(OsStr::from_bytes(b"\xff.mp3"));
        assert_eq!(key(&odd), "x/%FF%2Emp3");
    }

    #[test]
    fn only_one_process_may_watch_and_a_damaged_record_is_not_ignored() {
        let dir = TempDir::new().unwrap();
        let first = Record::open(dir.path()).unwrap();
        let second = Record::open(dir.path()).unwrap_err();
        assert!(matches!(second, RecordError::Locked(_)), "{second}");
        drop(first);
        fs::write(dir.path().join(FILE), "{\"files\": {\"a\": 3").unwrap();
        let damaged = Record::open(dir.path()).unwrap_err().to_string();
        assert!(damaged.contains(FILE) && damaged.contains("remove it"), "{damaged}");
    }
}

//! A file that is sent to a server, and whether it is still the same file.

use std::fs::{self, Metadata};
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use indicatif::ProgressBar;
use jiff::Timestamp;
use reqwest::Body;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::error::{ClientError, file_error};

/// How many bytes are read at once.
const READ_BYTES: usize = 256 << 10;

/// A file as it was when it was first looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) struct SourceFile {
    /// Without links and relative parts.
    pub(super) path: PathBuf,
    /// What the server is told that it is called.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
    pub(super) modified: Timestamp,
}

impl SourceFile {
    /// Fails if it is not a file, or empty.
    pub(in crate::commands) fn open(path: &Path) -> Result<Self, ClientError> {
        let real = path.canonicalize().map_err(file_error("cannot read", path))?;
        let metadata = fs::metadata(&real).map_err(file_error("cannot read", path))?;
        if !metadata.is_file() {
            return Err(ClientError::Unsuitable { path: path.to_owned(), what: "is not a file" });
        }
        if metadata.len() == 0 {
            return Err(ClientError::Unsuitable { path: path.to_owned(), what: "is empty" });
        }
        // The name that it was given, also where that is a link.
        let name = path.file_name().unwrap_or(real.as_os_str()).to_string_lossy().into_owned();
        let modified = modified(&metadata).map_err(file_error("cannot read", path))?;
        Ok(Self { path: real, name, size: metadata.len(), modified })
    }

    /// Fails if it has another size or another time than it had.
    pub(super) fn expect_unchanged(&self) -> Result<(), ClientError> {
        let metadata = fs::metadata(&self.path).map_err(file_error("cannot read", &self.path))?;
        let modified = modified(&metadata).map_err(file_error("cannot read", &self.path))?;
        if metadata.len() == self.size && modified == self.modified {
            return Ok(());
        }
        Err(ClientError::Changed(self.path.clone()))
    }

    /// The bytes from `start` on, `count` of them, as the body of a request. What is handed out is counted in `sent`, and
    /// shown.
    pub(super) async fn body(
        &self,
        start: u64,
        count: u64,
        sent: Arc<AtomicU64>,
        bar: ProgressBar,
    ) -> Result<Body, ClientError> {
        let mut file =
            tokio::fs::File::open(&self.path).await.map_err(file_error("cannot read", &self.path))?;
        file.seek(SeekFrom::Start(start)).await.map_err(file_error("cannot read", &self.path))?;
        let chunks = ReaderStream::with_capacity(file.take(count), READ_BYTES);
        Ok(Body::wrap_stream(chunks.inspect(move |chunk| {
            if let Ok(bytes) = chunk {
                let all = sent.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
                bar.set_position(start + all);
            }
        })))
    }
}

fn modified(metadata: &Metadata) -> std::io::Result<Timestamp> {
    Timestamp::try_from(metadata.modified()?).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn only_files_that_hold_something_are_sent_and_changes_are_noticed() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("talk.mp3");
        let refused = |path: &Path| SourceFile::open(path).unwrap_err().to_string();
        assert!(refused(&path).contains("cannot read") && refused(&path).contains("talk.mp3"));
        assert!(refused(dir.path()).ends_with("is not a file"));
        fs::write(&path, "").unwrap();
        assert!(refused(&path).ends_with("is empty"));
        fs::write(&path, "sound").unwrap();
        let link = dir.path().join("link.mp3");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let source = SourceFile::open(&link).unwrap();
        assert_eq!((source.name.as_str(), source.size), ("link.mp3", 5));
        assert_eq!(source.path, path.canonicalize().unwrap());
        source.expect_unchanged().unwrap();
        fs::write(&path, "more sound").unwrap();
        let changed = source.expect_unchanged().unwrap_err().to_string();
        assert!(changed.contains("was changed while it was sent"), "{changed}");
    }
}

//! A partial download: a file with the suffix `.part` until it is complete and its hash is checked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::PinnedFile;
use super::error::HubError;

/// A partially downloaded file and the running hash of its content.
pub(super) struct Part<'f> {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    pub(super) size: u64,
    pub(super) pinned: &'f PinnedFile,
}

impl<'f> Part<'f> {
    /// Opens the part that an earlier download has left, or an empty one. Without a pinned hash the part is emptied:
    /// nothing would tell whether it belongs to the file.
    pub(super) fn open(path: &Path, pinned: &'f PinnedFile) -> Result<Self, HubError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(pinned.sha256.is_none());
        let mut file = options.open(&path).map_err(disk_error("cannot write", &path))?;
        let (hasher, size) = hash_all(&mut file).map_err(disk_error("cannot read", &path))?;
        let mut part = Self { path, file, hasher, size, pinned };
        if pinned.bytes.is_some_and(|bytes| part.size > bytes) {
            part.restart()?;
        }
        Ok(part)
    }

    /// Empties the part.
    pub(super) fn restart(&mut self) -> Result<(), HubError> {
        (|| {
            self.file.set_len(0)?;
            io::Seek::rewind(&mut self.file)
        })()
        .map_err(disk_error("cannot write", &self.path))?;
        self.hasher = Sha256::new();
        self.size = 0;
        Ok(())
    }

    /// Appends bytes. Fails and removes the part if it becomes larger than the pinned size.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        let size = self.size + bytes.len() as u64;
        if let Some(most) = self.pinned.bytes.filter(|most| size > *most) {
            return Err(self.remove(format!("it has more than {most} bytes")));
        }
        self.file.write_all(bytes).map_err(disk_error("cannot write", &self.path))?;
        self.hasher.update(bytes);
        self.size = size;
        Ok(())
    }

    /// Renames the part to `path`. Fails and removes the part if its size or hash is not the pinned one.
    pub(super) fn finish(mut self, path: &Path) -> Result<(), HubError> {
        if let Some(bytes) = self.pinned.bytes.filter(|bytes| *bytes != self.size) {
            let reason = format!("it has {} bytes, not {bytes}", self.size);
            return Err(self.remove(reason));
        }
        let found = format!("{:x}", std::mem::take(&mut self.hasher).finalize());
        if let Some(wanted) = self.pinned.sha256.as_ref().filter(|wanted| **wanted != found) {
            let reason = format!("its sha256 is {found}, not {wanted}");
            return Err(self.remove(reason));
        }
        self.file.sync_all().map_err(disk_error("cannot write", &self.path))?;
        fs::rename(&self.path, path).map_err(disk_error("cannot rename to", path))
    }

    /// Keeps the part for the next download; removes it if it is empty.
    pub(super) fn keep(self) {
        if self.size == 0
            && let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{} could not be removed: {error}", self.path.display());
        }
    }

    /// Removes the part; gives the error to report.
    fn remove(&self, reason: String) -> HubError {
        match fs::remove_file(&self.path) {
            Ok(()) => HubError::Wrong { path: self.path.clone(), reason },
            Err(error) => HubError::Disk { what: "cannot remove", path: self.path.clone(), error },
        }
    }
}

/// Hashes a file from its current position to its end. Gives the hash and the number of bytes.
fn hash_all(file: &mut File) -> io::Result<(Sha256, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hasher, size)),
            read => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

/// Makes an error of an `io::Error`: what failed (`cannot write`, for example) and for which file.
pub(super) fn disk_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HubError {
    move |error| HubError::Disk { what, path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_error_of_a_full_disk_names_the_file_and_the_part_is_kept() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("model.bin");
        let pinned = PinnedFile { name: "model.bin".into(), bytes: Some(9), sha256: Some("0".repeat(64)) };
        let mut part = Part::open(&path, &pinned).unwrap();
        part.append(b"model").unwrap();
        part.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = part.append(b"more").unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("model.bin.part"), "{error}");
        assert!(error.contains("No space left"), "{error}");
        part.keep();
        assert_eq!(fs::read(dir.path().join("model.bin.part")).unwrap(), b"model");
        assert_eq!(Part::open(&path, &pinned).unwrap().size, 5);
    }
}

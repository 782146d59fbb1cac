//! Standard input as a file: ffprobe and ffmpeg have to go back and forth in a recording, which a pipe does not allow.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::units::format_size;

/// A recording in a file without a name, which the system removes when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Spooled(File);

impl Spooled {
    /// Writes all of `input` to a file in `dir`. Fails if it is empty or has more than `limit` bytes; the error is a
    /// sentence without its full stop.
    pub(super) fn read(input: impl Read, dir: &Path, limit: u64) -> io::Result<Self> {
        let cannot = |error: io::Error| {
            let dir = dir.display();
            let sentence =
                format!("cannot keep standard input in {dir} (TMPDIR names another folder): {error}");
            io::Error::new(error.kind(), sentence)
        };
        let mut file = tempfile::tempfile_in(dir).map_err(cannot)?;
        // One byte more tells whether there is more.
        let bytes = io::copy(&mut input.take(limit.saturating_add(1)), &mut file).map_err(cannot)?;
        match bytes {
            0 => Err(io::Error::other("standard input is empty")),
            bytes if bytes > limit => Err(io::Error::other(format!(
                "standard input has more than {} (--max-file-size allows more)",
                format_size(limit)
            ))),
            _ => Ok(Self(file)),
        }
    }

    /// A path by which this process can open the file, for as long as this value lives.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_input_is_a_file_that_can_be_opened_and_that_has_no_name() {
        let dir = TempDir::new().unwrap();
        let spooled = Spooled::read(&b"a recording"[..], dir.path(), 11).unwrap();
        for _ in 0..2 {
            assert_eq!(fs::read(spooled.path()).unwrap(), b"a recording");
        }
        assert_eq!(spooled.path().metadata().unwrap().len(), 11);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_input_that_is_empty_or_too_large_or_that_has_no_room_is_refused() {
        let dir = TempDir::new().unwrap();
        let refused = |input: &[u8], dir: &Path| Spooled::read(input, dir, 10).unwrap_err().to_string();
        assert_eq!(refused(b"", dir.path()), "standard input is empty");
        let too_large = refused(b"a recording", dir.path());
        assert!(
            too_large.contains("more than 10 bytes") && too_large.contains("--max-file-size"),
            "{too_large}"
        );
        let no_folder = refused(b"sound", &dir.path().join("nowhere"));
        assert!(no_folder.contains("nowhere") && no_folder.contains("TMPDIR"), "{no_folder}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

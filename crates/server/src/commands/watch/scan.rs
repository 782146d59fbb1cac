//! Finds the recordings in a folder and the folders in it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use jiff::Timestamp;

use crate::jobs::formats::Format;

/// The extensions of files that are not complete: downloads and copies under way.
const TEMPORARY: [&str; 5] = ["part", "partial", "tmp", "crdownload", "download"];

/// A file that may be a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// From the folder that is watched.
    pub(super) relative: PathBuf,
    /// Bytes.
    pub(super) size: u64,
    pub(super) modified: Timestamp,
}

/// All files below `input` that are not hidden, not temporary and no transcripts, in the order of their paths. The folder
/// `output` is left out if it is within. Links to files are followed, those to folders are not: they could lead in a circle.
///
/// # Errors
/// If `input` cannot be read. Folders in it that cannot be read are left out, with a warning.
pub(super) fn scan(input: &Path, output: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    look_into(input, Path::new(""), output, &mut found)?;
    found.sort_by(|a, b| a.relative.cmp(&b.relative));
    Ok(found)
}

fn look_into(input: &Path, folder: &Path, output: &Path, found: &mut Vec<Found>) -> io::Result<()> {
    for entry in fs::read_dir(input.join(folder))? {
        let entry = entry?;
        let (path, name, kind) = (entry.path(), entry.file_name(), entry.file_type()?);
        let relative = folder.join(&name);
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        if kind.is_dir() {
            if path != output
                && let Err(error) = look_into(input, &relative, output, found)
            {
                tracing::warn!("{} is left out: {error}", path.display());
            }
        } else if is_candidate(&name) {
            // A file may have been removed meanwhile, and a link may lead nowhere.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
            if let Some(modified) = modified.filter(|_| metadata.is_file()) {
                found.push(Found { relative, size: metadata.len(), modified });
            }
        }
    }
    Ok(())
}

/// Whether a file of this name may be a recording that is complete.
fn is_candidate(name: &OsStr) -> bool {
    let extension =
        Path::new(name).extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let is_transcript = |extension: &str| {
        // Of a format's extension with two parts, the last counts.
        Format::value_variants().iter().any(|format| format.extension().rsplit('.').next() == Some(extension))
    };
    !name.as_bytes().ends_with(b"~")
        && extension.is_none_or(|extension| !TEMPORARY.contains(&&*extension) && !is_transcript(&extension))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn recordings_are_found_in_all_folders_and_nothing_else() {
        let dir = TempDir::new().unwrap();
        let (input, output) = (dir.path().join("in"), dir.path().join("in/out"));
        for folder in ["in/out", "in/2026/11", "in/.hidden", "elsewhere"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for name in [
            "b.mp3",
            "a.wav",
            "2026/11/Größe.m4a",
            "2026/noextension",
            ".hidden.mp3",
            ".hidden/c.mp3",
            "out/d.mp3",
            "e.mp3.part",
            "f.MP3.TMP",
            "g.mp4.crdownload",
            "h.mp3~",
            "a.txt",
            "a.SRT",
            "a.json",
            "i.tar.vtt",
        ] {
            fs::write(input.join(name), "sound").unwrap();
        }
        fs::write(dir.path().join("elsewhere/j.mp3"), "sound").unwrap();
        symlink(dir.path().join("elsewhere/j.mp3"), input.join("j.mp3")).unwrap();
        symlink(dir.path().join("elsewhere"), input.join("folder")).unwrap();
        symlink(dir.path().join("nowhere"), input.join("k.mp3")).unwrap();
        let found = scan(&input, &output).unwrap();
        let paths: Vec<_> = found.iter().map(|file| file.relative.to_str().unwrap()).collect();
        assert_eq!(paths, ["2026/11/Größe.m4a", "2026/noextension", "a.wav", "b.mp3", "j.mp3"]);
        assert!(found.iter().all(|file| file.size == 5));
        let of_all = scan(&input, &input).unwrap();
        assert!(of_all.iter().any(|file| file.relative == Path::new("out/d.mp3")), "{of_all:?}");
        assert!(scan(&dir.path().join("nowhere"), &output).is_err());
    }
}

//! Whether a model's files are here, and whether they are what they should be.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{KnownModel, PinnedFile};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// None of its files is here.
    Missing,
    /// A sentence on the first file that is not as it should be.
    Damaged(String),
    Present,
}

/// What can be told without reading the files: by names and sizes.
pub fn quick_check(model: &KnownModel, models_dir: &Path) -> io::Result<State> {
    state(model, models_dir, matches_size)
}

/// Reads the files and compares their hashes.
pub fn check(model: &KnownModel, models_dir: &Path) -> io::Result<State> {
    state(model, models_dir, |path, file| match matches_size(path, file)? {
        None => matches_hash(path, file),
        wrong => Ok(wrong),
    })
}

/// Whole is a model whose folder has every file of one of its sets. Where none is complete, what is
/// wrong is told of the hub's.
fn state(
    model: &KnownModel,
    models_dir: &Path,
    wrong: impl Fn(&Path, &PinnedFile) -> io::Result<Option<String>>,
) -> io::Result<State> {
    let dir = model.dir(models_dir);
    let first_wrong = |files: &[PinnedFile]| -> io::Result<Option<String>> {
        for file in files {
            if let Some(sentence) = wrong(&dir.join(&file.name), file)? {
                return Ok(Some(sentence));
            }
        }
        Ok(None)
    };
    let mut damage = None;
    for files in model.file_sets() {
        match first_wrong(files)? {
            None => return Ok(State::Present),
            Some(sentence) => damage = damage.or(Some(sentence)),
        }
    }
    let any_here = model.files.iter().any(|file| dir.join(&file.name).exists());
    Ok(damage.filter(|_| any_here).map_or(State::Missing, State::Damaged))
}

/// What is wrong with the file by its size; `None` if nothing is.
pub(super) fn matches_size(path: &Path, file: &PinnedFile) -> io::Result<Option<String>> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(format!("{} is missing", path.display())));
        }
        Err(error) => return Err(named(path, &error)),
    };
    Ok(file
        .bytes
        .filter(|bytes| *bytes != size)
        .map(|bytes| format!("{} has {size} bytes, not {bytes}", path.display())))
}

/// What is wrong with the file by its hash; `None` if nothing is, or none is known.
pub(super) fn matches_hash(path: &Path, file: &PinnedFile) -> io::Result<Option<String>> {
    let Some(wanted) = &file.sha256 else { return Ok(None) };
    let mut hasher = Sha256::new();
    hash_file(path, &mut hasher)?;
    let found = format!("{:x}", hasher.finalize());
    Ok((found != *wanted).then(|| format!("{} has the sha256 {found}, not {wanted}", path.display())))
}

/// Stands for all that a transcript depends on: the Whisper model, a file or the files of a folder, and the voice activity model.
/// Blocks, about half a second for each gigabyte.
pub fn hash_model(whisper: &Path, vad: &Path) -> io::Result<String> {
    let mut files = vec![vad.to_owned()];
    if whisper.is_dir() {
        for entry in fs::read_dir(whisper).map_err(|error| named(whisper, &error))? {
            let path = entry?.path();
            // What lies there while it is fetched is not the model's.
            if path.is_file() && path.extension().is_none_or(|extension| extension != "part") {
                files.push(path);
            }
        }
    } else {
        files.push(whisper.to_owned());
    }
    files.sort();
    let mut hasher = Sha256::new();
    for path in files {
        let mut of_file = Sha256::new();
        hash_file(&path, &mut of_file)?;
        hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hasher.update(of_file.finalize());
    }
    Ok(format!("{:x}", hasher.finalize()))
}

fn hash_file(path: &Path, hasher: &mut Sha256) -> io::Result<()> {
    let hashed = File::open(path).and_then(|mut file| io::copy(&mut file, hasher));
    hashed.map(drop).map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
}

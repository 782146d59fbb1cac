//! Verifies the files of a model by their sizes and hashes.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{KnownModel, PinnedFile};

/// The state of a model on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// None of its files exists.
    Missing,
    /// What is wrong with the first file that is missing or wrong, as a sentence without its full stop.
    Damaged(String),
    /// All of its files are as pinned.
    Present,
}

/// Verifies a model by the names and sizes of its files, without reading them.
pub fn quick_check(model: &KnownModel, models_dir: &Path) -> io::Result<State> {
    state(model, models_dir, wrong_size)
}

/// Verifies a model by the sizes and hashes of its files. Reads all of them.
pub fn check(model: &KnownModel, models_dir: &Path) -> io::Result<State> {
    state(model, models_dir, |path, file| match wrong_size(path, file)? {
        None => wrong_hash(path, file),
        wrong => Ok(wrong),
    })
}

/// A model is complete if its folder has every file of one of its sets. If no set is complete, the damage is that of
/// the hub's set. `wrong` tells what is wrong with a file, if anything is.
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

/// What is wrong with a file by its size: it is missing or has another size. `None` if nothing is wrong.
pub(super) fn wrong_size(path: &Path, file: &PinnedFile) -> io::Result<Option<String>> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(format!("{} is missing", path.display())));
        }
        Err(error) => return Err(read_error(path, &error)),
    };
    Ok(file
        .bytes
        .filter(|bytes| *bytes != size)
        .map(|bytes| format!("{} has {size} bytes, not {bytes}", path.display())))
}

/// What is wrong with a file by its hash. `None` if nothing is wrong or no hash is pinned.
pub(super) fn wrong_hash(path: &Path, file: &PinnedFile) -> io::Result<Option<String>> {
    let Some(wanted) = &file.sha256 else { return Ok(None) };
    let mut hasher = Sha256::new();
    hash_file(path, &mut hasher)?;
    let found = format!("{:x}", hasher.finalize());
    Ok((found != *wanted).then(|| format!("{} has the sha256 {found}, not {wanted}", path.display())))
}

/// A hash (SHA-256, hexadecimal) of the models that a transcript depends on: the Whisper model, which is a file or a
/// folder of files, and the voice activity model. Blocks for about half a second per gigabyte.
pub fn hash_model(whisper: &Path, vad: &Path) -> io::Result<String> {
    let mut files = vec![vad.to_owned()];
    if whisper.is_dir() {
        for entry in fs::read_dir(whisper).map_err(|error| read_error(whisper, &error))? {
            let path = entry?.path();
            // A partial download does not belong to the model.
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
        let mut file_hasher = Sha256::new();
        hash_file(&path, &mut file_hasher)?;
        hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hasher.update(file_hasher.finalize());
    }
    Ok(format!("{:x}", hasher.finalize()))
}

fn hash_file(path: &Path, hasher: &mut Sha256) -> io::Result<()> {
    let hashed = File::open(path).and_then(|mut file| io::copy(&mut file, hasher));
    hashed.map(drop).map_err(|error| read_error(path, &error))
}

fn read_error(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
}

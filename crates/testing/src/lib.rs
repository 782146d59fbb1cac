//! What the tests of all crates share: clips of speech, media files, the folder of models, fixtures, and the list of
//! skipped tests.

#![expect(clippy::unwrap_used, reason = "in a test, a panic reports the failure")]

mod clips;
pub mod media;
mod records;

use std::env;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;

pub use clips::{chords, clip, spoken};
pub use records::{floats, for_each_record, samples};

/// The environment variable that names the list of skipped tests. `make test` sets it, and shows the list at its end.
const LIST: &str = "VERBATIM_SKIPPED";

/// Reports that a test leaves something out because this machine lacks what it needs. Prints the reason and appends
/// it to the list of skipped tests, because the output of a test that passes is not shown.
///
/// # Panics
/// If the list cannot be written.
pub fn skip(reason: &str) {
    // libtest names the thread after its test.
    let line = format!("{}: {reason}\n", thread::current().name().unwrap_or("a test"));
    print!("skipped: {line}");
    if let Some(list) = env::var_os(LIST) {
        append(&list, &line).unwrap_or_else(|error| panic!("{LIST} cannot be written: {error}"));
    }
}

/// The folder of model files: `MODELS_DIR`, or `models` in the repository.
pub fn models() -> PathBuf {
    env::var_os("MODELS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"), PathBuf::from)
}

/// Appends a line in a single write, because tests run at the same time.
fn append(list: &OsStr, line: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(list)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_list_grows_line_by_line() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let list = dir.path().join("skipped.txt");
        for line in ["a: no AVX2\n", "b: no speech\n"] {
            append(list.as_os_str(), line).expect("the list is writable");
        }
        assert_eq!(fs::read_to_string(list).expect("a list"), "a: no AVX2\nb: no speech\n");
    }
}

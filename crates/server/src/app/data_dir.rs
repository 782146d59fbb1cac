//! `DATA_DIR` and its database know each other: an id that was made with the database is in both.
//!
//! A service that was started with the wrong one of the two would take all uploads of the right one for orphans, or begin afresh
//! in silence. It is refused instead, before anything is touched.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::blobs::DiskBlobs;
use crate::jobs::JobId;
use crate::store::Identity;
use crate::store::ProcessId;

/// The file of the id, in `DATA_DIR`.
const FILE: &str = "database-id";

#[derive(Debug, thiserror::Error)]
pub enum PairError {
    #[error(
        "{} holds the uploads of another database than {}: give DATABASE_PATH and DATA_DIR as they belong together, \
         or an empty folder as DATA_DIR (if that database is lost for good, remove {})",
        data_dir.display(), database.display(), data_dir.join(FILE).display()
    )]
    OtherDatabase { data_dir: PathBuf, database: PathBuf },
    #[error(
        "there is no database at {}, but {} holds the uploads of one: give its DATABASE_PATH, or an empty \
         folder as DATA_DIR (if the database is lost for good, remove {} and what is in uploads)",
        database.display(), data_dir.display(), data_dir.join(FILE).display()
    )]
    NoDatabase { data_dir: PathBuf, database: PathBuf },
    #[error(
        "{} has {jobs} jobs that wait, but none of their uploads is in {}: give the DATA_DIR that has them (if they are \
         lost for good, write {id} into {})",
        database.display(), data_dir.display(), data_dir.join(FILE).display()
    )]
    OtherDataDir { data_dir: PathBuf, database: PathBuf, jobs: usize, id: String },
    #[error("cannot use {}: {error}", data_dir.display())]
    Disk { data_dir: PathBuf, error: io::Error },
}

/// Refuses to make a new database for a folder that belongs to another. To be called before a database is opened.
pub(super) fn expect_database(data_dir: &Path, database: &Path) -> Result<(), PairError> {
    let uploads =
        DiskBlobs::existing(data_dir).and_then(|uploads| uploads.map_or(Ok(Vec::new()), |u| u.list()));
    let uploads = uploads.map_err(|error| PairError::Disk { data_dir: data_dir.to_owned(), error })?;
    // In this order: a service that starts at the same time makes the database before the folder is its own.
    let belongs_to_one = data_dir.join(FILE).exists() || !uploads.is_empty();
    if belongs_to_one && !database.exists() {
        let (data_dir, database) = (data_dir.to_owned(), database.to_owned());
        return Err(PairError::NoDatabase { data_dir, database });
    }
    Ok(())
}

/// Checks that the folder is the database's, or makes it so where nobody has it yet. `unfinished` are the database's jobs
/// that need their uploads.
pub(super) fn pair(
    data_dir: &Path,
    database: &Path,
    identity: &Identity,
    unfinished: &[JobId],
) -> Result<(), PairError> {
    let disk = |error| PairError::Disk { data_dir: data_dir.to_owned(), error };
    if let Some(id) = read(data_dir).map_err(disk)? {
        return same(&id, data_dir, database, identity);
    }
    let uploads = DiskBlobs::open(data_dir).and_then(|uploads| uploads.list()).map_err(disk)?;
    if identity.is_empty && !uploads.is_empty() {
        let (data_dir, database) = (data_dir.to_owned(), database.to_owned());
        return Err(PairError::OtherDatabase { data_dir, database });
    }
    if !unfinished.is_empty() && !unfinished.iter().any(|job| uploads.contains(job)) {
        return Err(PairError::OtherDataDir {
            data_dir: data_dir.to_owned(),
            database: database.to_owned(),
            jobs: unfinished.len(),
            id: identity.id.clone(),
        });
    }
    write(data_dir, &identity.id).map_err(disk)?;
    // Another process may have been first.
    let id = read(data_dir).map_err(disk)?.unwrap_or_default();
    same(&id, data_dir, database, identity)
}

fn same(id: &str, data_dir: &Path, database: &Path, identity: &Identity) -> Result<(), PairError> {
    if id == identity.id {
        return Ok(());
    }
    Err(PairError::OtherDatabase { data_dir: data_dir.to_owned(), database: database.to_owned() })
}

fn read(data_dir: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(data_dir.join(FILE)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file appears whole, and only if there is none.
fn write(data_dir: &Path, id: &str) -> io::Result<()> {
    let unnamed = data_dir.join(format!("{FILE}.{}", ProcessId::new()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unnamed)?;
    let written = writeln!(file, "{id}").and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&unnamed, data_dir.join(FILE)));
    fs::remove_file(&unnamed)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn identity(id: &str, is_empty: bool) -> Identity {
        Identity { id: id.to_owned(), is_empty }
    }

    /// A data folder with uploads in it, as of a release that knew no ids.
    fn folder(uploads: &[JobId]) -> TempDir {
        let dir = TempDir::new().unwrap();
        DiskBlobs::open(dir.path()).unwrap();
        for job in uploads {
            fs::write(dir.path().join("uploads").join(job.to_string()), "x").unwrap();
        }
        dir
    }

    #[test]
    fn a_folder_and_its_database_find_each_other_again() {
        let (job, database) = (JobId::new(), Path::new("jobs.db"));
        for (uploads, unfinished, is_empty) in [
            (vec![], vec![], true),
            (vec![], vec![], false),
            (vec![job], vec![job], false),
            (vec![job], vec![], false),
        ] {
            let dir = folder(&uploads);
            for _ in 0..2 {
                pair(dir.path(), database, &identity("a", is_empty), &unfinished).unwrap();
            }
            let refused = pair(dir.path(), database, &identity("b", false), &unfinished).unwrap_err();
            assert!(matches!(refused, PairError::OtherDatabase { .. }), "{refused}");
        }
    }

    #[test]
    fn strangers_are_refused_in_words_and_nothing_is_touched() {
        let (job, database) = (JobId::new(), Path::new("jobs.db"));
        let dir = folder(&[job]);
        let refused = pair(dir.path(), database, &identity("a", true), &[]).unwrap_err().to_string();
        assert!(refused.contains("another database than jobs.db"), "{refused}");
        let refused = expect_database(dir.path(), Path::new("/nowhere/jobs.db")).unwrap_err().to_string();
        assert!(refused.contains("no database at /nowhere/jobs.db"), "{refused}");
        let refused = pair(dir.path(), database, &identity("a", false), &[JobId::new()]).unwrap_err();
        assert!(refused.to_string().contains("1 jobs that wait"), "{refused}");
        assert!(!dir.path().join(FILE).exists());
        assert_eq!(DiskBlobs::open(dir.path()).unwrap().list().unwrap(), [job]);
        expect_database(folder(&[]).path(), Path::new("/nowhere/jobs.db")).unwrap();
        expect_database(Path::new("/nowhere/data"), Path::new("/nowhere/jobs.db")).unwrap();
    }

    #[test]
    fn of_two_databases_that_race_for_a_folder_one_gets_it() {
        for _ in 0..20 {
            let dir = folder(&[]);
            let race = |id| pair(dir.path(), Path::new("jobs.db"), &identity(id, true), &[]).is_ok();
            let (a, b) = std::thread::scope(|scope| {
                let a = scope.spawn(|| race("a"));
                let b = scope.spawn(|| race("b"));
                (a.join().unwrap(), b.join().unwrap())
            });
            assert!(a != b, "{a} {b}");
        }
    }
}

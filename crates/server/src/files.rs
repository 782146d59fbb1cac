//! Uploads on disk: written as `.part`, synced, renamed; removed once their job has ended.

use std::path::{Path, PathBuf};

use crate::job::JobId;

/// The folder of uploads, `DATA_DIR/uploads`.
#[derive(Debug, Clone)]
pub struct Uploads {
    dir: PathBuf,
}

impl Uploads {
    /// Where a finished upload of this job is.
    pub fn path(&self, job: JobId) -> PathBuf {
        self.dir.join(job.to_string())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

//! Opens what outlives the process, and puts in order what processes that have ended left there.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use super::{AppError, data_dir};
use crate::blobs::{Blobs, DiskBlobs, SweepError};
use crate::settings::StorageSettings;
use crate::store::{self, JobStore};
use crate::work::{ProcessLock, RequeueError};

/// Where jobs and their uploads are.
pub(super) struct Storage {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) blobs: Arc<dyn Blobs>,
    pub(super) process: Arc<ProcessLock>,
}

/// Opens the database and its folder of uploads, and puts in order what processes that have ended left there.
pub(super) async fn open(settings: &StorageSettings) -> Result<Storage, AppError> {
    let (data_dir, database) = (&settings.data_dir, &settings.database_path);
    data_dir::expect_database(data_dir, database)?;
    let store = store::open(database).await?;
    let failed = |error| AppError::Uploads { dir: data_dir.clone(), error };
    let disk = |error: io::Error| failed(SweepError::Disk(error));
    let blobs = DiskBlobs::open(data_dir).map_err(disk)?.with_upload_expiry(settings.upload_expiry);
    let unfinished = store.unfinished().await?;
    data_dir::pair(data_dir, database, &store.identity().await?, &unfinished)?;
    let process = Arc::new(ProcessLock::take(data_dir).map_err(disk)?);
    process.requeue_jobs_of_ended(store.as_ref(), Timestamp::now()).await.map_err(|error| match error {
        RequeueError::Disk(error) => disk(error),
        RequeueError::Store(error) => error.into(),
    })?;
    let orphans = blobs.sweep(store.as_ref()).await.map_err(failed)?;
    if !orphans.is_empty() {
        tracing::info!(?orphans, "uploads without a job were moved to DATA_DIR/orphans, for a day");
    }
    Ok(Storage { store, blobs: Arc::new(blobs), process })
}

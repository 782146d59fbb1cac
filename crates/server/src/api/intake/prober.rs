//! Probes uploads: a limited number at once, and each only until its request is dropped.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use verbatim_media::{CancelOnDrop, Cancellation, MediaError, MediaInfo, Tools, probe_with};

use crate::blobs::OpenBlob;

/// Runs at most one probe per processor at once. Probes that wait for a slot hold no thread and no process.
#[derive(Debug, Clone)]
pub struct Prober {
    tools: Tools,
    slots: Arc<Semaphore>,
}

impl Prober {
    /// A prober that runs these programs.
    pub fn new(tools: Tools) -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self { tools, slots: Arc::new(Semaphore::new(processors)) }
    }

    /// Runs [`verbatim_media::probe`] once a slot is free.
    ///
    /// Dropping the future ends the probe and its processes at once.
    pub async fn probe(
        &self,
        upload: OpenBlob,
        max_duration: Duration,
        track: Option<String>,
    ) -> Result<MediaInfo, MediaError> {
        let interrupted =
            |error: &str| MediaError::Tool(format!("The probe of the file was interrupted: {error}."));
        let slot =
            self.slots.clone().acquire_owned().await.map_err(|error| interrupted(&error.to_string()))?;
        let cancellation = Cancellation::default();
        let _guard = CancelOnDrop(cancellation.clone());
        let tools = self.tools.clone();
        let probe = spawn_blocking(move || {
            // Both are held until the processes have ended, even after this future is dropped: the path is of an open file,
            // and would be that of another once this one is closed.
            let (_slot, upload) = (slot, upload);
            probe_with(&tools, &upload.path(), max_duration, track.as_deref(), &cancellation)
        });
        probe.await.map_err(|error| interrupted(&error.to_string()))?
    }
}

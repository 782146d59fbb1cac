//! Probes uploads: a few at a time, and only for as long as somebody waits.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use verbatim_media::{Cancellation, MediaError, MediaInfo, Tools, probe_with};

/// Runs at most as many probes at once as there are processors. Those that wait hold no thread and no process.
#[derive(Debug, Clone)]
pub struct Prober {
    tools: Tools,
    slots: Arc<Semaphore>,
}

impl Prober {
    /// With these programs.
    pub fn new(tools: Tools) -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self { tools, slots: Arc::new(Semaphore::new(processors)) }
    }

    /// [`verbatim_media::probe`], once it is its turn.
    ///
    /// Dropping the future ends the probe and its processes at once.
    pub async fn probe(&self, path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
        let broken_off =
            |error: &str| MediaError::Tool(format!("The look at the file was broken off: {error}."));
        let slot =
            self.slots.clone().acquire_owned().await.map_err(|error| broken_off(&error.to_string()))?;
        let cancellation = Cancellation::default();
        let _guard = CancelOnDrop(cancellation.clone());
        let (tools, path) = (self.tools.clone(), path.to_owned());
        let probe = spawn_blocking(move || {
            // Held until the processes are gone, even where nobody waits any more.
            let _slot = slot;
            probe_with(&tools, &path, max_duration, &cancellation)
        });
        probe.await.map_err(|error| broken_off(&error.to_string()))?
    }
}

/// Cancels a probe that nobody waits for any more.
struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

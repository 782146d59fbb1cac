//! Looks into uploads for the API: a few at a time, and only for as long as somebody waits.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::MediaError;
use super::limits::Limits;
use super::probe::{MediaInfo, look};
use super::tools::Tools;

/// Runs at most as many probes at once as there are processors. Those that wait hold no thread and no process.
#[derive(Debug, Clone)]
pub struct Prober {
    tools: Tools,
    slots: Arc<Semaphore>,
}

impl Prober {
    pub fn new(tools: Tools) -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self { tools, slots: Arc::new(Semaphore::new(processors)) }
    }

    /// Says what a file is, by its content alone. Refuses what is not media, has no audio stream, is a
    /// playlist, is longer than `max_duration`, or takes too long to look into.
    ///
    /// Dropping the future ends the probe and its processes at once.
    pub async fn probe(&self, path: &Path, max_duration: Duration) -> Result<MediaInfo, MediaError> {
        let broken_off =
            |error: &str| MediaError::Tool(format!("The look at the file was broken off: {error}."));
        let slot =
            self.slots.clone().acquire_owned().await.map_err(|error| broken_off(&error.to_string()))?;
        let dropped = CancellationToken::new();
        let _guard = dropped.clone().drop_guard();
        let (tools, path) = (self.tools.clone(), path.to_owned());
        let look = spawn_blocking(move || {
            // Held until the processes are gone, even where nobody waits any more.
            let _slot = slot;
            look(&tools, &path, max_duration, &Limits::probing(tools.timeouts, dropped))
        });
        look.await.map_err(|error| broken_off(&error.to_string()))?
    }
}

//! Timeouts and cancellation of the programs that are run.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a run without output checks whether it was cancelled.
const TICK: Duration = Duration::from_millis(50);

/// Timeouts of ffprobe and ffmpeg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a whole probe. An audio file takes about 0.1 s; one of gigabytes without a duration in its headers takes
    /// as long as reading it.
    pub probe: Duration,
    /// For the next output of a decoder. It has none for a while if it seeks through a long video without sound.
    pub stall: Duration,
    /// From the end of a program's output to its exit.
    pub exit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { probe: Duration::from_secs(30), stall: Duration::from_secs(120), exit: Duration::from_secs(5) }
    }
}

/// Cancels a probe, or another look at a file, from another thread. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Cancels the probe: it fails within about 50 ms, after its processes have ended.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Cancels when it is dropped, as when the future that waits is.
#[derive(Debug)]
pub struct CancelOnDrop(pub Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The timeouts of one run, or of several runs with a common deadline.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    timeouts: Timeouts,
    deadline: Option<Instant>,
    cancellation: Cancellation,
}

impl Limits {
    /// For a decoder, which has no deadline as long as it has output.
    pub(crate) fn decoding(timeouts: Timeouts) -> Self {
        Self { timeouts, deadline: None, cancellation: Cancellation::default() }
    }

    /// For a probe; its deadline counts from now.
    pub(crate) fn probing(timeouts: Timeouts, cancellation: Cancellation) -> Self {
        Self { timeouts, deadline: Some(Instant::now() + timeouts.probe), cancellation }
    }

    /// Starts a wait for output.
    pub(crate) fn output(&self) -> Wait<'_> {
        let stalled = Instant::now() + self.timeouts.stall;
        Wait { limits: self, until: self.deadline.map_or(stalled, |deadline| deadline.min(stalled)) }
    }

    /// Starts a wait for the exit.
    pub(crate) fn exit(&self) -> Wait<'_> {
        Wait { limits: self, until: Instant::now() + self.timeouts.exit }
    }
}

/// A wait with a timeout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait<'a> {
    limits: &'a Limits,
    until: Instant,
}

impl Wait<'_> {
    /// Checks the wait, and returns how long to wait until the next check.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if the time is over, or another kind if the run was cancelled. The texts are ends
    /// of sentences.
    pub(crate) fn step(&self) -> io::Result<Duration> {
        if self.limits.cancellation.is_cancelled() {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        let now = Instant::now();
        if now < self.until {
            return Ok(TICK.min(self.until - now));
        }
        let sentence = match self.limits.deadline {
            Some(deadline) if now >= deadline => "looking into it takes too long".to_owned(),
            _ => format!("decoding it gave nothing for {} seconds", self.limits.timeouts.stall.as_secs_f64()),
        };
        Err(io::Error::new(io::ErrorKind::TimedOut, sentence))
    }
}

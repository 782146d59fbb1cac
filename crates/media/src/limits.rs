//! How long a run of a tool may take by the clock, and who ends it early.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a run that gives nothing checks whether it has been cancelled.
const TICK: Duration = Duration::from_millis(50);

/// Limits of runs by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a whole probe. A sound file takes some 0.1 s, one of gigabytes that does not tell its duration as long as
    /// reading it takes.
    pub probe: Duration,
    /// For the next output of a decoder. One that seeks through a long video without sound gives none for a while.
    pub stall: Duration,
    /// From the end of a tool's output to its exit.
    pub exit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { probe: Duration::from_secs(30), stall: Duration::from_secs(120), exit: Duration::from_secs(5) }
    }
}

/// Ends a probe from another thread. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// The probe fails within some 50 ms, and its processes are gone then.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The limits of one run, or of several that share a deadline.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    timeouts: Timeouts,
    deadline: Option<Instant>,
    cancellation: Cancellation,
}

impl Limits {
    /// For a decoder, which may take as long as it gives sound.
    pub(crate) fn decoding(timeouts: Timeouts) -> Self {
        Self { timeouts, deadline: None, cancellation: Cancellation::default() }
    }

    /// For a probe, whose deadline counts from now on.
    pub(crate) fn probing(timeouts: Timeouts, cancellation: Cancellation) -> Self {
        Self { timeouts, deadline: Some(Instant::now() + timeouts.probe), cancellation }
    }

    /// Begins to wait for output.
    pub(crate) fn output(&self) -> Wait<'_> {
        let stalled = Instant::now() + self.timeouts.stall;
        Wait { limits: self, until: self.deadline.map_or(stalled, |deadline| deadline.min(stalled)) }
    }

    /// Begins to wait for the exit.
    pub(crate) fn exit(&self) -> Wait<'_> {
        Wait { limits: self, until: Instant::now() + self.timeouts.exit }
    }
}

/// A wait with an end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait<'a> {
    limits: &'a Limits,
    until: Instant,
}

impl Wait<'_> {
    /// How long to wait before this is called again.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`], as the end of a sentence, where the time is over; another kind where the run was
    /// cancelled.
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

//! How long a run of a tool may take by the clock, and who ends it early.

use std::io;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// How often a run that gives nothing is asked whether somebody has ended it.
const TICK: Duration = Duration::from_millis(50);

/// Limits of runs by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For all that is looked at in an upload. A sound file takes some 0.1 s, one of gigabytes that does not tell its
    /// duration as long as reading it takes.
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

/// The limits of one run, or of several that share a deadline.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    timeouts: Timeouts,
    deadline: Option<Instant>,
    cancelled: CancellationToken,
}

impl Limits {
    /// For a decoder, which may take as long as it gives sound.
    pub(super) fn decoding(timeouts: Timeouts) -> Self {
        Self { timeouts, deadline: None, cancelled: CancellationToken::new() }
    }

    /// For a look at a file, from now on.
    pub(super) fn probing(timeouts: Timeouts, cancelled: CancellationToken) -> Self {
        Self { timeouts, deadline: Some(Instant::now() + timeouts.probe), cancelled }
    }

    /// Begins to wait for output.
    pub(super) fn output(&self) -> Wait<'_> {
        let stalled = Instant::now() + self.timeouts.stall;
        Wait { limits: self, until: self.deadline.map_or(stalled, |deadline| deadline.min(stalled)) }
    }

    /// Begins to wait for the exit.
    pub(super) fn exit(&self) -> Wait<'_> {
        Wait { limits: self, until: Instant::now() + self.timeouts.exit }
    }
}

/// A wait with an end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait<'a> {
    limits: &'a Limits,
    until: Instant,
}

impl Wait<'_> {
    /// How long to wait until this is to be asked again.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`], as the end of a sentence, where the time is over; another kind where somebody has
    /// ended it.
    pub(super) fn step(&self) -> io::Result<Duration> {
        if self.limits.cancelled.is_cancelled() {
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

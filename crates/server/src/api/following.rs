//! Follows a job: gives its events as they are stored.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ApiState;
use crate::jobs::JobId;
use crate::signals::Subscription;
use crate::store::{Event, StoreResult};

/// The time between two queries of the job. A worker of another process sends no notification here.
const POLL: Duration = Duration::from_secs(1);

/// The most events that are read at once.
const AT_ONCE: u32 = 500;

/// Tells when jobs may have changed.
#[derive(Debug)]
pub(super) struct Changes {
    changed: Subscription,
    ended: Subscription,
    stopping: CancellationToken,
}

impl Changes {
    /// Those from now on.
    pub(super) fn of(state: &ApiState) -> Self {
        let notifiers = &state.intake.notifiers;
        Self {
            changed: notifiers.changed.subscribe(),
            ended: notifiers.ended.subscribe(),
            stopping: state.intake.stopping.clone(),
        }
    }

    /// Waits until a job may have changed. False if the server is stopping.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            () = self.stopping.cancelled() => false,
            () = self.changed.wait() => true,
            () = self.ended.wait() => true,
            () = tokio::time::sleep(POLL) => true,
        }
    }
}

/// Reads the events of a job in their order.
#[derive(Debug)]
pub(super) struct Follower {
    state: ApiState,
    job: JobId,
    /// The number of the last event that was given.
    after: u64,
    changes: Changes,
}

/// What a [`Follower`] has found.
#[derive(Debug)]
pub(super) enum Followed {
    /// At least one event.
    Events(Vec<Event>),
    /// The job has ended, and all its events were given.
    Ended,
    /// The job was deleted.
    Deleted,
    /// The server is stopping; the job goes on later.
    Stopping,
}

impl Follower {
    /// Starts behind the event number `after`; 0 is the start.
    pub(super) fn new(state: &ApiState, job: JobId, after: u64) -> Self {
        Self { job, after, changes: Changes::of(state), state: state.clone() }
    }

    /// What happens next. Waits for it, if it has not happened yet.
    pub(super) async fn next(&mut self) -> StoreResult<Followed> {
        loop {
            // In this order: an event that is stored in between is read.
            let job = self.state.store().get(self.job).await?;
            let events = self.state.store().events(self.job, self.after, AT_ONCE).await?;
            if let Some(last) = events.last() {
                self.after = last.number;
                return Ok(Followed::Events(events));
            }
            match job {
                None => return Ok(Followed::Deleted),
                Some(job) if job.status.has_ended() => return Ok(Followed::Ended),
                Some(_) => {}
            }
            if !self.changes.next().await {
                return Ok(Followed::Stopping);
            }
        }
    }
}

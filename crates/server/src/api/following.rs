//! Follows a job: gives its events as they are stored.

use std::time::Duration;

use super::ApiState;
use crate::jobs::JobId;
use crate::signals::Subscription;
use crate::store::{Event, StoreResult};

/// The time between two queries of the job. A worker of another process sends no notification here.
const POLL: Duration = Duration::from_secs(1);

/// The most events that are read at once.
const AT_ONCE: u32 = 500;

/// Reads the events of a job in their order.
#[derive(Debug)]
pub(super) struct Follower {
    state: ApiState,
    job: JobId,
    /// The number of the last event that was given.
    after: u64,
    changed: Subscription,
    ended: Subscription,
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
        let notifiers = &state.intake.notifiers;
        Self {
            job,
            after,
            changed: notifiers.changed.subscribe(),
            ended: notifiers.ended.subscribe(),
            state: state.clone(),
        }
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
            tokio::select! {
                () = self.state.intake.stopping.cancelled() => return Ok(Followed::Stopping),
                () = self.changed.wait() => {}
                () = self.ended.wait() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
}

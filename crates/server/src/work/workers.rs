//! Workers: claim a job, hold its lease, run it, end it. What a dead worker leaves behind, another one
//! takes up: at once where its process is seen to have ended, else once the lease has expired.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::{SignedDuration, Timestamp};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::error::PipelineError;
use super::pipeline::{Finished, Pipeline, retried};
use super::processes::ProcessLock;
use crate::blobs::Blobs;
use crate::jobs::JobId;
use crate::signals::{Faults, Notifiers, Work};
use crate::store::{Claim, JobStore, KEYS_KEPT, Lease, MAX_STRIKES, Outcome, StoreError, StoreResult};

/// How often workers do what they do.
#[derive(Debug, Clone, Copy)]
pub struct Intervals {
    /// How long a job stays a worker's own without a heartbeat, and so how long it waits after a crash.
    pub lease: Duration,
    /// A third of the lease, so that two heartbeats may come late.
    pub heartbeat: Duration,
    /// How often to ask the store for jobs: other processes do not notify this one.
    pub poll: Duration,
    /// How often to ask whether a job was cancelled by another process: a cancelled job stops within a second.
    pub cancelled: Duration,
    /// How often to remove uploads whose job ended without a worker.
    pub clean_up: Duration,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            heartbeat: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            cancelled: Duration::from_millis(500),
            clean_up: Duration::from_secs(10),
        }
    }
}

/// How long what ended jobs leave is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Jobs with their results; `None` for ever.
    pub results: Option<Duration>,
    /// Uploads, but no longer than their jobs.
    pub uploads: Duration,
}

/// When to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Claim nothing more; windows that the engine has end and are stored.
    pub soft: CancellationToken,
    /// Give every job back at once.
    pub hard: CancellationToken,
}

/// The background processor.
#[derive(Debug, Clone)]
pub struct Workers {
    pub pipeline: Arc<Pipeline>,
    pub store: Arc<dyn JobStore>,
    pub blobs: Arc<dyn Blobs>,
    pub notifiers: Notifiers,
    pub intervals: Intervals,
    pub retention: Retention,
    pub stop: Stop,
    /// Whose leases these workers' are.
    pub process: Arc<ProcessLock>,
    /// What keeps them from working; `/health` shows it.
    pub faults: Faults,
}

impl Workers {
    /// Works on up to `count` jobs at the same time, until told to stop.
    pub async fn run(self, count: u32) {
        let mut workers = JoinSet::new();
        for _ in 0..count {
            let worker = self.clone();
            workers.spawn(async move { worker.work_on_jobs().await });
        }
        let cleaning = AbortOnDropHandle::new(tokio::spawn(self.clone().clean_up_now_and_then()));
        let watching = AbortOnDropHandle::new(tokio::spawn(self.watch_processes()));
        while workers.join_next().await.is_some() {}
        drop((cleaning, watching));
    }

    async fn work_on_jobs(&self) {
        let mut queued = self.notifiers.queued.subscribe();
        let mut clock = Clock::default();
        while !self.stop.soft.is_cancelled() {
            if clock.jumped(Timestamp::now(), Instant::now(), self.intervals.heartbeat) {
                tracing::warn!("the clock has jumped; no job is claimed until leases had time to be renewed");
                self.stop.soft.run_until_cancelled(sleep(self.intervals.heartbeat * 2)).await;
                continue;
            }
            if !self.pipeline.recognizers.is_alive() {
                tracing::error!("the engine has died; no more jobs are taken until the service is restarted");
                return;
            }
            let claim = self.store.claim(self.process.id(), Timestamp::now(), self.intervals.lease).await;
            let fault = claim.as_ref().err().map(|error| format!("no job could be claimed: {error}"));
            self.faults.note(Work::Claiming, fault);
            match claim {
                Ok(Some(claim)) => {
                    self.work_on(claim).await;
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::error!("no job could be claimed: {error}"),
            }
            tokio::select! {
                () = self.stop.soft.cancelled() => {}
                () = queued.wait() => {}
                () = sleep(self.intervals.poll) => {}
            }
        }
    }

    async fn work_on(&self, claim: Claim) {
        let id = claim.job.id;
        tracing::info!(job = %id, filename = claim.job.filename, "job started");
        let ended = if claim.strikes < MAX_STRIKES { self.supervise(&claim).await } else { given_up(&claim) };
        let written = match ended {
            Ended::Completed(result, at) => {
                self.finish(&claim.lease, &Outcome::Completed { result }, at).await.inspect(|()| {
                    tracing::info!(job = %id, "job completed");
                })
            }
            Ended::Failed(message, detail) => self.fail(&claim, message, detail).await,
            Ended::Stopped => {
                tracing::info!(job = %id, "job goes back to the queue");
                self.give_back(&claim.lease).await
            }
            Ended::Unstored(StoreError::LeaseLost(job)) => Err(StoreError::LeaseLost(job)),
            Ended::Unstored(error) => {
                let message = format!("What was transcribed could not be stored: {error}.");
                self.fail(&claim, message, None).await
            }
        };
        match written {
            Ok(()) => self.faults.note(Work::Ending, None),
            Err(StoreError::LeaseLost(_)) => tracing::info!(job = %id, "job was cancelled or taken over"),
            Err(error) => {
                tracing::error!(job = %id, "how the job ended could not be stored: {error}");
                let fault = format!("how the job {id} ended could not be stored: {error}");
                self.faults.note(Work::Ending, Some(fault));
            }
        }
        if let Err(error) = self.clean_up(id).await {
            tracing::error!(job = %id, "the upload could not be removed: {error}");
        }
        self.notifiers.ended.notify();
    }

    /// Fails a job, and keeps what it had so far.
    async fn fail(&self, claim: &Claim, message: String, detail: Option<String>) -> StoreResult<()> {
        tracing::warn!(job = %claim.job.id, "job failed: {message}");
        let partial = self.pipeline.partial(claim).await.unwrap_or_else(|error| {
            tracing::error!(job = %claim.job.id, "what the job had so far cannot be kept: {error}");
            None
        });
        self.finish(&claim.lease, &Outcome::Failed { message, detail, partial }, Timestamp::now()).await
    }

    /// Stores how a job ended. Where its result cannot be stored, the job fails, for trying again would go the same way.
    async fn finish(&self, lease: &Lease, outcome: &Outcome, at: Timestamp) -> StoreResult<()> {
        match self.try_to_finish(lease, outcome, at).await {
            Err(error @ StoreError::Database(_)) => {
                tracing::error!(job = %lease.job, "the result could not be stored: {error}");
                let message = match outcome {
                    Outcome::Completed { .. } => format!("The result could not be stored: {error}."),
                    Outcome::Failed { message, .. } => message.clone(),
                };
                let outcome = Outcome::Failed { message, detail: None, partial: None };
                self.try_to_finish(lease, &outcome, at).await
            }
            other => other,
        }
    }

    /// Waits for a database that has no room or does not answer, until the service is to end.
    async fn try_to_finish(&self, lease: &Lease, outcome: &Outcome, at: Timestamp) -> StoreResult<()> {
        let finish = retried(|| self.store.finish(lease, outcome, at));
        self.stop.hard.run_until_cancelled(finish).await.unwrap_or_else(|| Err(unstored()))
    }

    async fn give_back(&self, lease: &Lease) -> StoreResult<()> {
        let release = retried(|| self.store.release(lease, Timestamp::now()));
        timeout(self.intervals.heartbeat, release).await.unwrap_or_else(|_| Err(unstored()))
    }

    /// Runs a job and renews its lease meanwhile.
    async fn supervise(&self, claim: &Claim) -> Ended {
        let (pipeline, own_claim, soft) = (self.pipeline.clone(), claim.clone(), self.stop.soft.clone());
        let running = tokio::spawn(async move { pipeline.run(&own_claim, &soft).await });
        let mut running = AbortOnDropHandle::new(running);
        // The claim has just set the lease.
        let first = tokio::time::Instant::now() + self.intervals.heartbeat;
        let mut heartbeat = interval_at(first, self.intervals.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Cancelling notifies of this, too, and so does the end of every other job: a query that writes nothing. Another
        // process that cancels the job does not notify this one.
        let mut ended = self.notifiers.ended.subscribe();
        let mut poll =
            interval_at(tokio::time::Instant::now() + self.intervals.cancelled, self.intervals.cancelled);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let still_held = tokio::select! {
                result = &mut running => return Ended::from(result),
                () = self.stop.hard.cancelled() => return Ended::Stopped,
                _ = heartbeat.tick() => self.renew(&claim.lease).await,
                () = ended.wait() => self.store.is_held(&claim.lease).await,
                _ = poll.tick() => self.store.is_held(&claim.lease).await,
            };
            match still_held {
                Ok(true) => {}
                Ok(false) => return Ended::Unstored(StoreError::LeaseLost(claim.job.id)),
                Err(error) => tracing::error!(job = %claim.job.id, "a lease could not be renewed: {error}"),
            }
        }
    }

    async fn renew(&self, lease: &Lease) -> StoreResult<bool> {
        match self.store.heartbeat(lease, Timestamp::now(), self.intervals.lease).await {
            Ok(()) => Ok(true),
            Err(StoreError::LeaseLost(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the upload of a job that has ended, unless it is to be kept for a while.
    async fn clean_up(&self, id: JobId) -> io::Result<()> {
        match self.store.give_up_upload(id, ago(self.retention.uploads)).await {
            Ok(true) => self.blobs.remove(id).await,
            Ok(false) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Jobs also end while no worker has them: cancelled in the queue, or given up.
    async fn clean_up_now_and_then(self) {
        let mut turns = interval(self.intervals.clean_up);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            if let Err(error) = self.clean_up_all().await {
                tracing::error!("uploads of jobs that have ended could not be removed: {error}");
            }
            if let Err(error) = self.purge_ended().await {
                tracing::error!("jobs that have had their time could not be removed: {error}");
            }
            if let Err(error) = self.store.release_space().await {
                tracing::warn!("the database keeps the space of removed jobs for now: {error}");
            }
            if let Err(error) = self.blobs.purge_orphans(SystemTime::now()).await {
                tracing::error!("what was set aside could not be removed: {error}");
            }
            if let Err(error) = self.blobs.partials().purge_expired(Timestamp::now()).await {
                tracing::error!("partial uploads that have expired could not be removed: {error}");
            }
        }
    }

    /// What another process had when it ended need not wait until its leases expire.
    async fn watch_processes(self) {
        let mut turns = interval(self.intervals.poll);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            match self.process.requeue_jobs_of_ended(self.store.as_ref(), Timestamp::now()).await {
                Ok(0) => {}
                Ok(_) => self.notifiers.queued.notify(),
                Err(error) => tracing::error!("whether other processes have ended cannot be told: {error}"),
            }
        }
    }

    /// Removes jobs whose results have been kept long enough, and keys that nobody repeats any more.
    async fn purge_ended(&self) -> io::Result<()> {
        const AT_ONCE: u32 = 100;
        self.store.forget_keys(ago(KEYS_KEPT)).await.map_err(io::Error::other)?;
        let Some(kept) = self.retention.results else { return Ok(()) };
        loop {
            let ended = self.store.ended_before(ago(kept), AT_ONCE).await.map_err(io::Error::other)?;
            if ended.is_empty() {
                return Ok(());
            }
            for id in &ended {
                // Not one that was retried meanwhile.
                if self.store.delete_ended(*id, ago(kept)).await.map_err(io::Error::other)? {
                    self.blobs.remove(*id).await?;
                }
            }
            tracing::info!(jobs = ended.len(), "jobs removed: their results were kept long enough");
        }
    }

    async fn clean_up_all(&self) -> io::Result<()> {
        // In this order: an upload whose job is stored in between is not looked at.
        let kept = self.blobs.jobs().await?;
        let mut needed: HashSet<_> =
            self.store.unfinished().await.map_err(io::Error::other)?.into_iter().collect();
        if !self.retention.uploads.is_zero() {
            let ended = self.store.ended_since(ago(self.retention.uploads)).await;
            needed.extend(ended.map_err(io::Error::other)?);
        }
        for id in kept.into_iter().filter(|id| !needed.contains(id)) {
            self.clean_up(id).await?;
        }
        Ok(())
    }
}

/// A moment so long ago; the earliest of all, if that was before it.
fn ago(duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| Timestamp::now().checked_sub(duration).ok())
        .unwrap_or(Timestamp::MIN)
}

/// Notices that the machine slept or its clock was set. All leases look expired then, though their
/// holders live; without a pause, jobs would be taken away in mid-work and lose an attempt each time.
#[derive(Debug)]
struct Clock {
    wall: Timestamp,
    /// Stands still while the machine sleeps.
    running: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { wall: Timestamp::now(), running: Instant::now() }
    }
}

impl Clock {
    /// Whether the wall clock has gone further than it should since the last call.
    fn jumped(&mut self, wall: Timestamp, running: Instant, tolerance: Duration) -> bool {
        let gone = wall.duration_since(self.wall);
        let should = running.saturating_duration_since(self.running) + tolerance;
        *self = Self { wall, running };
        SignedDuration::try_from(should).is_ok_and(|should| gone > should)
    }
}

/// How working on a job came to an end.
enum Ended {
    Completed(String, Timestamp),
    /// A sentence, and what more is known.
    Failed(String, Option<String>),
    Stopped,
    /// The database failed, or the job is another's or cancelled.
    Unstored(StoreError),
}

impl From<Result<Result<Finished, PipelineError>, JoinError>> for Ended {
    fn from(result: Result<Result<Finished, PipelineError>, JoinError>) -> Self {
        match result {
            Ok(Ok(Finished { result, at })) => Self::Completed(result, at),
            Ok(Err(PipelineError::Job(message))) => Self::Failed(message, None),
            Ok(Err(PipelineError::Stopped)) => Self::Stopped,
            Ok(Err(PipelineError::Store(error))) => Self::Unstored(error),
            Err(error) => Self::Failed(
                "The service failed on this file by an error of its own; please report it.".to_owned(),
                Some(error.to_string()),
            ),
        }
    }
}

/// The database did not come back before the service had to end.
fn unstored() -> StoreError {
    StoreError::Unavailable("the job goes on at the next start".to_owned())
}

/// Of a job that has taken the process down as often as is allowed.
fn given_up(claim: &Claim) -> Ended {
    let message = format!(
        "The job was started {} times with nothing else under way, and each time the service ended before anything new of it was \
         stored; it was given up.",
        claim.strikes
    );
    Ended::Failed(message, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_on_while_the_machine_sleeps_has_jumped() {
        let (wall, running) = (Timestamp::now(), Instant::now());
        let tolerance = Duration::from_secs(5);
        let mut clock = Clock { wall, running };
        let after = |seconds| wall + Duration::from_secs(seconds);
        let ran = |seconds| running + Duration::from_secs(seconds);
        assert!(!clock.jumped(after(10), ran(10), tolerance));
        assert!(!clock.jumped(after(24), ran(20), tolerance), "clocks are set by a little now and then");
        assert!(clock.jumped(after(3600), ran(21), tolerance));
        assert!(!clock.jumped(after(3601), ran(22), tolerance), "it jumps once");
        assert!(!clock.jumped(after(10), ran(23), tolerance), "backwards, leases only last longer");
    }

    #[tokio::test]
    async fn a_panic_fails_its_job_in_a_sentence() {
        let job = tokio::spawn(async { panic!("as a bug would") });
        let Ended::Failed(message, detail) = Ended::from(job.await) else {
            panic!("a panic is the job's end");
        };
        assert!(message.contains("an error of its own"), "{message}");
        assert!(detail.unwrap().contains("as a bug would"));
    }
}

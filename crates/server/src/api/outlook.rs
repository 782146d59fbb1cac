//! How long a job has to wait and to run: told from the queue, and from how fast jobs went lately.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::jobs::{Job, JobStatus};
use crate::store::{JobStore, Run, StoreResult};

/// The jobs that the speed is measured on.
const RUNS: u32 = 20;

/// How long a measured speed is used.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// From this percentage on, a job's own progress tells when it will end.
const TELLING_PERCENTAGE: u8 = 5;

/// Tells what is ahead of jobs. Clones share what they have measured.
#[derive(Debug, Clone, Default)]
pub struct Outlook(Arc<Mutex<Option<Measured>>>);

/// Seconds of audio that all jobs together get through in a second; `None` if no job has completed yet.
#[derive(Debug, Clone, Copy)]
struct Measured {
    at: Instant,
    speed: Option<f64>,
}

/// What is ahead of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Forecast {
    /// 1 is the next; `None` if the job does not wait.
    pub(super) queue_position: Option<u64>,
    /// Until its end; `None` if it has ended or nothing is known.
    pub(super) estimated_seconds: Option<u64>,
}

impl Outlook {
    pub(super) async fn of(&self, store: &dyn JobStore, job: &Job) -> StoreResult<Forecast> {
        match job.status {
            JobStatus::Pending => {
                let ahead = store.ahead(job).await?;
                let audio = job.duration.map(|own| ahead.seconds + own);
                let estimated_seconds = self.seconds_for(store, audio).await?;
                Ok(Forecast { queue_position: Some(ahead.jobs + 1), estimated_seconds })
            }
            JobStatus::Processing => {
                let estimated_seconds = match by_progress(job, Timestamp::now()) {
                    Some(seconds) => Some(seconds.ceil() as u64),
                    None => self.seconds_for(store, job.duration.map(|all| left(job, all))).await?,
                };
                Ok(Forecast { queue_position: None, estimated_seconds })
            }
            JobStatus::Completed | JobStatus::Failed | JobStatus::Cancelled => Ok(Forecast::default()),
        }
    }

    /// Seconds for so many seconds of audio.
    async fn seconds_for(&self, store: &dyn JobStore, audio: Option<f64>) -> StoreResult<Option<u64>> {
        let speed = self.speed(store).await?;
        Ok(audio.zip(speed).map(|(audio, speed)| (audio / speed).ceil() as u64))
    }

    async fn speed(&self, store: &dyn JobStore) -> StoreResult<Option<f64>> {
        let measured = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(measured) = measured.filter(|measured| measured.at.elapsed() < MEASURE_EVERY) {
            return Ok(measured.speed);
        }
        let speed = speed_of(store.recent_runs(RUNS).await?);
        let measured = Measured { at: Instant::now(), speed };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(measured);
        Ok(speed)
    }
}

/// Seconds of audio over the seconds in which any of the jobs ran. `None` if that is nothing.
fn speed_of(mut runs: Vec<Run>) -> Option<f64> {
    runs.sort_by_key(|run| run.started_at);
    let (mut busy, mut until) = (0.0, Timestamp::MIN);
    for run in &runs {
        let from = run.started_at.max(until);
        busy += run.completed_at.duration_since(from).as_secs_f64().max(0.0);
        until = until.max(run.completed_at);
    }
    let audio: f64 = runs.iter().map(|run| run.seconds).sum();
    (busy > 0.0 && audio > 0.0).then(|| audio / busy)
}

/// By how far the job has come since its start.
fn by_progress(job: &Job, now: Timestamp) -> Option<f64> {
    let percentage = job.progress_percentage;
    let ran = now.duration_since(job.started_at?).as_secs_f64();
    (percentage >= TELLING_PERCENTAGE && ran > 0.0)
        .then(|| ran * f64::from(100 - percentage) / f64::from(percentage))
}

/// The seconds of audio that are left.
fn left(job: &Job, all: f64) -> f64 {
    all * f64::from(100 - job.progress_percentage) / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(started_at: i64, completed_at: i64, seconds: f64) -> Run {
        let at = |second| Timestamp::from_second(second).unwrap();
        Run { started_at: at(started_at), completed_at: at(completed_at), seconds }
    }

    #[test]
    fn the_speed_counts_time_in_which_several_jobs_ran_once_and_pauses_not_at_all() {
        let runs = vec![run(100, 110, 50.0), run(0, 10, 100.0), run(5, 20, 150.0), run(6, 8, 0.0)];
        assert_eq!(speed_of(runs), Some(300.0 / 30.0));
        assert_eq!(speed_of(vec![]), None);
        assert_eq!(speed_of(vec![run(5, 5, 10.0)]), None);
        assert_eq!(speed_of(vec![run(9, 5, 10.0)]), None, "a clock that was set back");
    }
}

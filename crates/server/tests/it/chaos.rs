//! The real binary killed again and again, at random moments, while jobs run: nothing is lost, doubled or failed, and every
//! transcript is as if nothing had happened. A few times in `make test`, fifty times in `make chaos`.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use verbatim::jobs::{JobId, JobStatus};
use verbatim::store::{self, EventKind};

use crate::pipeline::comparable;
use crate::process::{Server, database};
use crate::speech::novel;
use crate::support::clips;

/// Jobs that wait or run whenever a server has started.
const UNDER_WAY: usize = 6;

/// A server lives at most so many times as long as it takes for the shortest recording. Were its life shorter than that again and
/// again, nobody could tell whether a recording or somebody else ends it.
const LIFE: u32 = 12;

fn setting<T: FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Recordings of one to a handful of windows.
fn recordings(dir: &Path) -> Vec<PathBuf> {
    let mut recordings = vec![clips::novel(), clips::dashwood()];
    for seconds in [24, 72, 150] {
        let folder = dir.join(seconds.to_string());
        std::fs::create_dir(&folder).unwrap();
        recordings.push(novel(&folder, seconds));
    }
    recordings
}

/// What became of the jobs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    lost: usize,
    doubled: usize,
    failed: usize,
    different: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn random_kills_cost_nothing() {
    let kills = setting("VERBATIM_CHAOS_KILLS", 5_usize);
    let at_least = setting("VERBATIM_CHAOS_JOBS", 8_usize);
    let seed = setting("VERBATIM_CHAOS_SEED", 1_u64);
    let mut random = StdRng::seed_from_u64(seed);
    let dir = TempDir::new().unwrap();
    let recordings = recordings(dir.path());

    let server = Server::start(dir.path()).await;
    let (mut expected, mut life) = (Vec::new(), Duration::MAX);
    for recording in &recordings {
        let begun = Instant::now();
        let job = server.submit(recording, "").await;
        let (status, mut body) = server.end_of(job).await;
        assert_eq!(status, 200, "{body}");
        life = life.min(begun.elapsed() * LIFE);
        expected.push(comparable(body["result"].take()));
    }
    server.kill();

    let mut jobs: HashMap<JobId, usize> = HashMap::new();
    for _ in 0..kills {
        let server = Server::start(dir.path()).await;
        let unfinished = unfinished(dir.path()).await;
        for _ in unfinished..UNDER_WAY {
            let recording = jobs.len() % recordings.len();
            jobs.insert(server.submit(&recordings[recording], "").await, recording);
        }
        tokio::time::sleep(random.random_range(Duration::ZERO..life)).await;
        server.kill();
    }
    let server = Server::start(dir.path()).await;
    while jobs.len() < at_least {
        let recording = jobs.len() % recordings.len();
        jobs.insert(server.submit(&recordings[recording], "").await, recording);
    }
    let mut tally = Tally::default();
    for (job, recording) in &jobs {
        let (status, mut body) = server.end_of(*job).await;
        match status.as_u16() {
            200 => {
                let result = comparable(body["result"].take());
                let fields = result.as_object().unwrap().iter();
                for (name, value) in fields.filter(|(name, value)| expected[*recording][*name] != **value) {
                    println!("{job}: {name} is {value}, not {}", expected[*recording][name]);
                }
                tally.different += usize::from(result != expected[*recording]);
            }
            404 => tally.lost += 1,
            _ => {
                println!("{job}: {body}");
                tally.failed += 1;
            }
        }
    }
    server.kill();
    tally.doubled = doubled(dir.path(), jobs.keys()).await;
    println!("seed {seed}, {kills} kills, {} jobs: {tally:?}", jobs.len());
    assert_eq!(tally, Tally::default());
}

async fn unfinished(dir: &Path) -> usize {
    let store = store::open(&database(dir)).await.unwrap();
    let unfinished = store.unfinished().await.unwrap().len();
    store.close().await;
    unfinished
}

/// Jobs that ended twice, or told a segment twice.
async fn doubled(dir: &Path, jobs: impl Iterator<Item = &JobId>) -> usize {
    let store = store::open(&database(dir)).await.unwrap();
    let mut doubled = 0;
    for job in jobs {
        let events = store.events(*job, 0, u32::MAX).await.unwrap();
        let of = |kind| events.iter().filter(move |event| event.kind == kind);
        let ends = of(EventKind::Status).filter(|event| {
            let status = event.data["status"].as_str().and_then(JobStatus::parse);
            status.is_some_and(JobStatus::has_ended)
        });
        let mut segments: Vec<String> = of(EventKind::Segment)
            .map(|event| format!("{} {}", event.data["window"], event.data["start"]))
            .collect();
        let stored = segments.len();
        segments.sort_unstable();
        segments.dedup();
        doubled += usize::from(ends.count() != 1 || segments.len() != stored);
    }
    store.close().await;
    doubled
}

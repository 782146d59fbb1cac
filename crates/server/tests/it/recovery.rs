//! The real binary does not lose work: killed, stopped, started again.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use verbatim::job::JobId;
use verbatim::store::{JobStore, MAX_ATTEMPTS, SqliteStore};

use crate::pipeline::comparable;
use crate::process::{Server, database};
use crate::speech::novel;
use crate::support::app::eventually;
use crate::support::clips;
use crate::webhook::Receiver;

/// Seconds of speech that give a handful of batches.
const LONG: u32 = 190;

/// The windows of a job that are safe in the database.
async fn stored_windows(dir: &Path, job: JobId) -> Vec<u64> {
    let store = SqliteStore::open(&database(dir)).await.unwrap();
    let stored = store.windows(job).await.unwrap();
    store.close().await;
    stored.iter().map(|window| window.index as u64).collect()
}

/// Lets the lease of a server that is dead expire, as time would.
async fn expire_lease(dir: &Path, job: JobId) {
    let store = SqliteStore::open(&database(dir)).await.unwrap();
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let claim = store.claim(later, Duration::from_secs(1)).await.unwrap().expect("a job that was left");
    assert_eq!(claim.job.id, job);
    store.release(&claim.lease).await.unwrap();
    store.close().await;
}

async fn until_windows(server: &Server, job: JobId, count: usize) {
    eventually("windows", || async { server.windows_transcribed(job).len() >= count }).await;
}

/// The result that a job must have completed with.
async fn result(server: &Server, job: JobId) -> Value {
    let (status, mut body) = server.end_of(job).await;
    assert_eq!(status, 200, "{body}");
    body["result"].take()
}

fn sorted(mut windows: Vec<u64>) -> Vec<u64> {
    windows.sort_unstable();
    windows
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_the_middle_costs_nothing_that_was_done() {
    let dir = TempDir::new().unwrap();
    let long = novel(dir.path(), LONG);
    let receiver = Receiver::start([]).await;

    let undisturbed = Server::start(dir.path()).await;
    let job = undisturbed.submit(&long, "").await;
    let expected = result(&undisturbed, job).await;
    let all = sorted(undisturbed.windows_transcribed(job));
    assert!(all.len() >= 6, "too short to be interrupted: {all:?}");

    let job = undisturbed.submit(&long, "").await;
    let waiting = undisturbed.submit(&clips::novel(), &format!("?webhook_url={}", receiver.url)).await;
    until_windows(&undisturbed, job, 1).await;
    undisturbed.kill();
    let stored = stored_windows(dir.path(), job).await;
    assert!(stored.len() < all.len(), "killed too late: {stored:?}");
    let uploads = dir.path().join("data/uploads");
    let orphans = [uploads.join(JobId::new().to_string()), uploads.join(format!("{}.part", JobId::new()))];
    for orphan in &orphans {
        std::fs::write(orphan, "left by a crash").unwrap();
    }

    let again = Server::start(dir.path()).await;
    for orphan in &orphans {
        assert!(!orphan.exists(), "{} is still there", orphan.display());
    }
    let resumed = result(&again, job).await;
    assert_eq!(comparable(resumed), comparable(expected));
    let computed = again.windows_transcribed(job);
    assert_eq!(sorted([stored.clone(), computed.clone()].concat()), all, "{stored:?} were safe");
    result(&again, waiting).await;
    let calls = receiver.wait_for(1).await;
    assert!(calls[0].body.contains(&waiting.to_string()));
    eventually("the uploads to be gone", || async { uploads.read_dir().unwrap().next().is_none() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_the_process_down_three_times_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let long = novel(dir.path(), LONG);
    let mut job = None;
    for attempt in 1..=MAX_ATTEMPTS {
        let server = Server::start(dir.path()).await;
        let id = match job {
            Some(id) => id,
            None => *job.insert(server.submit(&long, "").await),
        };
        let running = || async { server.status(id).await["status"] == "processing" };
        eventually("the job to start", running).await;
        server.kill();
        if attempt < MAX_ATTEMPTS {
            expire_lease(dir.path(), id).await;
        }
    }
    let job = job.unwrap();
    let server = Server::start(dir.path()).await;
    let (status, body) = server.end_of(job).await;
    assert_eq!(status, 500, "{body}");
    let sentence = body["error_message"].as_str().unwrap();
    assert!(sentence.contains("started 3 times"), "{sentence}");
    assert_eq!(server.windows_transcribed(job), Vec::<u64>::new());
    let uploads = dir.path().join("data/uploads");
    eventually("the upload to be gone", || async { uploads.read_dir().unwrap().next().is_none() }).await;
    let next = server.submit(&clips::novel(), "").await;
    result(&server, next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_what_is_begun_and_the_job_goes_on_after_the_restart() {
    let dir = TempDir::new().unwrap();
    let long = novel(dir.path(), LONG);
    let server = Server::start(dir.path()).await;
    let job = server.submit(&long, "").await;
    until_windows(&server, job, 1).await;
    let (status, took) = server.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let stored = stored_windows(dir.path(), job).await;
    assert!(!stored.is_empty());

    let again = Server::start(dir.path()).await;
    let result = result(&again, job).await;
    assert!(result["transcript"].as_str().unwrap().contains("John Dashwood"));
    let computed = again.windows_transcribed(job);
    assert!(!computed.is_empty(), "there was nothing left to do");
    assert!(computed.iter().all(|window| !stored.contains(window)), "{computed:?} after {stored:?}");
    let (status, _) = again.terminate();
    assert_eq!(status.code(), Some(0));
}

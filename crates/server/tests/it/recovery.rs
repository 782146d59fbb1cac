//! The real binary does not lose work: killed, stopped, started again, on a full disk, with the wrong database.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use verbatim::jobs::JobId;
use verbatim::store::ProcessId;
use verbatim::store::{self, MAX_STRIKES};

use crate::pipeline::comparable;
use crate::process::{Server, database, serve};
use crate::speech::novel;
use crate::support::app::{eventually, json, problem};
use crate::support::{clips, form};
use crate::webhook::Receiver;

/// Seconds of speech that give a handful of batches.
const LONG: u32 = 190;

const LEASE: Duration = Duration::from_secs(15);

/// The windows of a job that are safe in the database.
async fn stored_windows(dir: &Path, job: JobId) -> Vec<u64> {
    let store = store::open(&database(dir)).await.unwrap();
    let stored = store.windows(job).await.unwrap();
    store.close().await;
    stored.iter().map(|window| window.index as u64).collect()
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
    let data = dir.path().join("data");
    let uploads = data.join("uploads");
    let orphans = [JobId::new().to_string(), format!("{}.part", JobId::new())];
    for orphan in &orphans {
        fs::write(uploads.join(orphan), "left by a crash").unwrap();
    }

    let again = Server::start(dir.path()).await;
    for orphan in &orphans {
        assert!(!uploads.join(orphan).exists(), "{orphan} is still there");
        assert_eq!(fs::read(data.join("orphans").join(orphan)).unwrap(), b"left by a crash");
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

/// As if the process had ended so often while it worked on nothing but this job.
async fn strike(dir: &Path, job: JobId, times: u32) {
    let store = store::open(&database(dir)).await.unwrap();
    let now = Timestamp::now();
    // The server that was killed.
    let later = now + LEASE;
    for _ in 0..times {
        let process = ProcessId::new();
        let claim = store.claim(process, later, LEASE).await.unwrap().unwrap();
        assert_eq!(claim.job.id, job);
        store.process_ended(process, later).await.unwrap();
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_the_process_down_alone_is_given_up_with_what_it_has() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path()).await;
    let job = server.submit(&novel(dir.path(), LONG), "").await;
    until_windows(&server, job, 2).await;
    server.kill();
    let stored = stored_windows(dir.path(), job).await;
    strike(dir.path(), job, MAX_STRIKES).await;

    let server = Server::start_with(dir.path(), &[("WHISPER_MODEL", Path::new("base"))]).await;
    let (status, body) = server.end_of(job).await;
    assert_eq!(status, 500, "{body}");
    let sentence = body["error_message"].as_str().unwrap();
    assert!(sentence.contains("started 3 times"), "{sentence}");
    assert_eq!(server.windows_transcribed(job), Vec::<u64>::new());
    let partial = &body["result"]["partial"];
    assert!(partial["transcript"].as_str().unwrap().contains("John Dashwood"), "{partial}");
    assert!(partial["whisper_segments"].as_array().unwrap().len() >= stored.len());
    assert_eq!(partial["language_detection"]["language"], "en");
    assert_eq!(partial["models_used"]["whisper"], "tiny.en", "what it was made with, not what runs now");
    assert_eq!(server.status(job).await["has_result"], false);
    let uploads = dir.path().join("data/uploads");
    eventually("the upload to be gone", || async { uploads.read_dir().unwrap().next().is_none() }).await;
    let next = server.submit(&clips::novel(), "").await;
    result(&server, next).await;
}

/// Every start may end early, as long as something new was stored in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_job_is_killed_more_often_than_is_allowed_and_completes() {
    let dir = TempDir::new().unwrap();
    let long = novel(dir.path(), LONG);
    let mut server = Server::start(dir.path()).await;
    let job = server.submit(&long, "").await;
    for _ in 0..MAX_STRIKES + 1 {
        until_windows(&server, job, 1).await;
        server.kill();
        server = Server::start(dir.path()).await;
    }
    let transcript = result(&server, job).await["transcript"].clone();
    assert!(transcript.as_str().unwrap().contains("John Dashwood"), "{transcript}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_what_is_begun_and_the_jobs_go_on_after_the_restart() {
    let dir = TempDir::new().unwrap();
    let long = novel(dir.path(), LONG);
    let server = Server::start(dir.path()).await;
    let jobs = [server.submit(&long, "").await, server.submit(&long, "").await];
    until_windows(&server, jobs[0], 1).await;
    until_windows(&server, jobs[1], 1).await;
    let log = server.log.clone();
    let (status, took) = server.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let text = fs::read_to_string(log).unwrap();
    assert!(!text.contains("nobody waits"), "results were thrown away: {text}");

    let mut stored = Vec::new();
    for job in jobs {
        stored.push(stored_windows(dir.path(), job).await);
    }
    let again = Server::start(dir.path()).await;
    for (job, stored) in jobs.into_iter().zip(stored) {
        assert!(!stored.is_empty());
        let result = result(&again, job).await;
        assert!(result["transcript"].as_str().unwrap().contains("John Dashwood"));
        let computed = again.windows_transcribed(job);
        assert!(computed.iter().all(|window| !stored.contains(window)), "{computed:?} after {stored:?}");
    }
    let (status, _) = again.terminate();
    assert_eq!(status.code(), Some(0));
}

/// Two processes on one folder and one database: what one has just taken, no start and no end of the other touches.
#[tokio::test(flavor = "multi_thread")]
async fn starts_and_ends_of_a_second_process_cost_the_first_nothing() {
    let dir = TempDir::new().unwrap();
    let (first, racing) = tokio::join!(Server::start(dir.path()), Server::start(dir.path()));
    let mut jobs = Vec::new();
    let mut second = racing;
    for turn in 0..4 {
        let clip = clips::novel();
        let uploads = async {
            let mut taken = Vec::new();
            for _ in 0..6 {
                taken.push(first.submit(&clip, "").await);
            }
            taken
        };
        if turn % 2 == 0 {
            second.kill();
        } else {
            let (status, _) = second.terminate();
            assert_eq!(status.code(), Some(0));
        }
        let (taken, started) = tokio::join!(uploads, Server::start(dir.path()));
        jobs.extend(taken);
        second = started;
    }
    for job in jobs {
        let result = result(&first, job).await;
        assert!(result["transcript"].as_str().unwrap().contains("young man"), "{result}");
    }
    let orphans = dir.path().join("data/orphans");
    assert!(!orphans.exists(), "{:?} were taken for orphans", fs::read_dir(orphans).map(Iterator::count));
    second.kill();
}

/// What a start that must be refused says.
fn refused(dir: &Path, settings: &[(&str, &Path)]) -> String {
    let run = serve(dir, settings).output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let text = String::from_utf8(run.stderr).unwrap();
    text.lines().find(|line| line.starts_with("verbatim: ")).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_the_wrong_database_or_folder_is_refused_and_touches_nothing() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path()).await;
    let job = server.submit(&novel(dir.path(), LONG), "").await;
    server.kill();
    let upload = dir.path().join("data/uploads").join(job.to_string());
    assert!(upload.exists());

    let mistyped = dir.path().join("job.db");
    let sentence = refused(dir.path(), &[("DATABASE_PATH", &mistyped)]);
    assert!(sentence.contains("there is no database at") && sentence.contains("job.db"), "{sentence}");
    assert!(!mistyped.exists());
    let elsewhere = TempDir::new().unwrap();
    drop(store::open(&database(elsewhere.path())).await.unwrap());
    let sentence = refused(dir.path(), &[("DATABASE_PATH", &database(elsewhere.path()))]);
    assert!(sentence.contains("another database"), "{sentence}");
    let folder = dir.path().join("dat");
    let sentence = refused(dir.path(), &[("DATA_DIR", &folder)]);
    assert!(sentence.contains("1 jobs that wait"), "{sentence}");
    // Emptied: the same path, and nothing of what was in it.
    for left in ["db-wal", "db-shm"] {
        assert!(
            !database(dir.path()).with_extension(left).exists(),
            "the refused start has closed the database"
        );
    }
    let hidden = dir.path().join("hidden");
    fs::rename(database(dir.path()), &hidden).unwrap();
    fs::write(database(dir.path()), "").unwrap();
    let sentence = refused(dir.path(), &[]);
    assert!(sentence.contains("another database"), "{sentence}");
    assert!(upload.exists());

    fs::rename(&hidden, database(dir.path())).unwrap();
    let server = Server::start(dir.path()).await;
    result(&server, job).await;
}

/// A small file system of its own, unmounted when dropped; `None` where this process may not mount.
pub(crate) struct SmallDisk(pub(crate) TempDir);

impl SmallDisk {
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path());
        let mounted = mount.output().is_ok_and(|run| run.status.success());
        mounted.then(|| Self(dir))
    }

    /// Takes all the room there is, as another process on the same disk would.
    pub(crate) fn fill(&self) {
        let full = fs::File::create(self.filler())
            .and_then(|mut file| std::io::copy(&mut std::io::repeat(1), &mut file));
        assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> std::path::PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_database_holds_jobs_up_and_no_longer_than_it_is_full() {
    let Some(disk) = SmallDisk::mount("32m") else {
        verbatim_testing::skip("a full disk: this process may not mount a file system");
        return;
    };
    let dir = TempDir::new().unwrap();
    let path = disk.0.path().join("jobs.db");
    let server = Server::start_with(dir.path(), &[("DATABASE_PATH", &path)]).await;
    let long = server.submit(&novel(dir.path(), LONG), "").await;
    until_windows(&server, long, 1).await;
    let client = &server.client;
    let health = || async { json(client.get("/health").await).await.1 };
    disk.fill();
    let unwell = || async { health().await["database"]["error"].is_string() };
    eventually("health to tell that the disk is full", unwell).await;
    let refused = client.post("/process", form::file(&clips::novel())).await;
    assert_eq!(
        problem(refused, 507).await,
        "There is not enough room on the server's disk for this file; try again later."
    );
    disk.make_room();
    eventually("health", || async { health().await["status"] == "healthy" }).await;
    let next = server.submit(&clips::novel(), "").await;
    result(&server, next).await;
    let transcript = result(&server, long).await["transcript"].clone();
    assert!(transcript.as_str().unwrap().contains("John Dashwood"), "{transcript}");
    let computed = sorted(server.windows_transcribed(long));
    assert!(computed.windows(2).all(|pair| pair[0] != pair[1]), "nothing is computed twice: {computed:?}");
}

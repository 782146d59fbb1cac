//! What a job that was interrupted takes over from its earlier starts, and what it does not.

use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use verbatim::jobs::JobId;
use verbatim::recognizer::Recognizer;
use verbatim::store::ProcessId;
use verbatim::store::{Claim, JobStore};
use verbatim_speech::Language;

use crate::pipeline::comparable;
use crate::speech::{ROOM, TestEngine, novel};
use crate::support::app::eventually;
use crate::support::clips::{self, german, make};
use crate::workers::Service;

const LEASE: std::time::Duration = std::time::Duration::from_secs(60);

async fn database(dir: &Path) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(dir.join("jobs.db"))).await.unwrap()
}

async fn claim(store: &dyn JobStore) -> Claim {
    store.claim(ProcessId::new(), Timestamp::now(), LEASE).await.unwrap().unwrap()
}

#[tokio::test]
async fn at_a_stop_what_the_engine_has_begun_is_stored_for_every_job() {
    let dir = TempDir::new().unwrap();
    let engine = TestEngine::tiny_en();
    let service = Service::start(dir.path(), &engine).await;
    engine.log.close_gate();
    let file = novel(dir.path(), 240);
    let jobs = [service.submit(&file, None).await, service.submit(&file, None).await];
    // A full batch, and behind it windows of both jobs that wait for room.
    let begun = || engine.log.begun.lock().unwrap().len();
    let full = || async { engine.log.is_at_gate() && begun() >= ROOM && service.recognizer.queued() >= 2 };
    eventually("the engine to be busy", || async { engine.log.is_at_gate() }).await;
    while !full().await {
        engine.log.step().await;
    }
    service.stop.soft.cancel();
    service.recognizer.stop();
    engine.log.open_gate();
    service.workers.await.unwrap();
    let mut stored = 0;
    for job in jobs {
        let windows = service.store.windows(job).await.unwrap();
        assert!(!windows.is_empty());
        stored += windows.len();
    }
    assert_eq!(stored, begun(), "what was begun is stored");
    assert_eq!(service.store.counts().await.unwrap().pending, 2);
}

#[tokio::test]
async fn windows_of_two_models_are_not_mixed() {
    let dir = TempDir::new().unwrap();
    let file = novel(dir.path(), 140);
    let first = Service::start(dir.path(), &TestEngine::tiny_en()).await;
    let id = first.submit(&file, None).await;
    first.until_windows(id, 2).await;
    first.shut_down().await;

    let second = Service::start(dir.path(), &TestEngine::base()).await;
    let resumed = second.result(id).await;
    let undisturbed = second.submit(&file, None).await;
    let expected = second.result(undisturbed).await;
    assert_eq!(resumed["models_used"]["whisper"], "base");
    assert_eq!(comparable(resumed), comparable(expected));
    second.shut_down().await;
}

/// German first, then English: the first three windows are in German, most are not.
fn bilingual(dir: &Path) -> std::path::PathBuf {
    let german = german(dir);
    let english = novel(dir, 120);
    let input = |path: &Path| format!("-i {}", path.display());
    let inputs = [vec![input(&german); 9], vec![input(&english)]].concat().join(" ");
    make(dir, "bilingual.flac", &format!("{inputs} -filter_complex concat=n=10:v=0:a=1 -ar 16000"))
}

#[tokio::test]
async fn the_language_is_decided_once_whichever_windows_are_stored_at_an_interruption() {
    let dir = TempDir::new().unwrap();
    let engine = TestEngine::base();
    let service = Service::start(dir.path(), &engine).await;
    service.stop.soft.cancel();
    let id = service.submit(&bilingual(dir.path()), None).await;
    let first = claim(service.store.as_ref()).await;
    let finished = service.pipeline.run(&first, &CancellationToken::new()).await.unwrap();
    let expected: Value = serde_json::from_str(&finished.result).unwrap();
    assert_eq!(expected["language_detection"]["language"], "de");
    let windows = service.store.windows(id).await.unwrap().len();
    assert!(windows > 4, "{windows}");

    // As if the process had ended when only later windows, which are in English, were done.
    sqlx::query("DELETE FROM windows WHERE number < 4").execute(&database(dir.path()).await).await.unwrap();
    service.store.release(&first.lease, Timestamp::now()).await.unwrap();
    engine.log.begun.lock().unwrap().clear();
    let again = claim(service.store.as_ref()).await;
    let finished = service.pipeline.run(&again, &CancellationToken::new()).await.unwrap();
    let resumed: Value = serde_json::from_str(&finished.result).unwrap();
    let asked: Vec<_> = engine.log.begun.lock().unwrap().iter().map(|options| options.language).collect();
    assert_eq!(asked, [Language::parse("de"); 4]);
    assert_eq!(comparable(resumed), comparable(expected));
    service.shut_down().await;
}

/// The last release's database, in whose jobs nothing says with what their windows were made.
#[tokio::test]
async fn jobs_under_way_in_the_last_release_go_on() {
    let dir = TempDir::new().unwrap();
    let database = dir.path().join("jobs.db");
    let old = SqlitePool::connect_with(
        SqliteConnectOptions::new().filename(&database).create_if_missing(true).foreign_keys(false),
    );
    let old = old.await.unwrap();
    let dump = include_str!("../fixtures/release-0.1.0.sql");
    sqlx::raw_sql(dump).execute(&old).await.unwrap();
    let unfinished: Vec<String> =
        sqlx::query_scalar("SELECT id FROM jobs WHERE status IN ('pending', 'processing')")
            .fetch_all(&old)
            .await
            .unwrap();
    old.close().await;
    let file = novel(dir.path(), 24);
    let uploads = dir.path().join("data/uploads");
    std::fs::create_dir_all(&uploads).unwrap();
    for id in &unfinished {
        std::fs::copy(&file, uploads.join(id)).unwrap();
    }

    let service = Service::start(dir.path(), &TestEngine::tiny_en()).await;
    let fresh = service.submit(&file, Language::parse("en")).await;
    let expected = service.result(fresh).await["transcript"].clone();
    for id in &unfinished {
        let result = service.result(JobId::parse(id).unwrap()).await;
        assert!(result["transcript"].as_str().unwrap().contains("John Dashwood"), "{result}");
        if result["language_detection"]["confidence"] == 1.0 && id.starts_with("737f") {
            assert_eq!(result["transcript"], expected, "windows of two cutters are not mixed");
        }
    }
    assert_eq!(unfinished.len(), 7);
    service.until_no_uploads().await;
    service.shut_down().await;
}

#[tokio::test]
async fn the_end_of_other_jobs_renews_no_lease() {
    let dir = TempDir::new().unwrap();
    let engine = TestEngine::tiny_en();
    let service = Service::with_heartbeat(dir.path(), &engine, LEASE).await;
    engine.log.close_gate();
    let id = service.submit(&novel(dir.path(), 24), None).await;
    eventually("the engine to be busy", || async { !engine.log.begun.lock().unwrap().is_empty() }).await;
    let database = database(dir.path()).await;
    let expires = || async {
        sqlx::query_scalar::<_, i64>("SELECT lease_expires_at FROM jobs WHERE id = ?")
            .bind(id.to_string())
            .fetch_one(&database)
            .await
            .unwrap()
    };
    let before = expires().await;
    // Each notification has arrived once its worker has queried the store, which the store's own readers tell.
    for _ in 0..20 {
        service.notifiers.ended.notify();
        service.store.check().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(expires().await, before);
    assert!(service.store.cancel(id, "Cancelled.", Timestamp::now()).await.unwrap());
    service.notifiers.ended.notify();
    service.until_no_uploads().await;
    engine.log.open_gate();
    service.shut_down().await;
}

/// As where the pages that results go to are damaged.
#[tokio::test]
async fn a_result_that_cannot_be_stored_fails_its_job_and_no_other() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path(), &TestEngine::tiny_en()).await;
    let database = database(dir.path()).await;
    sqlx::query("ALTER TABLE results RENAME TO lost").execute(&database).await.unwrap();
    let file = clips::novel();
    for id in [service.submit(&file, None).await, service.submit(&file, None).await] {
        let sentence = service.failure(id).await;
        assert!(sentence.starts_with("The result could not be stored: the database failed"), "{sentence}");
    }
    service.until_no_uploads().await;
    sqlx::query("ALTER TABLE lost RENAME TO results").execute(&database).await.unwrap();
    let next = service.submit(&file, None).await;
    service.result(next).await;
    service.shut_down().await;
}

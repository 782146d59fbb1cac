//! The contract, and what is SQLite's own: files that are newer, foreign or gone.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;
use verbatim_whisper::Language;

use super::{MIGRATOR, SqliteStore};
use crate::job::JobId;
use crate::store::contract::{Handles, contract_tests};
use crate::store::{JobStore, StoreError};
use crate::wishes::Wishes;

async fn two_handles() -> (Handles, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let other = SqliteStore::open(&path).await.unwrap();
    ([Arc::new(store), Arc::new(other)], dir)
}

contract_tests!(two_handles:
    a_job_comes_back_as_it_went_in,
    jobs_are_claimed_oldest_first,
    many_racing_claims_share_no_job,
    an_expired_lease_is_claimed_once_and_its_first_holder_is_shut_out,
    windows_come_back_bit_by_bit_and_in_order,
    progress_never_falls_and_stays_under_100,
    a_released_job_waits_again_and_lost_no_attempt,
    a_job_that_never_ends_is_given_up,
    a_finished_job_has_result_and_webhook_and_never_changes,
    a_failed_job_tells_why_in_status_and_webhook,
    a_cancelled_job_fails_whoever_holds_it,
    a_webhook_call_is_one_callers_alone_until_its_time_has_passed,
    webhook_attempts_are_counted_and_end,
);

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.db");
    let store = SqliteStore::open(&path).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (4711, 'from the future', TRUE, x'00', 1)",
    )
    .execute(&store.writer)
    .await
    .unwrap();
    store.close().await;
    let error = SqliteStore::open(&path).await.unwrap_err().to_string();
    assert!(error.contains("jobs.db: it was made by a newer version of Verbatim"), "{error}");
    assert!(error.contains("4711"), "{error}");
}

/// A database as the version of that schema left it, with a job that waits.
async fn database_of_version(version: i64, columns: &str, values: &str) -> (TempDir, JobId) {
    let dir = tempfile::tempdir().unwrap();
    let known = MIGRATOR.iter().filter(|migration| migration.version <= version).cloned().collect::<Vec<_>>();
    let options = SqliteConnectOptions::new().filename(dir.path().join("jobs.db")).create_if_missing(true);
    let database = SqlitePool::connect_with(options).await.unwrap();
    Migrator { migrations: known.into(), ..Migrator::DEFAULT }.run(&database).await.unwrap();
    let id = JobId::new();
    let insert = format!(
        "INSERT INTO jobs (id, filename, file_size, file_type, status, created_at, step{columns})
         VALUES (?, 'talk.mp3', 4, 'audio', 'pending', 0, 'Queued'{values})"
    );
    sqlx::query(sqlx::AssertSqlSafe(insert)).bind(id.to_string()).execute(&database).await.unwrap();
    database.close().await;
    (dir, id)
}

#[tokio::test]
async fn jobs_of_older_versions_go_on_with_what_they_asked_for() {
    let german = Wishes { language: Language::parse("de"), ..Wishes::default() };
    let without_words = Wishes { word_timestamps: Some(false), ..german.clone() };
    let with_words = Wishes { word_timestamps: Some(true), ..Wishes::default() };
    for (version, columns, values, wishes) in [
        (1, "", "", Wishes::default()),
        (1, ", language", ", 'de'", german),
        (2, "", "", Wishes::default()),
        (2, ", language, word_timestamps", ", 'de', 0", without_words),
        (2, ", word_timestamps", ", 1", with_words),
    ] {
        let (dir, id) = database_of_version(version, columns, values).await;
        let store = SqliteStore::open(&dir.path().join("jobs.db")).await.unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let claim = store.claim(now, Duration::from_secs(15)).await.unwrap().unwrap();
        assert_eq!((claim.job.id, claim.job.filename.as_str()), (id, "talk.mp3"));
        assert_eq!(claim.job.wishes, wishes, "{version}{columns}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    let notes = "These are my notes, not a database. ".repeat(100);
    std::fs::write(&path, &notes).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(&error, StoreError::Open(text) if text.contains("notes.txt")), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), notes);
    assert!(SqliteStore::open(&dir.path().join("missing/jobs.db")).await.is_err());
}

#[tokio::test]
async fn the_check_notices_a_database_that_was_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.check().await.unwrap();
    std::fs::rename(&path, dir.path().join("elsewhere.db")).unwrap();
    assert!(store.check().await.unwrap_err().to_string().contains("cannot be reached"));
    std::fs::write(&path, "").unwrap();
    assert!(store.check().await.unwrap_err().to_string().contains("was replaced"));
}

#[tokio::test]
async fn claims_and_due_calls_are_found_by_index() {
    let ([store, _], dir) = two_handles().await;
    store.check().await.unwrap();
    let sqlite = SqliteStore::open(&dir.path().join("jobs.db")).await.unwrap();
    for (query, index) in [
        (
            "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE status IN ('pending', 'processing')
             AND (status = 'pending' OR lease_expires_at <= 1) ORDER BY created_at, rowid LIMIT 1",
            "jobs_unfinished",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT id FROM deliveries WHERE next_attempt_at <= 1
             ORDER BY next_attempt_at, id LIMIT 1",
            "deliveries_due",
        ),
    ] {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(query).fetch_all(&sqlite.readers).await.unwrap();
        assert_eq!(plan.len(), 1, "{plan:?}");
        assert!(plan[0].3.contains(index), "{plan:?}");
    }
}

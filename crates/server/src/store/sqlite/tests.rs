//! The tests of every store, and tests of SQLite alone: newer, foreign and missing files, damage, full disks.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;
use verbatim_speech::Language;

use super::SqliteStore;
use super::open::MIGRATOR;
use crate::jobs::JobOptions;
use crate::jobs::{FileType, JobId, JobStatus, NewJob};
use crate::store::ProcessId;
use crate::store::contract::{Handles, contract_tests};
use crate::store::{JobStore, StoreError};

const LEASE: Duration = Duration::from_secs(15);

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
    a_job_with_an_expired_lease_is_claimed_once_and_the_old_lease_is_refused,
    windows_come_back_bit_by_bit_and_in_order,
    progress_never_falls_and_stays_under_100,
    a_released_job_is_pending_again_without_a_strike,
    a_job_with_max_strikes_is_claimed_once_more_and_then_ended_as_failed,
    a_stored_window_resets_strikes,
    jobs_that_ran_beside_others_become_suspects_without_a_strike,
    suspects_with_fewer_strikes_are_claimed_first,
    a_suspect_waits_for_an_idle_process_but_not_forever,
    a_process_claims_its_own_expired_jobs_only_after_a_grace_period,
    windows_of_another_fingerprint_are_not_mixed_in,
    events_of_a_job_are_numbered_and_stored,
    a_finished_job_has_result_and_webhook_and_never_changes,
    a_failed_job_has_its_reason_in_status_and_webhook,
    a_job_is_cancelled_also_while_a_worker_holds_it,
    jobs_are_listed_newest_first_page_by_page,
    lists_are_filtered_by_status_time_and_name,
    a_job_that_waits_knows_what_is_ahead_of_it,
    completed_jobs_tell_how_fast_they_went,
    a_deleted_job_leaves_nothing_and_its_worker_loses_its_lease,
    only_failed_and_cancelled_jobs_are_retried_and_start_anew,
    what_has_had_its_time_goes_only_while_its_job_has_ended,
    a_key_makes_one_job_however_many_requests_race,
    a_key_is_forgotten_in_time_and_with_its_cancelled_job,
    the_same_upload_with_the_same_options_is_found,
    jobs_are_told_by_when_they_ended,
    a_webhook_call_is_taken_by_one_caller_until_its_lease_has_passed,
    webhook_attempts_are_counted_and_end,
);

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
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

/// A database with an older schema version and a pending job.
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
async fn jobs_of_older_versions_keep_their_options() {
    let german = JobOptions { language: Language::parse("de"), ..JobOptions::default() };
    let without_words = JobOptions { word_timestamps: Some(false), ..german.clone() };
    let with_words = JobOptions { word_timestamps: Some(true), ..JobOptions::default() };
    for (version, columns, values, options) in [
        (1, "", "", JobOptions::default()),
        (1, ", language", ", 'de'", german),
        (2, "", "", JobOptions::default()),
        (2, ", language, word_timestamps", ", 'de', 0", without_words),
        (2, ", word_timestamps", ", 1", with_words),
    ] {
        let (dir, id) = database_of_version(version, columns, values).await;
        let store = SqliteStore::open(&dir.path().join("jobs.db")).await.unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let claim = store.claim(ProcessId::new(), now, LEASE).await.unwrap().unwrap();
        assert_eq!((claim.job.id, claim.job.filename.as_str()), (id, "talk.mp3"));
        assert_eq!(claim.job.options, options, "{version}{columns}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused_and_not_changed() {
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
async fn the_check_notices_a_database_that_was_removed_or_replaced() {
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
             AND (status = 'pending' OR lease_expires_at <= 1)",
            "jobs_unfinished",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE status IN ('pending', 'processing')
             AND status = 'processing' AND process = 'x'",
            "jobs_unfinished",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE (created_at, id) < (1, 'x') AND created_at >= 0
             ORDER BY created_at DESC, id DESC LIMIT 1",
            "jobs_listed",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE completed_at < 1 AND completed_at IS NOT NULL",
            "jobs_ended",
        ),
        (
            "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE content_hash = 'x' AND options = '{}'",
            "jobs_content",
        ),
        ("EXPLAIN QUERY PLAN DELETE FROM deliveries WHERE job_id = 'x'", "deliveries_of_job"),
        ("EXPLAIN QUERY PLAN DELETE FROM idempotency_keys WHERE job_id = 'x'", "idempotency_keys_of_job"),
        ("EXPLAIN QUERY PLAN SELECT 1 FROM idempotency_keys WHERE created_at < 1", "idempotency_keys_by_age"),
        ("EXPLAIN QUERY PLAN SELECT max(number) FROM events WHERE job_id = 'x'", "PRIMARY KEY"),
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

fn new_job() -> NewJob {
    NewJob {
        id: JobId::new(),
        filename: "talk.mp3".to_owned(),
        file_size: 4,
        file_type: FileType::Audio,
        duration: None,
        tracks: None,
        options: JobOptions::default(),
        webhook_url: Some("https://example.com/hook".to_owned()),
        content_hash: None,
    }
}

/// A database that was made by that release: see the file.
const RELEASE_0_1_0: &str = include_str!("../../../tests/fixtures/release-0.1.0.sql");

#[tokio::test]
async fn a_database_of_the_last_release_is_complete_and_its_jobs_continue() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).foreign_keys(false);
    let database = SqlitePool::connect_with(options).await.unwrap();
    sqlx::raw_sql(RELEASE_0_1_0).execute(&database).await.unwrap();
    let count = |table: &'static str| {
        let database = database.clone();
        async move {
            let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            sqlx::query_scalar::<_, i64>(query).fetch_one(&database).await.unwrap()
        }
    };
    let before =
        [count("jobs").await, count("windows").await, count("results").await, count("deliveries").await];
    assert_eq!(before, [9, 2, 2, 2]);
    database.close().await;

    let store = SqliteStore::open(&path).await.unwrap();
    for (table, before) in ["jobs", "windows", "results", "deliveries"].into_iter().zip(before) {
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        assert_eq!(
            sqlx::query_scalar::<_, i64>(query).fetch_one(&store.readers).await.unwrap(),
            before,
            "{table}"
        );
    }
    let broken: Vec<(String, i64, String, i64)> =
        sqlx::query_as("PRAGMA foreign_key_check").fetch_all(&store.readers).await.unwrap();
    assert_eq!(broken, []);
    let unfinished = store.unfinished().await.unwrap();
    assert_eq!(unfinished.len(), 7);
    let now = Timestamp::now();
    let mut claimed = Vec::new();
    while let Some(claim) = store.claim(ProcessId::new(), now, LEASE).await.unwrap() {
        assert_eq!(claim.strikes, 0, "attempts of that release are not strikes");
        let checkpoint = store.checkpoint(&claim.lease, "of this version", now).await.unwrap();
        assert_eq!(
            checkpoint.discarded,
            if claim.job.filename == "novel.mp3" && claim.job.options.language.is_some() { 2 } else { 0 }
        );
        store
            .finish(&claim.lease, &crate::store::Outcome::Completed { result: "{}".to_owned() }, now)
            .await
            .unwrap();
        claimed.push(claim.job.id);
    }
    claimed.sort_unstable();
    let mut expected = unfinished;
    expected.sort_unstable();
    assert_eq!(claimed, expected);
}

/// A database of schema version 4 with jobs under way: see the file.
const SCHEMA_4: &str = include_str!("../../../tests/fixtures/schema-4.sql");

#[tokio::test]
async fn windows_that_were_stored_before_there_were_analyses_are_continued_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).foreign_keys(false);
    let database = SqlitePool::connect_with(options).await.unwrap();
    sqlx::raw_sql(SCHEMA_4).execute(&database).await.unwrap();
    database.close().await;

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.unfinished().await.unwrap().len(), 3);
    let (now, mut kept) = (Timestamp::now(), 0);
    while let Some(claim) = store.claim(ProcessId::new(), now, LEASE).await.unwrap() {
        if let Some(fingerprint) = &claim.fingerprint {
            let checkpoint = store.checkpoint(&claim.lease, fingerprint, now).await.unwrap();
            assert_eq!(checkpoint.discarded, 0);
            kept += checkpoint.windows.len();
            let windows = store.windows(claim.job.id).await.unwrap();
            assert!(windows.iter().all(|window| window.analyses.is_empty()));
            assert_eq!(windows.len(), checkpoint.windows.len());
        }
        let end = crate::store::Outcome::Completed { result: "{}".to_owned() };
        store.finish(&claim.lease, &end, now).await.unwrap();
    }
    assert!(kept >= 2, "{kept}");
}

/// Lets the database grow no further, as on a full disk.
async fn fill_disk(store: &SqliteStore) {
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&store.writer).await.unwrap();
    let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlx::query(limit).execute(&store.writer).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_jobs_until_there_is_space_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("jobs.db")).await.unwrap();
    store.insert(new_job(), Timestamp::now()).await.unwrap();
    let process = ProcessId::new();
    let claim = store.claim(process, Timestamp::now(), LEASE).await.unwrap().unwrap();
    // The limit belongs to the connection, which is closed after the failure: then there is space again.
    fill_disk(&store).await;
    let long = NewJob { filename: "x".repeat(100_000), ..new_job() };
    let error = store.insert(long, Timestamp::now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!(matches!(store.check().await, Err(StoreError::Full(_))), "whoever asks is told");

    fill_disk(&store).await;
    let outcome = crate::store::Outcome::Completed { result: format!("\"{}\"", "x".repeat(100_000)) };
    let error = store.finish(&claim.lease, &outcome, Timestamp::now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    store.finish(&claim.lease, &outcome, Timestamp::now()).await.unwrap();
    store.insert(new_job(), Timestamp::now()).await.unwrap();
    assert!(store.claim(process, Timestamp::now(), LEASE).await.unwrap().is_some());
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_write_that_is_dropped_leaves_no_open_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("jobs.db")).await.unwrap();
    for _ in 0..20 {
        let mut transaction = store.begin_write().await.unwrap();
        sqlx::query("DELETE FROM jobs").execute(transaction.connection()).await.unwrap();
        drop(transaction);
        store.insert(new_job(), Timestamp::now()).await.unwrap();
    }
    assert_eq!(store.counts().await.unwrap().pending, 20);
}

#[tokio::test]
async fn a_job_that_cannot_be_read_fails_without_affecting_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("jobs.db")).await.unwrap();
    for broken in
        ["options = '[1,2]'", "options = '{\"temperature\": \"hot\"}'", "created_at = -9000000000000000"]
    {
        let bad = store.insert(new_job(), Timestamp::UNIX_EPOCH).await.unwrap().id;
        let good = store.insert(new_job(), Timestamp::now()).await.unwrap().id;
        let spoil = sqlx::AssertSqlSafe(format!("UPDATE jobs SET {broken} WHERE id = '{bad}'"));
        sqlx::query(spoil).execute(&store.writer).await.unwrap();
        let now = Timestamp::now();
        let claim = store.claim(ProcessId::new(), now, LEASE).await.unwrap().unwrap();
        assert_eq!(claim.job.id, good, "{broken}");
        let job = store.get(bad).await.unwrap().unwrap();
        assert_eq!(job.status, JobStatus::Failed);
        assert!(job.error_message.unwrap().contains("cannot be read"));
        let calls = store.due_deliveries(now, LEASE, 10).await.unwrap();
        assert!(calls.len() == 1 && calls[0].body.contains("cannot be read"), "{calls:?}");
    }
    let now = Timestamp::now();
    sqlx::query(
        "INSERT INTO jobs (id, filename, file_size, file_type, status, created_at, step)
         VALUES ('nonsense', 'talk.mp3', 4, 'audio', 'pending', 0, 'Queued')",
    )
    .execute(&store.writer)
    .await
    .unwrap();
    assert!(store.claim(ProcessId::new(), now, LEASE).await.unwrap().is_none());
    store.check().await.unwrap();
}

#[tokio::test]
async fn damaged_pages_affect_only_the_jobs_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.db");
    let store = SqliteStore::open(&path).await.unwrap();
    // Long enough to have pages of its own.
    let torn =
        store.insert(NewJob { filename: "x".repeat(100_000), ..new_job() }, Timestamp::UNIX_EPOCH).await;
    let torn = torn.unwrap().id;
    let whole = store.insert(new_job(), Timestamp::now()).await.unwrap().id;
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let marks: Vec<usize> = (0..bytes.len() / 4096)
        .filter(|page| bytes[page * 4096 + 100..][..2000].iter().all(|b| *b == b'x'))
        .collect();
    assert!(marks.len() > 10);
    // Overwrites the pointer to the next page of the row.
    bytes[marks[0] * 4096..][..4].copy_from_slice(&[0xff; 4]);
    std::fs::write(&path, bytes).unwrap();

    let store = SqliteStore::open(&path).await.unwrap();
    let claim = store.claim(ProcessId::new(), Timestamp::now(), LEASE).await.unwrap().unwrap();
    assert_eq!(claim.job.id, whole);
    let told = store.check().await.unwrap_err().to_string();
    assert!(told.contains(&torn.to_string()), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_start_at_the_same_time_create_one_database() {
    for _ in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs.db");
        let opening: Vec<_> = (0..4)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move { SqliteStore::open(&path).await.unwrap().identity().await.unwrap() })
            })
            .collect();
        let mut identities = Vec::new();
        for opened in opening {
            identities.push(opened.await.unwrap());
        }
        assert!(identities.windows(2).all(|pair| pair[0] == pair[1]), "{identities:?}");
    }
}

#[tokio::test]
async fn the_file_shrinks_once_jobs_are_removed_also_of_an_older_database() {
    let dir = tempfile::tempdir().unwrap();
    let old = dir.path().join("old.db");
    let options = SqliteConnectOptions::new().filename(&old).create_if_missing(true).foreign_keys(false);
    let database = SqlitePool::connect_with(options).await.unwrap();
    sqlx::raw_sql(SCHEMA_4).execute(&database).await.unwrap();
    database.close().await;
    for path in [dir.path().join("new.db"), old] {
        let store = SqliteStore::open(&path).await.unwrap();
        let (now, mut ids) = (Timestamp::now(), Vec::new());
        for _ in 0..20 {
            let id = store.insert(new_job(), now).await.unwrap().id;
            sqlx::query("INSERT INTO results (job_id, body) VALUES (?, ?)")
                .bind(id.to_string())
                .bind("x".repeat(1 << 20))
                .execute(&store.writer)
                .await
                .unwrap();
            ids.push(id);
        }
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&store.writer).await.unwrap();
        let full = std::fs::metadata(&path).unwrap().len();
        assert!(full > 20 << 20, "{full}");
        for id in ids {
            assert!(store.delete(id).await.unwrap());
        }
        store.release_space().await.unwrap();
        let left = std::fs::metadata(&path).unwrap().len();
        assert!(left < 10 << 20, "{}: {left} of {full}", path.display());
    }
}

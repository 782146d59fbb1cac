//! Opens a database: migrates its tables, then makes the connections.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use super::{BUSY, CONSTRAINT, LOCKED};
use crate::store::StoreResult;

pub(super) static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// The number of connections that read. Reads are short; with a few connections, status polls do not wait for each
/// other.
const READERS: u32 = 4;

/// How long to wait for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The most attempts to open the database, in case another process opens it at the same time.
const ATTEMPTS: u32 = 20;

/// The time between two attempts.
const DELAY: Duration = Duration::from_millis(100);

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
}

/// The connections: one to write, some to read, and one for [`crate::store::JobStore::check`].
pub(super) struct Pools {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    pub(super) checker: SqlitePool,
}

/// Creates the database if it does not exist, migrates its tables, and connects. The error is the end of a sentence.
pub(super) async fn open(path: &Path) -> Result<Pools, String> {
    let mut opened = try_to_open(path).await;
    for _ in 1..ATTEMPTS {
        if !opened.as_ref().is_err_and(is_race) {
            break;
        }
        tokio::time::sleep(DELAY).await;
        opened = try_to_open(path).await;
    }
    opened.map_err(|error| match error {
        MigrateError::VersionMissing(version) => format!(
            "it was made by a newer version of Verbatim (it has schema version {version}, this version \
             knows none above {}); run that version, or give another DATABASE_PATH",
            MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0),
        ),
        MigrateError::Execute(error) => error.to_string(),
        error => error.to_string(),
    })
}

/// Whether another process may be opening the database at the same time. Its migration is a transaction, so the next
/// attempt finds it done. And SQLite does not wait for locks while it switches a database to the write-ahead log.
fn is_race(error: &MigrateError) -> bool {
    match error {
        MigrateError::ExecuteMigration(..) => true,
        MigrateError::Execute(sqlx::Error::Database(error)) => {
            let code = error.code().and_then(|code| code.parse::<i32>().ok());
            code.is_some_and(|code| matches!(code & 0xff, BUSY | LOCKED | CONSTRAINT))
        }
        _ => false,
    }
}

async fn try_to_open(path: &Path) -> Result<Pools, MigrateError> {
    // Migrations can recreate tables that others refer to only while foreign keys are off, a setting of the whole
    // connection.
    // The vacuum has an effect before the first table is made; `release_pages` gives free pages back. Setting it writes,
    // so the other connections must not: they would wait for writers.
    let making = options(path).foreign_keys(false).auto_vacuum(SqliteAutoVacuum::Incremental);
    let mut connection = making.connect().await?;
    let migrated = MIGRATOR.run_direct(None, &mut connection, false).await;
    if migrated.is_ok() {
        prepare_vacuum(&mut connection).await;
        if let Err(error) = fold_names(&mut connection).await {
            // Of a damaged row, which fails its job alone.
            tracing::warn!("names of old jobs cannot be searched: {error}");
        }
    }
    let closed = connection.close().await;
    migrated?;
    closed?;
    let options = options(path).create_if_missing(false);
    let pool = |connections| SqlitePoolOptions::new().max_connections(connections);
    Ok(Pools {
        writer: pool(1).connect_with(options.clone()).await?,
        readers: pool(READERS).connect_with(options.clone()).await?,
        checker: pool(1).connect_with(options).await?,
    })
}

/// Lets a database that an older version has made give free pages back, by writing it anew once. Another process may
/// have it open; then the next start tries again.
async fn prepare_vacuum(connection: &mut SqliteConnection) {
    const NONE: i64 = 0;
    let mode = sqlx::query_scalar::<_, i64>("PRAGMA auto_vacuum").fetch_one(&mut *connection).await;
    if mode.is_ok_and(|mode| mode != NONE) {
        return;
    }
    // The mode that the connection's options ask for holds from the next VACUUM on.
    if let Err(error) = sqlx::query("VACUUM").execute(connection).await {
        tracing::warn!("the database cannot be made to give free space back yet: {error}");
    }
}

/// Folds the names of jobs of older versions, in which SQLite has folded the letters of English alone.
async fn fold_names(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let rows: Vec<(i64, String, String)> = sqlx::query_as(
        "SELECT rowid, filename, search_name FROM jobs
         WHERE search_name = lower(filename) AND filename GLOB '*[^ -~]*'",
    )
    .fetch_all(&mut *connection)
    .await?;
    for (row, filename, search_name) in rows {
        let folded = filename.to_lowercase();
        if folded != search_name {
            let update = sqlx::query("UPDATE jobs SET search_name = ? WHERE rowid = ?");
            update.bind(folded).bind(row).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Gives free pages back to the file system, some megabytes at a time, so that writers need not wait long. Fewer than that
/// are kept: new rows will need them.
pub(super) async fn release_pages(writer: &SqlitePool) -> StoreResult<()> {
    const PAGES: i64 = 2000;
    loop {
        let before: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(writer).await?;
        if before < PAGES {
            return Ok(());
        }
        sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({PAGES})")))
            .fetch_all(writer)
            .await?;
        // The file shrinks when the log is written back to it; readers may hold that up until the next time.
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_all(writer).await?;
        let after: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(writer).await?;
        if after >= before {
            return Ok(());
        }
    }
}

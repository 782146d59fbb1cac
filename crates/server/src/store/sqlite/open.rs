//! Opens a database: brings its tables up to date, then makes the connections.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use super::{BUSY, CONSTRAINT, LOCKED};

pub(super) static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Connections that read. Reads are short; a few keep status polls from queueing behind one another.
const READERS: u32 = 4;

/// How long to wait for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often opening is tried, should another process that starts be at it, too.
const ATTEMPTS: u32 = 20;

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

/// One connection to write, some to read, and one to see whether the database is well.
pub(super) struct Pools {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    pub(super) checker: SqlitePool,
}

/// Makes the database if it is not there, brings its tables up to date, and connects. The error is the end of a sentence.
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

/// Whether another process may have been at the same: its migration is a transaction, so the next try finds it done; and
/// SQLite waits for nobody where a database becomes one with a write-ahead log.
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
    // Tables that others refer to can be made anew only with foreign keys off, which is for a connection as a whole.
    let mut connection = options(path).foreign_keys(false).connect().await?;
    let migrated = MIGRATOR.run_direct(None, &mut connection, false).await;
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

//! Opens a database: brings its tables up to date, then makes the connections.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

pub(super) static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Connections that read. Reads are short; a few keep status polls from queueing behind one another.
const READERS: u32 = 4;

/// How long to wait for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
}

/// Makes the database if it is not there, and brings its tables up to date. The error is the end of a sentence.
pub(super) async fn migrate(path: &Path) -> Result<(), String> {
    // Tables that others refer to can be made anew only with foreign keys off, which is for a connection as a whole.
    let mut connection = options(path).foreign_keys(false).connect().await.map_err(|e| e.to_string())?;
    let migrated = run_migrations(&mut connection).await;
    let closed = connection.close().await;
    migrated?;
    closed.map_err(|error| error.to_string())
}

async fn run_migrations(connection: &mut SqliteConnection) -> Result<(), String> {
    MIGRATOR.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => format!(
            "it was made by a newer version of Verbatim (it has schema version {version}, this version \
             knows none above {}); run that version, or give another DATABASE_PATH",
            MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0),
        ),
        error => error.to_string(),
    })
}

/// One connection to write, some to read, and one to see whether the database is well.
pub(super) async fn pools(path: &Path) -> Result<(SqlitePool, SqlitePool, SqlitePool), sqlx::Error> {
    let options = options(path).create_if_missing(false);
    let pool = |connections| SqlitePoolOptions::new().max_connections(connections);
    Ok((
        pool(1).connect_with(options.clone()).await?,
        pool(READERS).connect_with(options.clone()).await?,
        pool(1).connect_with(options).await?,
    ))
}

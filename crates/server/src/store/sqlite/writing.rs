//! A write: a connection with the write lock and an open transaction.

use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use crate::store::{Lease, StoreError, StoreResult};

/// A transaction that holds the write lock.
///
/// When something goes wrong in it, SQLite may already have rolled it back by itself (as on a full disk), so that
/// nobody can tell what state the connection is in: unless [`commit`](Self::commit) or [`roll_back`](Self::roll_back)
/// succeeds, the connection is closed and the next write has a new one. That holds for a write that is dropped half
/// way, too. The transaction is not sqlx's own, which counts depths that are wrong from then on.
#[derive(Debug)]
pub(super) struct Writing {
    connection: PoolConnection<Sqlite>,
    ended: bool,
}

impl Writing {
    pub(super) async fn begin(pool: &SqlitePool) -> StoreResult<Self> {
        let mut writing = Self { connection: pool.acquire().await?, ended: false };
        writing.execute("BEGIN IMMEDIATE").await?;
        Ok(writing)
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    pub(super) async fn commit(mut self) -> StoreResult<()> {
        self.execute("COMMIT").await?;
        self.ended = true;
        Ok(())
    }

    pub(super) async fn roll_back(mut self) -> StoreResult<()> {
        self.execute("ROLLBACK").await?;
        self.ended = true;
        Ok(())
    }

    async fn execute(&mut self, statement: &'static str) -> StoreResult<()> {
        sqlx::query(statement).execute(&mut *self.connection).await?;
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

/// That a write in the name of a lease has changed its one row.
pub(super) fn held(lease: &Lease, rows: u64) -> StoreResult<()> {
    if rows == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease.job)) }
}

//! Write transactions.

use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use crate::store::{Lease, StoreError, StoreResult};

/// A transaction that holds the write lock.
///
/// After an error, SQLite may have rolled the transaction back by itself (as on a full disk), so that the state of the
/// connection is unknown. So unless [`commit`](Self::commit) or [`roll_back`](Self::roll_back) succeeds, also if the
/// transaction is dropped, the connection is closed and the next write opens a new one. sqlx's own transactions are not
/// used, because their nesting depth would be wrong after such an error.
#[derive(Debug)]
pub(super) struct WriteTransaction {
    connection: PoolConnection<Sqlite>,
    ended: bool,
}

impl WriteTransaction {
    /// Waits for the write lock and begins.
    pub(super) async fn begin(pool: &SqlitePool) -> StoreResult<Self> {
        let mut transaction = Self { connection: pool.acquire().await?, ended: false };
        transaction.execute("BEGIN IMMEDIATE").await?;
        Ok(transaction)
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

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

/// Fails with [`StoreError::LeaseLost`] unless a write under a lease has changed exactly one row.
pub(super) fn held(lease: &Lease, rows: u64) -> StoreResult<()> {
    if rows == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease.job)) }
}

//! The identity of the database.

use sqlx::sqlite::SqlitePool;

use crate::store::{Identity, StoreResult};

pub(super) async fn identity(readers: &SqlitePool) -> StoreResult<Identity> {
    let (id, is_empty): (String, bool) =
        sqlx::query_as("SELECT (SELECT id FROM identity), NOT EXISTS (SELECT 1 FROM jobs)")
            .fetch_one(readers)
            .await?;
    Ok(Identity { id, is_empty })
}

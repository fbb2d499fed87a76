//! What was under way is waited for.

use std::time::Duration;

use crate::{Db, Error, Result, clock, params};

/// Waits until every transaction that began before the call has ended, so that none of them can commit without having seen
/// what was committed before the call. `false`: one went on for longer than `limit`.
///
/// PostgreSQL shows the transactions of the role that the database is used with; transactions of other roles are not waited
/// for. SQLite has one writer at a time.
pub async fn settle(db: &Db, limit: Duration) -> Result<bool> {
    if db.engine() == "sqlite" {
        db.write(|_| Ok::<_, Error>(())).await?;
        return Ok(true);
    }
    let begun = db
        .read_one(|tx| {
            tx.query_one(
                "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
                params![],
                |row| row.get_i64(0),
            )
        })
        .await?
        .unwrap_or(0);
    let end = clock::instant() + limit;
    loop {
        let older = db
            .read_one(move |tx| {
                tx.query_one(
                    "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND pid <> pg_backend_pid() AND usename = current_user \
                     AND CAST(EXTRACT(EPOCH FROM xact_start) * 1000000 AS BIGINT) <= ?1",
                    params![begun],
                    |row| row.get_i64(0),
                )
            })
            .await?;
        if older == Some(0) {
            return Ok(true);
        }
        if clock::instant() >= end {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

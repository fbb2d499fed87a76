//! What was under way is waited for.

use std::time::Duration;

use crate::{Db, Error, Result, clock, params};

/// The transactions of this database, but for the one that asks. Roles see little of each other's transactions, but that they
/// are there, and whether they have written.
const UNDER_WAY: &str = "SELECT COALESCE(string_agg(l.virtualtransaction, ','), '') FROM pg_locks l \
     JOIN pg_stat_activity a ON a.pid = l.pid \
     WHERE l.locktype = 'virtualxid' AND l.granted AND a.datname = current_database() AND a.pid <> pg_backend_pid() \
     AND COALESCE(a.backend_type, 'client backend') = 'client backend'";

/// Those among them that may commit something: who has written, who is of this program, who is serializable as its writers
/// are. Others that have only read are somebody's look at the tables, however long it takes.
const MAY_WRITE: &str = "SELECT COUNT(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
     WHERE l.locktype = 'virtualxid' AND l.granted AND l.virtualtransaction = ANY(string_to_array(?1, ',')) \
     AND (a.backend_xid IS NOT NULL OR a.application_name = current_setting('application_name') \
     OR EXISTS (SELECT 1 FROM pg_locks s WHERE s.pid = l.pid AND s.mode = 'SIReadLock'))";

/// Waits until every transaction that began before the call and may write has ended, so that none of them can commit without
/// having seen what was committed before the call. `false`: one went on for longer than `limit`.
///
/// In PostgreSQL these are the transactions of all roles. SQLite has one writer at a time.
pub async fn settle(db: &Db, limit: Duration) -> Result<bool> {
    if db.engine() == "sqlite" {
        db.write(|_| Ok::<_, Error>(())).await?;
        return Ok(true);
    }
    let begun = db
        .read_one(|tx| tx.query_one(UNDER_WAY, params![], |row| row.get_string(0)))
        .await?
        .unwrap_or_default();
    let end = clock::instant() + limit;
    loop {
        let begun = begun.clone();
        let older = db
            .read_one(move |tx| {
                tx.query_one(MAY_WRITE, params![begun.as_str()], |row| row.get_i64(0))
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

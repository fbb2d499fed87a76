//! The leases' SQL.

use lazuli_db::{Error, Tx, Value};

/// Takes a lease that is free, expired, or ends after `latest`, and returns its new fence.
pub(super) fn acquire(
    tx: &mut Tx<'_>,
    name: &str,
    holder: &str,
    now: i64,
    expires_at: i64,
    latest: i64,
) -> Result<Option<i64>, Error> {
    tx.query_one(
        "INSERT INTO leases (name, holder, fence, expires_at) VALUES (?1, ?2, 1, ?4) \
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = leases.fence + 1, \
         expires_at = excluded.expires_at WHERE leases.expires_at <= ?3 \
         OR leases.expires_at > ?5 RETURNING fence",
        &[
            Value::Text(name),
            Value::Text(holder),
            Value::I64(now),
            Value::I64(expires_at),
            Value::I64(latest),
        ],
        |row| row.get_i64(0),
    )
}

/// Ends a lease, whoever holds it.
pub(super) fn expire(tx: &mut Tx<'_>, name: &str) -> Result<(), Error> {
    tx.execute(
        "UPDATE leases SET expires_at = 0 WHERE name = ?1",
        &[Value::Text(name)],
    )?;
    Ok(())
}

pub(super) fn is_held(
    tx: &mut Tx<'_>,
    name: &str,
    holder: &str,
    fence: i64,
) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT 1 FROM leases WHERE name = ?1 AND holder = ?2 AND fence = ?3",
        &[Value::Text(name), Value::Text(holder), Value::I64(fence)],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

pub(super) fn set_expiry(
    tx: &mut Tx<'_>,
    name: &str,
    holder: &str,
    fence: i64,
    expires_at: i64,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE leases SET expires_at = ?4 WHERE name = ?1 AND holder = ?2 AND fence = ?3",
        &[
            Value::Text(name),
            Value::Text(holder),
            Value::I64(fence),
            Value::I64(expires_at),
        ],
    )?;
    Ok(changed == 1)
}

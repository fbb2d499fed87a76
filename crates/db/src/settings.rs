//! Values that the whole installation has one of, by name: the table `settings`.

use crate::{Result, Tx, params};

/// The value with this name.
///
/// # Errors
/// What [`Tx::query_one`] returns.
pub fn get(tx: &mut Tx<'_>, name: &str) -> Result<Option<String>> {
    tx.query_one(
        "SELECT value FROM settings WHERE name = ?1",
        params![name],
        |row| row.get_string(0),
    )
}

/// Gives the name this value, whatever it had.
///
/// # Errors
/// What [`Tx::execute`] returns.
pub fn set(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    )
    .map(drop)
}

/// Gives the name this value unless it has one; returns the one it has now.
///
/// # Errors
/// What [`Tx::execute`] and [`Tx::query_one`] return.
pub fn claim(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<String> {
    tx.execute(
        "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![name, value],
    )?;
    Ok(get(tx, name)?.unwrap_or_else(|| value.to_owned()))
}

/// Takes the name's value away, if it has one.
///
/// # Errors
/// What [`Tx::execute`] returns.
pub fn remove(tx: &mut Tx<'_>, name: &str) -> Result<()> {
    tx.execute("DELETE FROM settings WHERE name = ?1", params![name])
        .map(drop)
}

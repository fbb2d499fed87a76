//! Statements of a copy.

use lazuli_db::{Error, Result, Tx, params};
use lazuli_wire::oci::Digest;

/// Blobs looked at in one read.
const PAGE: i64 = 200;

/// A blob in the store.
pub(super) struct Row {
    pub(super) registry: i64,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) location: String,
}

pub(super) fn has_registries(tx: &mut Tx<'_>) -> Result<bool> {
    let found = tx.query_one("SELECT 1 FROM registries LIMIT 1", params![], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Takes out what means nothing in another place: unfinished uploads, whose bytes stay behind; leases of running
/// servers; the mark of the disk; places in the old store that were to be emptied or looked at.
pub(super) fn forget_places(tx: &mut Tx<'_>) -> Result<()> {
    for statement in [
        "DELETE FROM uploads",
        "DELETE FROM leases",
        "DELETE FROM blob_removals",
        "DELETE FROM blob_suspects",
        "DELETE FROM quarantine WHERE location IS NOT NULL",
        "DELETE FROM closings",
        "DELETE FROM settings WHERE name IN ('blob_store', 'arriving')",
    ] {
        tx.execute(statement, params![])?;
    }
    Ok(())
}

pub(super) fn has_unnumbered(tx: &mut Tx<'_>) -> Result<bool> {
    let sql = "SELECT 1 FROM operations WHERE sequence IS NULL LIMIT 1";
    Ok(tx.query_one(sql, params![], |_| Ok(()))?.is_some())
}

/// Blobs in the store, and their bytes.
pub(super) fn total(tx: &mut Tx<'_>) -> Result<(u64, u64)> {
    let total = tx.query_one(
        "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS {i64}) FROM blobs WHERE location IS NOT NULL",
        params![],
        |row| Ok((row.get_u64(0)?, row.get_u64(1)?)),
    )?;
    Ok(total.unwrap_or_default())
}

/// The blobs after that one.
pub(super) fn page(tx: &mut Tx<'_>, registry: i64, digest: &[u8]) -> Result<Vec<Row>> {
    tx.query(
        "SELECT registry_id, digest, size, location FROM blobs \
         WHERE location IS NOT NULL AND (registry_id, digest) > (?1, ?2) ORDER BY registry_id, digest LIMIT ?3",
        params![registry, digest, PAGE],
        |row| {
            Ok(Row {
                registry: row.get_i64(0)?,
                digest: Digest::from_bytes(row.get_bytes_ref(1)?)
                    .ok_or(Error::Corrupt("blobs.digest"))?,
                size: row.get_u64(2)?,
                location: row.get_string(3)?,
            })
        },
    )
}

/// Where a blob is.
pub(super) fn place(tx: &mut Tx<'_>, registry: i64, digest: &[u8]) -> Result<Option<String>> {
    let place = tx.query_one(
        "SELECT location FROM blobs WHERE registry_id = ?1 AND digest = ?2",
        params![registry, digest],
        |row| row.get_string_opt(0),
    )?;
    Ok(place.flatten())
}

pub(super) fn relocate(tx: &mut Tx<'_>, registry: i64, digest: &[u8], place: &str) -> Result<()> {
    tx.execute(
        "UPDATE blobs SET location = ?3 WHERE registry_id = ?1 AND digest = ?2",
        params![registry, digest, place],
    )?;
    Ok(())
}

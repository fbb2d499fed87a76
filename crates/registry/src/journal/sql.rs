//! The journal's own statements.

use lazuli_db::{Error, Tx, params};

use super::record::{KnownBlob, hex};

/// Operations that are committed and have no number yet, oldest first.
pub(super) fn unnumbered(tx: &mut Tx<'_>, origin: u16) -> Result<Vec<String>, Error> {
    tx.query(
        "SELECT id FROM operations WHERE sequence IS NULL AND origin = ?1 ORDER BY hlc, id",
        params![i64::from(origin)],
        |row| Ok(hex(row.get_bytes_ref(0)?)),
    )
}

/// The identifier of a numbered operation.
pub(super) fn numbered(
    tx: &mut Tx<'_>,
    origin: u16,
    sequence: i64,
) -> Result<Option<String>, Error> {
    tx.query_one(
        "SELECT id FROM operations WHERE origin = ?1 AND sequence = ?2",
        params![i64::from(origin), sequence],
        |row| Ok(hex(row.get_bytes_ref(0)?)),
    )
}

/// Operations after that one, and when the first of them was made.
pub(super) fn lag(
    tx: &mut Tx<'_>,
    origin: u16,
    sequence: i64,
) -> Result<(u64, Option<i64>), Error> {
    let oldest = tx.query_one(
        "SELECT created_at FROM operations WHERE origin = ?1 AND sequence > ?2 ORDER BY sequence LIMIT 1",
        params![i64::from(origin), sequence],
        |row| row.get_i64(0),
    )?;
    let last = tx.query_one(
        "SELECT sequence FROM origins WHERE origin = ?1",
        params![i64::from(origin)],
        |row| row.get_i64(0),
    )?;
    let behind = last.unwrap_or(0).saturating_sub(sequence);
    Ok((u64::try_from(behind).unwrap_or(0), oldest))
}

/// What is known of a blob.
pub(super) fn blob(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &lazuli_wire::oci::Digest,
) -> Result<Option<KnownBlob>, Error> {
    tx.query_one(
        "SELECT size, content FROM blobs WHERE registry_id = ?1 AND digest = ?2",
        params![registry, &digest.to_bytes()],
        |row| {
            Ok(KnownBlob {
                registry,
                digest: digest.to_string(),
                size: row.get_i64(0)?,
                content: row.get_bytes_opt(1)?,
            })
        },
    )
}

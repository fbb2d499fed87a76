//! What a poll reads.

use lazuli_db::{Error, Tx};
use lazuli_wire::oci::RepositoryName;

use super::{Found, Met, Newest};
use crate::operations::{self, OperationId};

/// The operation with the greatest number.
pub(super) fn newest(tx: &mut Tx<'_>, origin: u16) -> Result<Newest, Error> {
    tx.query_one(
        "SELECT sequence, id FROM operations WHERE origin = ?1 AND sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1",
        &[i64::from(origin).into()],
        |row| Ok((row.get_i64(0)?, id(&row.get_bytes(1)?)?)),
    )
}

fn id(bytes: &[u8]) -> Result<OperationId, Error> {
    OperationId::from_bytes(bytes).ok_or(Error::Corrupt("operations.id"))
}

/// One statement, so one snapshot: what has no number, and what has one of `from` or beyond, the newest
/// first in case there is more.
const UNSEEN: &str = "SELECT * FROM (\
      SELECT id, sequence, registry_id, repository, kind, payload, \
        CASE WHEN kind = 'put-manifest' THEN observed END FROM operations \
      WHERE sequence IS NULL ORDER BY hlc, id LIMIT ?3) AS unnumbered \
    UNION ALL SELECT * FROM (\
      SELECT id, sequence, registry_id, repository, kind, payload, \
        CASE WHEN kind = 'put-manifest' THEN observed END FROM operations \
      WHERE origin = ?1 AND sequence >= ?2 ORDER BY sequence DESC LIMIT ?3) AS numbered";

pub(super) fn unseen(tx: &mut Tx<'_>, origin: u16, from: i64, most: u32) -> Result<Found, Error> {
    let operations = tx.query(
        UNSEEN,
        &[
            i64::from(origin).into(),
            from.into(),
            i64::from(most).into(),
        ],
        |row| {
            let name = row.get_string_opt(3)?;
            let repository = name.as_deref().map(RepositoryName::parse).transpose();
            let operation = operations::decode(
                row.get_text(4)?,
                row.get_text(5)?,
                row.get_bytes_ref_opt(6)?,
            );
            // Forgetting everything is always right.
            let (repository, operation) = match (repository, operation) {
                (Ok(repository), Ok(operation)) => (repository, Some(operation)),
                _ => (None, None),
            };
            Ok(Met {
                id: id(&row.get_bytes(0)?)?,
                sequence: row.get_i64_opt(1)?,
                registry: row.get_i64(2)?,
                repository,
                operation,
            })
        },
    )?;
    let numbered = operations
        .iter()
        .filter(|met| met.sequence.is_some())
        .count();
    let most = most as usize;
    Ok(Found {
        cut: numbered >= most || operations.len() - numbered >= most,
        operations,
    })
}

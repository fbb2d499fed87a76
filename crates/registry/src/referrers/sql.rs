//! Statements on `manifests` by subject.

use lazuli_db::{Error, Row, Tx};
use lazuli_wire::oci::Digest;

use super::Referrer;

/// One more than `limit`, if there are so many.
pub(super) fn page(
    tx: &mut Tx<'_>,
    repository: i64,
    subject: &[u8],
    artifact_type: Option<&str>,
    last: &[u8],
    limit: u32,
) -> Result<Vec<Referrer>, Error> {
    let limit = i64::from(limit) + 1;
    match artifact_type {
        None => tx.query(
            "SELECT digest, media_type, size, artifact_type, annotations FROM manifests \
             WHERE repository_id = ?1 AND subject = ?2 AND digest > ?3 AND NOT EXISTS (SELECT 1 FROM attributes a \
             WHERE a.repository_id = manifests.repository_id AND a.tag = '' AND a.digest = manifests.digest AND (a.flags & 8) = 0) \
             ORDER BY digest LIMIT ?4",
            &[repository.into(), subject.into(), last.into(), limit.into()],
            read,
        ),
        Some(wanted) => tx.query(
            "SELECT digest, media_type, size, artifact_type, annotations FROM manifests \
             WHERE repository_id = ?1 AND subject = ?2 AND digest > ?3 AND artifact_type = ?5 AND NOT EXISTS (SELECT 1 FROM attributes a \
             WHERE a.repository_id = manifests.repository_id AND a.tag = '' AND a.digest = manifests.digest AND (a.flags & 8) = 0) \
             ORDER BY digest LIMIT ?4",
            &[repository.into(), subject.into(), last.into(), limit.into(), wanted.into()],
            read,
        ),
    }
}

fn read(row: &Row<'_>) -> Result<Referrer, Error> {
    Ok(Referrer {
        digest: Digest::from_bytes(row.get_bytes_ref(0)?)
            .ok_or(Error::Corrupt("manifests.digest"))?,
        media_type: row.get_string(1)?,
        size: row.get_u64(2)?,
        artifact_type: row.get_string_opt(3)?,
        annotations: row.get_string_opt(4)?,
    })
}

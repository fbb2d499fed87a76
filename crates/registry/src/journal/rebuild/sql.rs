//! Statements of a rebuild.

use lazuli_blobs::BlobEntry;
use lazuli_db::{Db, Error, Tx, dump, params, settings};
use lazuli_wire::oci::Digest;

use crate::{Result, manifests, tags};

/// Marks a database that a rebuild has not finished.
const MARK: &str = "rebuild";
/// Rows looked at in one read.
const PAGE: i64 = 100;

/// Whether a rebuild of this database was begun and not finished.
pub async fn is_unfinished(db: &Db) -> Result<bool> {
    Ok(db.read(is_marked).await?)
}

fn is_marked(tx: &mut Tx<'_>) -> Result<bool, Error> {
    Ok(settings::get(tx, MARK)?.is_some())
}

/// Empties and marks a database; false if it is in use.
pub(super) fn begin(tx: &mut Tx<'_>, tables: &[&'static str]) -> Result<bool, Error> {
    let used = tx.query_one("SELECT 1 FROM registries LIMIT 1", params![], |_| Ok(()))?;
    if used.is_some() && !is_marked(tx)? {
        return Ok(false);
    }
    for table in tables.iter().rev() {
        dump::clear_table(tx, table)?;
    }
    settings::set(tx, MARK, "under way")?;
    Ok(true)
}

/// What the log begins with is in the snapshot.
pub(super) fn trim_log(tx: &mut Tx<'_>) -> Result<(), Error> {
    tx.execute("DELETE FROM log_floors", params![])?;
    tx.execute(
        "INSERT INTO log_floors (origin, sequence) SELECT origin, MIN(sequence) - 1 FROM operations \
         WHERE sequence IS NOT NULL GROUP BY origin",
        params![],
    )
    .map(drop)
}

pub(super) fn forget_places(tx: &mut Tx<'_>) -> Result<(), Error> {
    tx.execute(
        "UPDATE blobs SET location = NULL WHERE location IS NOT NULL",
        params![],
    )
    .map(drop)
}

/// The place of a blob that has none.
pub(super) fn place(tx: &mut Tx<'_>, registry: i64, entry: &BlobEntry) -> Result<(), Error> {
    tx.execute(
        "UPDATE blobs SET location = ?4 WHERE registry_id = ?1 AND digest = ?2 AND size = ?3 \
         AND location IS NULL AND content IS NULL",
        params![
            registry,
            &entry.digest.to_bytes(),
            entry.size,
            entry.location.as_str()
        ],
    )
    .map(drop)
}

/// A manifest, or a blob that is kept in the database.
pub(super) struct Stored {
    /// Whose: repository or registry.
    pub(super) owner: i64,
    pub(super) digest: Vec<u8>,
    bytes: Vec<u8>,
}

impl Stored {
    pub(super) fn is_itself(&self) -> bool {
        Digest::from_bytes(&self.digest)
            .is_some_and(|digest| Digest::of(digest.algorithm(), &self.bytes) == digest)
    }
}

/// What can be hashed again here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Manifests,
    /// Blobs that are kept in the database.
    Contents,
}

pub(super) fn page(
    tx: &mut Tx<'_>,
    kind: Kind,
    owner: i64,
    digest: &[u8],
) -> Result<Vec<Stored>, Error> {
    let statement = match kind {
        Kind::Manifests => {
            "SELECT repository_id, digest, body FROM manifests WHERE (repository_id, digest) > (?1, ?2) \
             ORDER BY repository_id, digest LIMIT ?3"
        }
        Kind::Contents => {
            "SELECT registry_id, digest, content FROM blobs WHERE content IS NOT NULL \
             AND (registry_id, digest) > (?1, ?2) ORDER BY registry_id, digest LIMIT ?3"
        }
    };
    tx.query(statement, params![owner, digest, PAGE], |row| {
        Ok(Stored {
            owner: row.get_i64(0)?,
            digest: row.get_bytes(1)?,
            bytes: row.get_bytes(2)?,
        })
    })
}

pub(super) fn repository(tx: &mut Tx<'_>, id: i64) -> Result<Option<String>, Error> {
    tx.query_one(
        "SELECT name FROM repositories WHERE id = ?1",
        params![id],
        |row| row.get_string(0),
    )
}

/// Takes out what is not itself; a blob's row stays until nothing needs it.
pub(super) fn remove(tx: &mut Tx<'_>, kind: Kind, owner: i64, digest: &[u8]) -> Result<(), Error> {
    match kind {
        Kind::Manifests => {
            tags::sql::remove_of_digest(tx, owner, digest)?;
            manifests::sql::remove(tx, owner, digest)
        }
        Kind::Contents => tx
            .execute(
                "UPDATE blobs SET content = NULL WHERE registry_id = ?1 AND digest = ?2",
                params![owner, digest],
            )
            .map(drop),
    }
}

/// Rows of blobs that are nowhere and that no manifest names: garbage collection had removed them.
pub(super) fn remove_unneeded(tx: &mut Tx<'_>) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM repository_blobs WHERE EXISTS (SELECT 1 FROM blobs b WHERE b.registry_id = repository_blobs.registry_id \
           AND b.digest = repository_blobs.digest AND b.location IS NULL AND b.content IS NULL) \
         AND NOT EXISTS (SELECT 1 FROM manifest_references m WHERE m.repository_id IN (SELECT id FROM repositories p WHERE p.holder = repository_blobs.repository_id AND p.deleted_at IS NULL) \
           AND m.child = repository_blobs.digest)",
        params![],
    )?;
    tx.execute(
        "DELETE FROM blobs WHERE location IS NULL AND content IS NULL AND NOT EXISTS \
         (SELECT 1 FROM repository_blobs r WHERE r.registry_id = blobs.registry_id AND r.digest = blobs.digest)",
        params![],
    )
    .map(drop)
}

/// Blobs that a manifest names and that are nowhere.
pub(super) fn missing(tx: &mut Tx<'_>, limit: u32) -> Result<Vec<(i64, String, Digest)>, Error> {
    tx.query(
        "SELECT b.registry_id, MIN(p.name), b.digest FROM blobs b \
         JOIN repository_blobs r ON r.registry_id = b.registry_id AND r.digest = b.digest \
         JOIN repositories p ON p.holder = r.repository_id AND p.deleted_at IS NULL \
         WHERE b.location IS NULL AND b.content IS NULL GROUP BY b.registry_id, b.digest ORDER BY b.registry_id, b.digest LIMIT ?1",
        params![limit],
        |row| {
            let digest = Digest::from_bytes(row.get_bytes_ref(2)?);
            Ok((row.get_i64(0)?, row.get_string(1)?, digest.ok_or(Error::Corrupt("blobs.digest"))?))
        },
    )
}

/// Takes out what meant something in the lost database only, and lets garbage collection look at everything when the leases
/// that clients may have been told of have ended.
pub(super) fn finish(tx: &mut Tx<'_>, now: i64, leased_until: i64) -> Result<(), Error> {
    tx.execute(
        "UPDATE repository_blobs SET leased_until = ?1, check_after = ?1",
        params![leased_until],
    )?;
    tx.execute(
        "UPDATE blobs SET leased_until = ?1, condemned_at = NULL",
        params![leased_until],
    )?;
    tx.execute(
        "UPDATE blobs SET condemned_at = ?1 WHERE NOT EXISTS \
         (SELECT 1 FROM repository_blobs r WHERE r.registry_id = blobs.registry_id AND r.digest = blobs.digest)",
        params![now],
    )?;
    tx.execute(
        "UPDATE repositories SET listed = 0 WHERE listed <> 0 AND NOT EXISTS \
         (SELECT 1 FROM manifests m WHERE m.repository_id = repositories.id)",
        params![],
    )?;
    tx.execute(
        "DELETE FROM settings WHERE name IN ('gc.trust', 'blob_store', ?1)",
        params![MARK],
    )
    .map(drop)
}

pub(super) fn counts(tx: &mut Tx<'_>) -> Result<[u64; 4], Error> {
    let counts = tx.query_one(
        "SELECT (SELECT COUNT(*) FROM repositories WHERE listed <> 0), (SELECT COUNT(*) FROM manifests m JOIN repositories r ON r.id = m.repository_id WHERE r.deleted_at IS NULL), \
         (SELECT COUNT(*) FROM tags t JOIN repositories r ON r.id = t.repository_id WHERE r.deleted_at IS NULL), \
         (SELECT COUNT(*) FROM blobs WHERE location IS NOT NULL OR content IS NOT NULL)",
        params![],
        |row| Ok([row.get_u64(0)?, row.get_u64(1)?, row.get_u64(2)?, row.get_u64(3)?]),
    )?;
    Ok(counts.unwrap_or_default())
}

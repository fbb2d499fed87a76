//! Rows of things that are no more.

use lazuli_db::{Error, Tx};

/// Tables whose rows belong to a row of another one.
pub(crate) const DEPENDENT_TABLES: [&str; 6] = [
    "repository_blobs",
    "manifest_dots",
    "manifest_references",
    "tags",
    "tag_versions",
    "attributes",
];

/// How many rows of the table belong to nothing.
pub(crate) fn dangling(tx: &mut Tx<'_>, table: &'static str) -> Result<u64, Error> {
    let sql = match table {
        "repository_blobs" => {
            "SELECT COUNT(*) FROM repository_blobs x WHERE NOT EXISTS (SELECT 1 FROM repositories r WHERE r.holder = x.repository_id)"
        }
        "manifest_dots" => {
            "SELECT COUNT(*) FROM manifest_dots x WHERE NOT EXISTS \
             (SELECT 1 FROM manifests m WHERE m.repository_id = x.repository_id AND m.digest = x.digest)"
        }
        "manifest_references" => {
            "SELECT COUNT(*) FROM manifest_references x WHERE NOT EXISTS \
             (SELECT 1 FROM manifests m WHERE m.repository_id = x.repository_id AND m.digest = x.manifest)"
        }
        "tags" => {
            "SELECT COUNT(*) FROM tags x WHERE NOT EXISTS (SELECT 1 FROM repositories r WHERE r.id = x.repository_id)"
        }
        "attributes" => {
            "SELECT COUNT(*) FROM attributes x WHERE NOT EXISTS (SELECT 1 FROM repositories r WHERE r.id = x.repository_id)"
        }
        _ => {
            "SELECT COUNT(*) FROM tag_versions x WHERE NOT EXISTS (SELECT 1 FROM repositories r WHERE r.id = x.repository_id)"
        }
    };
    Ok(tx.query_one(sql, &[], |row| row.get_u64(0))?.unwrap_or(0))
}

/// Removes rows that belong to nothing; returns how many.
pub(crate) fn remove_dangling(
    tx: &mut Tx<'_>,
    table: &'static str,
    now: i64,
) -> Result<u64, Error> {
    let sql = match table {
        "repository_blobs" => {
            // The bytes were stored that long.
            tx.execute(
                "INSERT INTO blob_intervals (registry_id, repository_id, digest, from_at, to_at, size) \
                 SELECT registry_id, repository_id, digest, linked_at, ?1, size FROM repository_blobs x \
                 WHERE linked_at < ?1 AND NOT EXISTS (SELECT 1 FROM repositories r WHERE r.holder = x.repository_id) \
                 ON CONFLICT DO NOTHING",
                &[now.into()],
            )?;
            "DELETE FROM repository_blobs WHERE NOT EXISTS \
             (SELECT 1 FROM repositories r WHERE r.holder = repository_blobs.repository_id)"
        }
        "manifest_dots" => {
            "DELETE FROM manifest_dots WHERE NOT EXISTS (SELECT 1 FROM manifests m \
             WHERE m.repository_id = manifest_dots.repository_id AND m.digest = manifest_dots.digest)"
        }
        "manifest_references" => {
            tx.execute(
                "UPDATE repository_blobs SET check_after = ?1 WHERE check_after IS NULL AND EXISTS \
                 (SELECT 1 FROM manifest_references x JOIN repositories r ON r.id = x.repository_id \
                  WHERE r.holder = repository_blobs.repository_id AND x.child = repository_blobs.digest AND NOT EXISTS (SELECT 1 FROM manifests m \
                  WHERE m.repository_id = x.repository_id AND m.digest = x.manifest))",
                &[now.into()],
            )?;
            "DELETE FROM manifest_references WHERE NOT EXISTS (SELECT 1 FROM manifests m \
             WHERE m.repository_id = manifest_references.repository_id AND m.digest = manifest_references.manifest)"
        }
        "tags" => {
            "DELETE FROM tags WHERE NOT EXISTS (SELECT 1 FROM repositories r WHERE r.id = tags.repository_id)"
        }
        "attributes" => {
            "DELETE FROM attributes WHERE NOT EXISTS (SELECT 1 FROM repositories r WHERE r.id = attributes.repository_id)"
        }
        _ => {
            "DELETE FROM tag_versions WHERE NOT EXISTS \
             (SELECT 1 FROM repositories r WHERE r.id = tag_versions.repository_id)"
        }
    };
    tx.execute(sql, &[])
}

pub(crate) fn manifests_without_repository(tx: &mut Tx<'_>) -> Result<u64, Error> {
    let count = tx.query_one(
        "SELECT COUNT(*) FROM manifests m WHERE NOT EXISTS (SELECT 1 FROM repositories r WHERE r.id = m.repository_id)",
        &[],
        |row| row.get_u64(0),
    )?;
    Ok(count.unwrap_or(0))
}

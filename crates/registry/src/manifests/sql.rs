//! Statements on `manifests`, `manifest_dots` and `manifest_references`.

use lazuli_db::{Error, Tx};
use lazuli_wire::oci::{Digest, ImagePlatform, ParsedManifest};

use crate::operations::OperationId;

/// Kinds of `manifest_references`.
pub(crate) const CONFIG: i64 = 0;
pub(crate) const LAYER: i64 = 1;
pub(crate) const MANIFEST: i64 = 2;

/// Media type and bytes.
pub(crate) fn find(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &[u8],
) -> Result<Option<(String, Vec<u8>)>, Error> {
    tx.query_one(
        "SELECT media_type, body FROM manifests WHERE repository_id = ?1 AND digest = ?2",
        &[repository.into(), digest.into()],
        |row| Ok((row.get_text(0)?.to_owned(), row.get_bytes(1)?)),
    )
}

pub(crate) fn exists(tx: &mut Tx<'_>, repository: i64, digest: &[u8]) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT 1 FROM manifests WHERE repository_id = ?1 AND digest = ?2",
        &[repository.into(), digest.into()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

/// Whether the repository holds any manifest.
pub(crate) fn any(tx: &mut Tx<'_>, repository: i64) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT 1 FROM manifests WHERE repository_id = ?1 LIMIT 1",
        &[repository.into()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

pub(crate) fn insert(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &[u8],
    (parsed, platform): (&ParsedManifest, &ImagePlatform),
    body: &[u8],
    now: i64,
) -> Result<(), Error> {
    let subject = parsed.subject.as_ref().map(|s| s.digest.to_bytes());
    // Only referrers are ever listed with their annotations.
    let annotations = match &subject {
        Some(_) if !parsed.annotations.is_empty() => {
            serde_json::to_string(&parsed.annotations).ok()
        }
        _ => None,
    };
    tx.send(
        "INSERT INTO manifests (repository_id, digest, media_type, artifact_type, subject, annotations, config_media_type, architecture, os, \
         size, image_size, body, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?12, ?13, ?8, ?9, ?10, ?11, ?11)",
        &[
            repository.into(),
            digest.into(),
            parsed.media_type.as_str().into(),
            parsed.artifact_type.as_deref().into(),
            subject.as_deref().into(),
            annotations.as_deref().into(),
            parsed.config_media_type.as_deref().into(),
            (body.len() as i64).into(),
            i64::try_from(parsed.image_size).unwrap_or(i64::MAX).into(),
            body.into(),
            now.into(),
            platform.architecture.as_deref().into(),
            platform.os.as_deref().into(),
        ],
    )
}

pub(crate) fn add_reference(
    tx: &mut Tx<'_>,
    repository: i64,
    manifest: &[u8],
    child: &[u8],
    kind: i64,
) -> Result<(), Error> {
    tx.send(
        "INSERT INTO manifest_references (repository_id, manifest, child, kind) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        &[repository.into(), manifest.into(), child.into(), kind.into()],
    )
}

pub(crate) fn dot_of(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &[u8],
    origin: u16,
) -> Result<Option<Vec<u8>>, Error> {
    tx.query_one(
        "SELECT operation_id FROM manifest_dots WHERE repository_id = ?1 AND digest = ?2 AND origin = ?3",
        &[repository.into(), digest.into(), i64::from(origin).into()],
        |row| row.get_bytes(0),
    )
}

pub(crate) fn set_dot(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &[u8],
    origin: u16,
    dot: &[u8],
) -> Result<(), Error> {
    tx.send(
        "INSERT INTO manifest_dots (repository_id, digest, origin, operation_id) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (repository_id, digest, origin) DO UPDATE SET operation_id = excluded.operation_id",
        &[repository.into(), digest.into(), i64::from(origin).into(), dot.into()],
    )
}

pub(crate) fn dots(tx: &mut Tx<'_>, repository: i64, digest: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    tx.query(
        "SELECT operation_id FROM manifest_dots WHERE repository_id = ?1 AND digest = ?2",
        &[repository.into(), digest.into()],
        |row| row.get_bytes(0),
    )
}

/// The newest clock of a repository's dots, 0 if it has none; `None` if there are more than `limit`.
pub(crate) fn newest_dot_of_few(
    tx: &mut Tx<'_>,
    repository: i64,
    limit: u32,
) -> Result<Option<i64>, Error> {
    let dots = tx.query(
        "SELECT operation_id FROM manifest_dots WHERE repository_id = ?1 LIMIT ?2",
        &[repository.into(), (i64::from(limit) + 1).into()],
        |row| {
            let id = OperationId::from_bytes(row.get_bytes_ref(0)?);
            id.map(|id| id.hlc())
                .ok_or(Error::Corrupt("manifest_dots.operation_id"))
        },
    )?;
    let is_all = dots.len() <= limit as usize;
    Ok(is_all.then(|| dots.into_iter().max().unwrap_or(0)))
}

/// Some manifests of a repository.
pub(crate) fn some(tx: &mut Tx<'_>, repository: i64, limit: u32) -> Result<Vec<Digest>, Error> {
    tx.query(
        "SELECT digest FROM manifests WHERE repository_id = ?1 ORDER BY digest LIMIT ?2",
        &[repository.into(), limit.into()],
        |row| Digest::from_bytes(row.get_bytes_ref(0)?).ok_or(Error::Corrupt("manifests.digest")),
    )
}

pub(crate) fn referrers_of(
    tx: &mut Tx<'_>,
    repository: i64,
    subject: &Digest,
) -> Result<Vec<Digest>, Error> {
    let rows = tx.query(
        "SELECT digest FROM manifests WHERE repository_id = ?1 AND subject = ?2",
        &[repository.into(), subject.to_bytes().as_slice().into()],
        |row| row.get_bytes(0),
    )?;
    Ok(rows
        .iter()
        .filter_map(|bytes| Digest::from_bytes(bytes))
        .collect())
}

/// Lets garbage collection look at the blobs a manifest names, now that it goes.
pub(crate) fn check_children_later(
    tx: &mut Tx<'_>,
    repository: i64,
    manifest: &[u8],
    now: i64,
) -> Result<(), Error> {
    tx.send(
        "UPDATE repository_blobs SET check_after = ?3 \
         WHERE repository_id = (SELECT holder FROM repositories WHERE id = ?1) AND check_after IS NULL AND digest IN \
         (SELECT child FROM manifest_references WHERE repository_id = ?1 AND manifest = ?2)",
        &[repository.into(), manifest.into(), now.into()],
    )
}

pub(crate) fn remove(tx: &mut Tx<'_>, repository: i64, digest: &[u8]) -> Result<(), Error> {
    let key = [repository.into(), digest.into()];
    tx.send(
        "DELETE FROM manifest_references WHERE repository_id = ?1 AND manifest = ?2",
        &key,
    )?;
    tx.send(
        "DELETE FROM manifest_dots WHERE repository_id = ?1 AND digest = ?2",
        &key,
    )?;
    tx.send(
        "DELETE FROM manifests WHERE repository_id = ?1 AND digest = ?2",
        &key,
    )
}

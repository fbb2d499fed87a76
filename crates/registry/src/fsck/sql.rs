//! The checks' statements: each page is one snapshot.

mod dangling;

use std::collections::BTreeSet;

use lazuli_db::{Error, Row, Tx};
use lazuli_wire::oci::{Digest, UploadId};

use super::Place;
use crate::merge::TagVersion;

pub(super) use dangling::{
    DEPENDENT_TABLES, dangling, manifests_without_repository, remove_dangling,
};

#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) registry: i64,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) location: Option<String>,
    pub(crate) content: Option<Vec<u8>>,
    pub(crate) is_condemned: bool,
    pub(crate) is_held: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) repository: i64,
    pub(super) digest: Digest,
    pub(super) registry: i64,
    pub(super) size: u64,
    pub(super) is_due: bool,
    /// `None`: the repository has no row.
    pub(super) place: Option<Place>,
    /// `None`: the registry does not have the blob.
    pub(super) blob_size: Option<u64>,
    pub(super) is_referenced: bool,
}

#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) place: Place,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) artifact_type: Option<String>,
    pub(crate) subject: Option<Digest>,
    pub(crate) size: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) references: BTreeSet<(Digest, i64)>,
    pub(crate) has_dot: bool,
}

#[derive(Debug)]
pub(super) struct Repository {
    pub(super) place: Place,
    pub(super) is_listed: bool,
    pub(super) has_manifests: bool,
}

#[derive(Debug)]
pub(super) struct Tag {
    pub(super) place: Place,
    pub(super) name: String,
    /// What it names; `None`: it has only a history.
    pub(super) target: Option<Digest>,
    pub(super) has_target: bool,
    pub(super) newest: Option<TagVersion<Digest>>,
    pub(super) has_newest_target: bool,
}

#[derive(Debug)]
pub(super) struct Origin {
    pub(super) number: i64,
    pub(super) numbered: u64,
    /// 0 if there are none.
    pub(super) range: (i64, i64),
    pub(super) recorded: i64,
    /// The last one that went by age.
    pub(super) floor: i64,
}

fn digest(row: &Row<'_>, column: usize) -> Result<Digest, Error> {
    Digest::from_bytes(row.get_bytes_ref(column)?).ok_or(Error::Corrupt("digest"))
}

fn digest_opt(row: &Row<'_>, column: usize) -> Result<Option<Digest>, Error> {
    row.get_bytes_ref_opt(column)?
        .map(|bytes| Digest::from_bytes(bytes).ok_or(Error::Corrupt("digest")))
        .transpose()
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

const BLOB: &str = "SELECT b.registry_id, b.digest, b.size, b.location, b.content, b.condemned_at, \
    (SELECT MIN(r.linked_at) FROM repository_blobs r WHERE r.registry_id = b.registry_id AND r.digest = b.digest) \
    FROM blobs b WHERE b.registry_id = ?1 AND b.digest = ?2";
const BLOBS: &str = "SELECT b.registry_id, b.digest, b.size, b.location, b.content, b.condemned_at, \
    (SELECT MIN(r.linked_at) FROM repository_blobs r WHERE r.registry_id = b.registry_id AND r.digest = b.digest) \
    FROM blobs b WHERE (b.registry_id, b.digest) > (?1, ?2) ORDER BY b.registry_id, b.digest LIMIT ?3";

fn read_blob(row: &Row<'_>) -> Result<Blob, Error> {
    Ok(Blob {
        registry: row.get_i64(0)?,
        digest: digest(row, 1)?,
        size: row.get_u64(2)?,
        location: row.get_string_opt(3)?,
        content: row.get_bytes_opt(4)?,
        is_condemned: row.get_i64_opt(5)?.is_some(),
        is_held: row.get_i64_opt(6)?.is_some(),
    })
}

pub(crate) fn blob(tx: &mut Tx<'_>, registry: i64, digest: &Digest) -> Result<Option<Blob>, Error> {
    tx.query_one(
        BLOB,
        &[registry.into(), (&digest.to_bytes()).into()],
        read_blob,
    )
}

pub(super) fn blobs(
    tx: &mut Tx<'_>,
    after: &(i64, Vec<u8>),
    limit: u32,
) -> Result<Vec<Blob>, Error> {
    tx.query(
        BLOBS,
        &[after.0.into(), (&after.1).into(), limit.into()],
        read_blob,
    )
}

pub(super) fn links(
    tx: &mut Tx<'_>,
    after: &(i64, Vec<u8>),
    limit: u32,
) -> Result<Vec<Link>, Error> {
    tx.query(
        "SELECT l.repository_id, l.digest, l.registry_id, l.size, l.check_after, r.registry_id, r.name, b.size, \
         (SELECT MIN(m.kind) FROM manifest_references m JOIN repositories d ON d.id = m.repository_id \
          WHERE d.holder = l.repository_id AND m.child = l.digest) \
         FROM repository_blobs l LEFT JOIN repositories r ON r.holder = l.repository_id AND r.deleted_at IS NULL \
         LEFT JOIN blobs b ON b.registry_id = r.registry_id AND b.digest = l.digest \
         WHERE (l.repository_id, l.digest) > (?1, ?2) ORDER BY l.repository_id, l.digest LIMIT ?3",
        &[after.0.into(), (&after.1).into(), limit.into()],
        |row| {
            let repository = row.get_i64(0)?;
            let place = match (row.get_i64_opt(5)?, row.get_string_opt(6)?) {
                (Some(registry), Some(name)) => Some(Place { registry, repository, name }),
                _ => None,
            };
            Ok(Link {
                repository,
                digest: digest(row, 1)?,
                registry: row.get_i64(2)?,
                size: row.get_u64(3)?,
                is_due: row.get_i64_opt(4)?.is_some(),
                place,
                blob_size: row.get_i64_opt(7)?.map(unsigned),
                is_referenced: row.get_i64_opt(8)?.is_some(),
            })
        },
    )
}

/// Files to be removed, and whether a blob is there.
pub(super) fn removals_in_use(
    tx: &mut Tx<'_>,
    after: &str,
    limit: u32,
) -> Result<Vec<(String, bool)>, Error> {
    let page = tx.query(
        "SELECT location FROM blob_removals WHERE location > ?1 ORDER BY location LIMIT ?2",
        &[after.into(), limit.into()],
        |row| row.get_string(0),
    )?;
    let mut found = Vec::with_capacity(page.len());
    for text in page {
        let location = lazuli_blobs::Location::parse(&text).ok();
        let key = location
            .as_ref()
            .and_then(|location| Some((super::store::registry_of(location)?, location.digest()?)));
        let in_use = match key {
            Some((registry, digest)) => blob(tx, registry, &digest)?
                .is_some_and(|blob| blob.location.as_deref() == Some(&text)),
            None => false,
        };
        found.push((text, in_use));
    }
    Ok(found)
}

pub(super) fn manifest_keys(
    tx: &mut Tx<'_>,
    after: &(i64, Vec<u8>),
    limit: u32,
) -> Result<Vec<(i64, Digest)>, Error> {
    tx.query(
        "SELECT repository_id, digest FROM manifests WHERE (repository_id, digest) > (?1, ?2) \
         ORDER BY repository_id, digest LIMIT ?3",
        &[after.0.into(), (&after.1).into(), limit.into()],
        |row| Ok((row.get_i64(0)?, digest(row, 1)?)),
    )
}

/// A manifest of a repository that has a row, with what is recorded of it.
pub(crate) fn manifest(
    tx: &mut Tx<'_>,
    repository: i64,
    key: &Digest,
) -> Result<Option<Manifest>, Error> {
    let bytes = key.to_bytes();
    let found = tx.query_one(
        "SELECT r.registry_id, r.name, m.media_type, m.artifact_type, m.subject, m.size, m.body, \
         (SELECT MIN(d.origin) FROM manifest_dots d WHERE d.repository_id = m.repository_id AND d.digest = m.digest) \
         FROM manifests m JOIN repositories r ON r.id = m.repository_id AND r.deleted_at IS NULL \
         WHERE m.repository_id = ?1 AND m.digest = ?2",
        &[repository.into(), (&bytes).into()],
        |row| {
            Ok(Manifest {
                place: Place { registry: row.get_i64(0)?, repository, name: row.get_string(1)? },
                digest: *key,
                media_type: row.get_string(2)?,
                artifact_type: row.get_string_opt(3)?,
                subject: digest_opt(row, 4)?,
                size: row.get_u64(5)?,
                body: row.get_bytes(6)?,
                references: BTreeSet::new(),
                has_dot: row.get_i64_opt(7)?.is_some(),
            })
        },
    )?;
    let Some(mut manifest) = found else {
        return Ok(None);
    };
    let references = tx.query(
        "SELECT child, kind FROM manifest_references WHERE repository_id = ?1 AND manifest = ?2",
        &[repository.into(), (&bytes).into()],
        |row| Ok((digest(row, 0)?, row.get_i64(1)?)),
    )?;
    manifest.references = references.into_iter().collect();
    Ok(Some(manifest))
}

/// Which of a manifest's blobs its repository does not hold; none if the manifest is gone meanwhile.
pub(super) fn missing(
    tx: &mut Tx<'_>,
    repository: i64,
    key: &Digest,
    needed: &[Digest],
) -> Result<Vec<Digest>, Error> {
    if !crate::manifests::sql::exists(tx, repository, &key.to_bytes())? {
        return Ok(Vec::new());
    }
    let Some(holder) = crate::repositories::sql::holder(tx, repository)? else {
        return Ok(Vec::new());
    };
    let mut missing = Vec::new();
    for blob in needed {
        if !missing.contains(blob) && !crate::blobs::sql::is_linked(tx, holder, &blob.to_bytes())? {
            missing.push(*blob);
        }
    }
    Ok(missing)
}

pub(super) fn repositories(
    tx: &mut Tx<'_>,
    after: i64,
    limit: u32,
) -> Result<Vec<Repository>, Error> {
    tx.query(
        "SELECT r.id, r.registry_id, r.name, r.listed, \
         (SELECT MIN(m.created_at) FROM manifests m WHERE m.repository_id = r.id) \
         FROM repositories r WHERE r.id > ?1 AND r.deleted_at IS NULL ORDER BY r.id LIMIT ?2",
        &[after.into(), limit.into()],
        |row| {
            Ok(Repository {
                place: Place {
                    repository: row.get_i64(0)?,
                    registry: row.get_i64(1)?,
                    name: row.get_string(2)?,
                },
                is_listed: row.get_bool(3)?,
                has_manifests: row.get_i64_opt(4)?.is_some(),
            })
        },
    )
}

/// Tags, and names that have only a history, in repositories that have a row.
pub(super) fn tags(tx: &mut Tx<'_>, after: &(i64, String), limit: u32) -> Result<Vec<Tag>, Error> {
    let mut tags = tx.query(
        "SELECT k.repository_id, k.name, r.registry_id, r.name, t.digest, m.created_at FROM \
         (SELECT repository_id, name FROM tags WHERE (repository_id, name) > (?1, ?2) \
          UNION SELECT repository_id, name FROM tag_versions WHERE (repository_id, name) > (?1, ?2)) AS k \
         JOIN repositories r ON r.id = k.repository_id AND r.deleted_at IS NULL \
         LEFT JOIN tags t ON t.repository_id = k.repository_id AND t.name = k.name \
         LEFT JOIN manifests m ON m.repository_id = t.repository_id AND m.digest = t.digest \
         ORDER BY k.repository_id, k.name LIMIT ?3",
        &[after.0.into(), (&after.1).into(), limit.into()],
        |row| {
            Ok(Tag {
                place: Place { repository: row.get_i64(0)?, registry: row.get_i64(2)?, name: row.get_string(3)? },
                name: row.get_string(1)?,
                target: digest_opt(row, 4)?,
                has_target: row.get_i64_opt(5)?.is_some(),
                newest: None,
                has_newest_target: false,
            })
        },
    )?;
    for tag in &mut tags {
        let newest = tx.query_one(
            "SELECT v.hlc, v.origin, v.digest, m.created_at FROM tag_versions v \
             LEFT JOIN manifests m ON m.repository_id = v.repository_id AND m.digest = v.digest \
             WHERE v.repository_id = ?1 AND v.name = ?2 ORDER BY v.hlc DESC, v.origin DESC LIMIT 1",
            &[tag.place.repository.into(), (&tag.name).into()],
            |row| {
                let version = TagVersion {
                    hlc: row.get_i64(0)?,
                    origin: u16::try_from(row.get_i64(1)?)
                        .map_err(|_| Error::Corrupt("tag_versions.origin"))?,
                    target: digest_opt(row, 2)?,
                };
                Ok((version, row.get_i64_opt(3)?.is_some()))
            },
        )?;
        if let Some((version, has_target)) = newest {
            (tag.newest, tag.has_newest_target) = (Some(version), has_target);
        }
    }
    Ok(tags)
}

/// Numbered operations by origin.
pub(super) fn origins(tx: &mut Tx<'_>) -> Result<Vec<Origin>, Error> {
    tx.query(
        "SELECT k.origin, (SELECT COUNT(*) FROM operations o WHERE o.origin = k.origin AND o.sequence IS NOT NULL), \
         (SELECT MIN(o.sequence) FROM operations o WHERE o.origin = k.origin AND o.sequence IS NOT NULL), \
         (SELECT MAX(o.sequence) FROM operations o WHERE o.origin = k.origin AND o.sequence IS NOT NULL), \
         (SELECT MAX(v.sequence) FROM origins v WHERE v.origin = k.origin), \
         (SELECT MAX(f.sequence) FROM log_floors f WHERE f.origin = k.origin) \
         FROM (SELECT origin FROM origins UNION SELECT origin FROM log_floors \
          UNION SELECT origin FROM operations WHERE sequence IS NOT NULL) AS k ORDER BY k.origin",
        &[],
        |row| {
            Ok(Origin {
                number: row.get_i64(0)?,
                numbered: row.get_u64(1)?,
                range: (
                    row.get_i64_opt(2)?.unwrap_or(0),
                    row.get_i64_opt(3)?.unwrap_or(0),
                ),
                recorded: row.get_i64_opt(4)?.unwrap_or(0),
                floor: row.get_i64_opt(5)?.unwrap_or(0),
            })
        },
    )
}

/// Whether a session is still where it was found, with its bytes in the store.
pub(super) fn is_stored(tx: &mut Tx<'_>, upload: UploadId, size: u64) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT 1 FROM uploads WHERE id = ?1 AND content IS NULL AND cancelled = 0 AND size = ?2",
        &[upload.as_bytes().as_slice().into(), (size as i64).into()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

/// Sessions whose bytes are in the store, with how many are on record.
pub(super) fn stored_uploads(
    tx: &mut Tx<'_>,
    after: &[u8],
    now: i64,
    limit: u32,
) -> Result<Vec<(UploadId, u64)>, Error> {
    tx.query(
        "SELECT id, size FROM uploads WHERE id > ?1 AND content IS NULL AND cancelled = 0 AND expires_at >= ?2 \
         ORDER BY id LIMIT ?3",
        &[after.into(), now.into(), limit.into()],
        |row| {
            let id = row.get_bytes_ref(0)?.try_into().map_err(|_| Error::Corrupt("uploads.id"))?;
            Ok((UploadId::from_bytes(id), row.get_u64(1)?))
        },
    )
}

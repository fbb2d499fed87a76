//! Statements on `blobs` and `repository_blobs`.

use lazuli_blobs::Location;
use lazuli_db::{Error, Row, Tx};
use lazuli_wire::oci::Digest;

use super::{Content, StoredBlob};

/// What the database knows of a blob in a repository.
pub(crate) struct Found {
    size: i64,
    location: Option<String>,
    content: Option<Vec<u8>>,
    leased_until: i64,
}

impl Found {
    pub(crate) fn into_blob(self, digest: Digest, read_at: i64) -> crate::Result<StoredBlob> {
        let content = match (self.content, self.location) {
            (Some(bytes), _) => Content::Inline(bytes.into()),
            (None, Some(location)) => Content::Stored(
                Location::parse(&location)
                    .map_err(|_| crate::Error::Internal("a stored location cannot be read"))?,
            ),
            // Its bytes were damaged and put aside.
            (None, None) => return Err(crate::Error::BlobUnknown),
        };
        Ok(StoredBlob::new(
            digest,
            self.size as u64,
            content,
            self.leased_until,
            read_at,
        ))
    }
}

pub(crate) fn find(
    tx: &mut Tx<'_>,
    registry: i64,
    repository: i64,
    digest: &[u8],
) -> Result<Option<Found>, Error> {
    tx.query_one(
        "SELECT b.size, b.location, b.content, r.leased_until FROM repository_blobs r \
         JOIN blobs b ON b.registry_id = ?1 AND b.digest = r.digest WHERE r.repository_id = ?2 AND r.digest = ?3",
        &[registry.into(), repository.into(), digest.into()],
        found,
    )
}

/// As [`find`] by the repository's name, unless it holds that manifest: one statement, because pushes wait for it.
pub(crate) fn find_before_manifest(
    tx: &mut Tx<'_>,
    registry: i64,
    repository: &str,
    digest: &[u8],
    manifest: &[u8],
) -> Result<Option<Found>, Error> {
    tx.query_one(
        "SELECT b.size, b.location, b.content, r.leased_until FROM repositories p \
         JOIN repository_blobs r ON r.repository_id = p.holder AND r.digest = ?3 \
         JOIN blobs b ON b.registry_id = ?1 AND b.digest = r.digest \
         WHERE p.registry_id = ?1 AND p.name = ?2 AND p.deleted_at IS NULL AND NOT EXISTS \
         (SELECT 1 FROM manifests m WHERE m.repository_id = p.id AND m.digest = ?4)",
        &[
            registry.into(),
            repository.into(),
            digest.into(),
            manifest.into(),
        ],
        found,
    )
}

fn found(row: &Row<'_>) -> Result<Found, Error> {
    Ok(Found {
        size: row.get_i64(0)?,
        location: row.get_string_opt(1)?,
        content: row.get_bytes_opt(2)?,
        leased_until: row.get_i64(3)?,
    })
}

/// Where a blob of the registry is, whichever repositories hold it: size and location (`None`: in the database).
pub(crate) fn place(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &[u8],
) -> Result<Option<(i64, Option<String>)>, Error> {
    tx.query_one(
        "SELECT size, location FROM blobs WHERE registry_id = ?1 AND digest = ?2",
        &[registry.into(), digest.into()],
        |row| Ok((row.get_i64(0)?, row.get_string_opt(1)?)),
    )
}

/// Where the bytes of a blob's row are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    Inline,
    At(String),
    /// They were damaged and put aside.
    Nowhere,
}

pub(crate) fn kept(tx: &mut Tx<'_>, registry: i64, digest: &[u8]) -> Result<Option<Kept>, Error> {
    tx.query_one(
        "SELECT location, CAST(CASE WHEN content IS NULL THEN 0 ELSE 1 END AS {i64}) FROM blobs \
         WHERE registry_id = ?1 AND digest = ?2",
        &[registry.into(), digest.into()],
        |row| {
            Ok(match row.get_string_opt(0)? {
                Some(location) => Kept::At(location),
                None if row.get_bool(1)? => Kept::Inline,
                None => Kept::Nowhere,
            })
        },
    )
}

pub(crate) fn is_linked(tx: &mut Tx<'_>, repository: i64, digest: &[u8]) -> Result<bool, Error> {
    linked_size(tx, repository, digest).map(|size| size.is_some())
}

/// Whether the repository holds the blob, and its bytes were not put aside.
pub(crate) fn is_readable(tx: &mut Tx<'_>, repository: i64, digest: &[u8]) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT r.size FROM repository_blobs r JOIN blobs b ON b.registry_id = r.registry_id AND b.digest = r.digest \
         WHERE r.repository_id = ?1 AND r.digest = ?2 AND (b.location IS NOT NULL OR b.content IS NOT NULL)",
        &[repository.into(), digest.into()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

pub(crate) fn linked_size(
    tx: &mut Tx<'_>,
    repository: i64,
    digest: &[u8],
) -> Result<Option<i64>, Error> {
    tx.query_one(
        "SELECT size FROM repository_blobs WHERE repository_id = ?1 AND digest = ?2",
        &[repository.into(), digest.into()],
        |row| row.get_i64(0),
    )
}

/// Whether any repository holds the blob.
pub(crate) fn is_held(tx: &mut Tx<'_>, registry: i64, digest: &[u8]) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT 1 FROM repository_blobs WHERE registry_id = ?1 AND digest = ?2 LIMIT 1",
        &[registry.into(), digest.into()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

pub(crate) fn holders(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &[u8],
    limit: u32,
) -> Result<Vec<String>, Error> {
    tx.query(
        "SELECT r.name FROM repository_blobs b JOIN repositories r ON r.holder = b.repository_id \
         WHERE b.registry_id = ?1 AND b.digest = ?2 AND r.deleted_at IS NULL ORDER BY r.name LIMIT ?3",
        &[registry.into(), digest.into(), i64::from(limit).into()],
        |row| row.get_string(0),
    )
}

/// Where the bytes of a blob are; exactly one is set.
#[derive(Clone, Copy)]
pub(crate) enum Bytes<'a> {
    Location(&'a str),
    Content(&'a [u8]),
}

pub(crate) fn insert(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &[u8],
    (size, bytes): (i64, Bytes<'_>),
    now: i64,
    leased_until: i64,
) -> Result<(), Error> {
    let (location, content) = match bytes {
        Bytes::Location(location) => (Some(location), None),
        Bytes::Content(content) => (None, Some(content)),
    };
    tx.send(
        "INSERT INTO blobs (registry_id, digest, size, location, content, created_at, leased_until, condemned_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)",
        &[
            registry.into(),
            digest.into(),
            size.into(),
            location.into(),
            content.into(),
            now.into(),
            leased_until.into(),
        ],
    )
}

/// Puts a fresh copy in the place of a damaged one.
pub(crate) fn relocate(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &[u8],
    location: Option<&str>,
    content: Option<&[u8]>,
) -> Result<(), Error> {
    tx.send(
        "UPDATE blobs SET location = ?3, content = ?4 WHERE registry_id = ?1 AND digest = ?2",
        &[
            registry.into(),
            digest.into(),
            location.into(),
            content.into(),
        ],
    )
}

/// Leases a blob and takes back its condemnation; false if the registry does not have it.
pub(crate) fn affirm(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &[u8],
    until: i64,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE blobs SET condemned_at = NULL, leased_until = CASE WHEN leased_until < ?3 THEN ?3 ELSE leased_until END \
         WHERE registry_id = ?1 AND digest = ?2",
        &[registry.into(), digest.into(), until.into()],
    )?;
    Ok(changed > 0)
}

/// Leases a blob in a repository; false if the repository does not hold it.
pub(crate) fn lease(
    tx: &mut Tx<'_>,
    registry: i64,
    repository: i64,
    digest: &[u8],
    until: i64,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "UPDATE repository_blobs SET leased_until = CASE WHEN leased_until < ?3 THEN ?3 ELSE leased_until END \
         WHERE repository_id = ?1 AND digest = ?2",
        &[repository.into(), digest.into(), until.into()],
    )?;
    Ok(changed > 0 && affirm(tx, registry, digest, until)?)
}

/// Adds a blob to a repository, or renews its lease there.
pub(crate) fn link(
    tx: &mut Tx<'_>,
    registry: i64,
    repository: i64,
    digest: &[u8],
    size: i64,
    now: i64,
    until: i64,
) -> Result<(), Error> {
    tx.send(
        "INSERT INTO repository_blobs (repository_id, digest, registry_id, size, linked_at, leased_until, check_after) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (repository_id, digest) DO UPDATE \
         SET leased_until = CASE WHEN repository_blobs.leased_until < excluded.leased_until THEN excluded.leased_until \
           ELSE repository_blobs.leased_until END",
        &[repository.into(), digest.into(), registry.into(), size.into(), now.into(), until.into()],
    )
}

pub(crate) fn unlink(tx: &mut Tx<'_>, repository: i64, digest: &[u8]) -> Result<(), Error> {
    tx.send(
        "DELETE FROM repository_blobs WHERE repository_id = ?1 AND digest = ?2",
        &[repository.into(), digest.into()],
    )
}

pub(crate) fn condemn(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &[u8],
    now: i64,
) -> Result<(), Error> {
    tx.send(
        "UPDATE blobs SET condemned_at = ?3 WHERE registry_id = ?1 AND digest = ?2 AND condemned_at IS NULL",
        &[registry.into(), digest.into(), now.into()],
    )
}

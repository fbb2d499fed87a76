//! Garbage collection's statements.

use std::collections::HashSet;

use lazuli_db::{Error, Tx, settings};
use lazuli_wire::oci::{Digest, RepositoryName, UploadId};

use super::trust::Trust;

pub(crate) const TRUST: &str = "gc.trust";
/// The name of the row with the time of the janitor's last walk.
pub(crate) const WALKED_AT: &str = "gc.walked_at";
/// The name of the row with the time that was noted last.
const NOTED_TIME: &str = "gc.noted_time";

/// A link that is due to be looked at.
#[derive(Debug, Clone)]
pub(super) struct DueLink {
    pub(super) registry: i64,
    pub(super) repository: i64,
    pub(super) name: RepositoryName,
    pub(super) digest: Digest,
}

pub(super) struct LinkState {
    pub(super) check_after: Option<i64>,
    pub(super) leased_until: i64,
}

pub(super) struct BlobState {
    pub(super) size: u64,
    pub(super) location: Option<String>,
    pub(super) leased_until: i64,
    pub(super) condemned_at: Option<i64>,
}

pub(super) struct ExpiredUpload {
    pub(super) id: UploadId,
    pub(super) version: i64,
}

fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    Digest::from_bytes(bytes).ok_or(Error::Corrupt("blobs.digest"))
}

pub(super) fn due_links(tx: &mut Tx<'_>, now: i64, limit: u32) -> Result<Vec<DueLink>, Error> {
    tx.query(
        "SELECT b.registry_id, b.repository_id, r.name, b.digest FROM repository_blobs b \
         JOIN repositories r ON r.holder = b.repository_id AND r.deleted_at IS NULL WHERE b.check_after <= ?1 ORDER BY b.check_after LIMIT ?2",
        &[now.into(), limit.into()],
        |row| {
            Ok(DueLink {
                registry: row.get_i64(0)?,
                repository: row.get_i64(1)?,
                name: RepositoryName::parse(row.get_text(2)?).map_err(|_| Error::Corrupt("repositories.name"))?,
                digest: digest(row.get_bytes_ref(3)?)?,
            })
        },
    )
}

pub(super) fn link_state(tx: &mut Tx<'_>, link: &DueLink) -> Result<Option<LinkState>, Error> {
    tx.query_one(
        "SELECT check_after, leased_until FROM repository_blobs WHERE repository_id = ?1 AND digest = ?2",
        &[link.repository.into(), (&link.digest.to_bytes()).into()],
        |row| Ok(LinkState { check_after: row.get_i64_opt(0)?, leased_until: row.get_i64(1)? }),
    )
}

pub(super) fn is_referenced(tx: &mut Tx<'_>, link: &DueLink) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT 1 FROM repositories r JOIN manifest_references m ON m.repository_id = r.id \
         WHERE r.holder = ?1 AND m.child = ?2 LIMIT 1",
        &[link.repository.into(), (&link.digest.to_bytes()).into()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

pub(super) fn set_check_after(
    tx: &mut Tx<'_>,
    link: &DueLink,
    at: Option<i64>,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE repository_blobs SET check_after = ?3 WHERE repository_id = ?1 AND digest = ?2",
        &[
            link.repository.into(),
            (&link.digest.to_bytes()).into(),
            at.into(),
        ],
    )
    .map(drop)
}

pub(super) fn due_blobs(
    tx: &mut Tx<'_>,
    cutoff: i64,
    limit: u32,
) -> Result<Vec<(i64, Digest)>, Error> {
    tx.query(
        "SELECT registry_id, digest FROM blobs WHERE condemned_at <= ?1 ORDER BY condemned_at LIMIT ?2",
        &[cutoff.into(), limit.into()],
        |row| Ok((row.get_i64(0)?, digest(row.get_bytes_ref(1)?)?)),
    )
}

pub(super) fn blob_state(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &Digest,
) -> Result<Option<BlobState>, Error> {
    tx.query_one(
        "SELECT size, location, leased_until, condemned_at FROM blobs WHERE registry_id = ?1 AND digest = ?2",
        &[registry.into(), (&digest.to_bytes()).into()],
        |row| {
            Ok(BlobState {
                size: row.get_u64(0)?,
                location: row.get_string_opt(1)?,
                leased_until: row.get_i64(2)?,
                condemned_at: row.get_i64_opt(3)?,
            })
        },
    )
}

pub(super) fn set_condemned(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &Digest,
    at: Option<i64>,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE blobs SET condemned_at = ?3 WHERE registry_id = ?1 AND digest = ?2",
        &[registry.into(), (&digest.to_bytes()).into(), at.into()],
    )
    .map(drop)
}

pub(super) fn delete_blob(tx: &mut Tx<'_>, registry: i64, digest: &Digest) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM blobs WHERE registry_id = ?1 AND digest = ?2",
        &[registry.into(), (&digest.to_bytes()).into()],
    )
    .map(drop)
}

pub(crate) fn add_removal(
    tx: &mut Tx<'_>,
    location: &str,
    size: u64,
    now: i64,
) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO blob_removals (location, size, since) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        &[location.into(), size.into(), now.into()],
    )
    .map(drop)
}

/// Locations to be emptied, with their sizes.
pub(super) fn removals(
    tx: &mut Tx<'_>,
    after: &str,
    limit: u32,
) -> Result<Vec<(String, u64)>, Error> {
    tx.query(
        "SELECT location, size FROM blob_removals WHERE location > ?1 ORDER BY location LIMIT ?2",
        &[after.into(), limit.into()],
        |row| Ok((row.get_string(0)?, row.get_u64(1)?)),
    )
}

pub(crate) fn forget_removal(tx: &mut Tx<'_>, location: &str) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM blob_removals WHERE location = ?1",
        &[location.into()],
    )
    .map(drop)
}

pub(super) fn expired_uploads(
    tx: &mut Tx<'_>,
    after: &[u8],
    now: i64,
    limit: u32,
) -> Result<Vec<ExpiredUpload>, Error> {
    tx.query(
        "SELECT id, version FROM uploads WHERE expires_at < ?2 AND id > ?1 ORDER BY id LIMIT ?3",
        &[after.into(), now.into(), limit.into()],
        |row| {
            Ok(ExpiredUpload {
                id: upload_id(row.get_bytes_ref(0)?)?,
                version: row.get_i64(1)?,
            })
        },
    )
}

/// Whether the session was still as found.
pub(super) fn delete_upload(
    tx: &mut Tx<'_>,
    id: UploadId,
    version: i64,
    now: i64,
) -> Result<bool, Error> {
    let changed = tx.execute(
        "DELETE FROM uploads WHERE id = ?1 AND version = ?2 AND expires_at < ?3",
        &[id.as_bytes().as_slice().into(), version.into(), now.into()],
    )?;
    Ok(changed > 0)
}

/// Identifiers of all sessions, in order.
pub(super) fn uploads(tx: &mut Tx<'_>, after: &[u8], limit: u32) -> Result<Vec<UploadId>, Error> {
    tx.query(
        "SELECT id FROM uploads WHERE id > ?1 ORDER BY id LIMIT ?2",
        &[after.into(), limit.into()],
        |row| upload_id(row.get_bytes_ref(0)?),
    )
}

pub(crate) fn has_upload(tx: &mut Tx<'_>, id: UploadId) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT 1 FROM uploads WHERE id = ?1",
        &[id.as_bytes().as_slice().into()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

fn upload_id(bytes: &[u8]) -> Result<UploadId, Error> {
    bytes
        .try_into()
        .map(UploadId::from_bytes)
        .map_err(|_| Error::Corrupt("uploads.id"))
}

/// Remembers files that no row names as met by this walk; returns those that are known as such since `cutoff` or longer.
pub(super) fn suspect(
    tx: &mut Tx<'_>,
    locations: &[String],
    walk: i64,
    now: i64,
    cutoff: i64,
) -> Result<HashSet<String>, Error> {
    let mut again = HashSet::new();
    for location in locations {
        tx.execute(
            "INSERT INTO blob_suspects (location, met_at, walk) VALUES (?1, ?2, ?3) \
             ON CONFLICT (location) DO UPDATE SET walk = excluded.walk",
            &[location.into(), now.into(), walk.into()],
        )?;
        let met_at = tx.query_one(
            "SELECT met_at FROM blob_suspects WHERE location = ?1",
            &[location.into()],
            |row| row.get_i64(0),
        )?;
        if met_at.is_some_and(|met_at| met_at <= cutoff) {
            again.insert(location.clone());
        }
    }
    Ok(again)
}

pub(super) fn forget_suspects(tx: &mut Tx<'_>, locations: &[String]) -> Result<(), Error> {
    locations.iter().try_for_each(|location| {
        tx.execute(
            "DELETE FROM blob_suspects WHERE location = ?1",
            &[location.into()],
        )
        .map(drop)
    })
}

/// Forgets those among the next `step` suspects after a location that the walk did not meet: they are gone, or a row names
/// them. Returns the last of these suspects; `None`: there are no more.
pub(super) fn forget_unmet(
    tx: &mut Tx<'_>,
    walk: i64,
    after: &str,
    step: u32,
) -> Result<Option<String>, Error> {
    let last = tx.query_one(
        "SELECT location FROM blob_suspects WHERE location > ?1 ORDER BY location LIMIT 1 OFFSET ?2",
        &[after.into(), (i64::from(step) - 1).into()],
        |row| row.get_string(0),
    )?;
    match &last {
        Some(last) => tx.execute(
            "DELETE FROM blob_suspects WHERE location > ?1 AND location <= ?2 AND walk <> ?3",
            &[after.into(), last.into(), walk.into()],
        )?,
        None => tx.execute(
            "DELETE FROM blob_suspects WHERE location > ?1 AND walk <> ?2",
            &[after.into(), walk.into()],
        )?,
    };
    Ok(last)
}

/// When the last whole walk ended, in microseconds since the epoch.
pub(super) fn walked_at(tx: &mut Tx<'_>) -> Result<Option<i64>, Error> {
    Ok(settings::get(tx, WALKED_AT)?.and_then(|text| text.parse().ok()))
}

pub(super) fn set_walked_at(tx: &mut Tx<'_>, now: i64) -> Result<(), Error> {
    settings::set(tx, WALKED_AT, &now.to_string())
}

/// Whether a row names the location, its removal is under way anyway, or a repair put it aside.
pub(crate) fn is_known(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &Digest,
    location: &str,
) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT 1 FROM blobs WHERE registry_id = ?1 AND digest = ?2 AND location = ?3 \
         UNION ALL SELECT 1 FROM blob_removals WHERE location = ?3 \
         UNION ALL SELECT 1 FROM quarantine WHERE location = ?3 LIMIT 1",
        &[
            registry.into(),
            (&digest.to_bytes()).into(),
            location.into(),
        ],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

pub(super) fn trust(tx: &mut Tx<'_>) -> Result<Option<Trust>, Error> {
    Ok(settings::get(tx, TRUST)?.as_deref().and_then(Trust::parse))
}

pub(super) fn set_trust(tx: &mut Tx<'_>, trust: &Trust) -> Result<(), Error> {
    settings::set(tx, TRUST, &trust.to_text())
}

/// The time noted last, in microseconds since the epoch.
pub(super) fn noted_time(tx: &mut Tx<'_>) -> Result<Option<i64>, Error> {
    Ok(settings::get(tx, NOTED_TIME)?.and_then(|text| text.parse().ok()))
}

pub(super) fn note_time(tx: &mut Tx<'_>, now: i64) -> Result<(), Error> {
    settings::set(tx, NOTED_TIME, &now.to_string())
}

pub(crate) fn is_lease_held(tx: &mut Tx<'_>, name: &str, now: i64) -> Result<bool, Error> {
    let found = tx.query_one(
        "SELECT 1 FROM leases WHERE name = ?1 AND expires_at > ?2",
        &[name.into(), now.into()],
        |row| row.get_i64(0),
    )?;
    Ok(found.is_some())
}

/// A count and a sum of sizes.
pub(super) fn waiting(tx: &mut Tx<'_>, what: super::status::Waiting) -> Result<(u64, u64), Error> {
    use super::status::Waiting;
    let statement = match what {
        Waiting::Links => {
            "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS {i64}) FROM repository_blobs WHERE check_after IS NOT NULL"
        }
        Waiting::Condemned => {
            "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS {i64}) FROM blobs WHERE condemned_at IS NOT NULL"
        }
        Waiting::Removals => {
            "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS {i64}) FROM blob_removals"
        }
    };
    Ok(tx
        .query_one(statement, &[], |row| Ok((row.get_u64(0)?, row.get_u64(1)?)))?
        .unwrap_or_default())
}

/// How many links are due; reads their index only.
pub(super) fn count_due_links(tx: &mut Tx<'_>, now: i64) -> Result<Option<u64>, Error> {
    tx.query_one(
        "SELECT COUNT(*) FROM repository_blobs WHERE check_after <= ?1",
        &[now.into()],
        |row| row.get_u64(0),
    )
}

/// How many condemned blobs are due; reads their index only.
pub(super) fn count_due_blobs(tx: &mut Tx<'_>, cutoff: i64) -> Result<Option<u64>, Error> {
    tx.query_one(
        "SELECT COUNT(*) FROM blobs WHERE condemned_at <= ?1",
        &[cutoff.into()],
        |row| row.get_u64(0),
    )
}

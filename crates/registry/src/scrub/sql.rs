//! The scrub's statements.

use lazuli_db::{Error, Row, Tx, settings};
use lazuli_wire::oci::Digest;

use super::order::Cursor;
use super::pass::Pass;
use crate::fsck::Place;

const REQUEST: &str = "scrub.requested";
/// Rows of passes that are kept.
const KEPT: i64 = 50;

/// A blob to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) registry: i64,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) location: Option<String>,
    pub(super) content: Option<Vec<u8>>,
}

fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    Digest::from_bytes(bytes).ok_or(Error::Corrupt("digest"))
}

/// Registries that have blobs, in order: one look into the index for each.
pub(super) fn registries(tx: &mut Tx<'_>) -> Result<Vec<i64>, Error> {
    let mut registries = Vec::new();
    let mut after = i64::MIN;
    loop {
        let next = tx.query_one(
            "SELECT registry_id FROM blobs WHERE registry_id > ?1 ORDER BY registry_id LIMIT 1",
            &[after.into()],
            |row| row.get_i64(0),
        )?;
        let Some(next) = next else {
            return Ok(registries);
        };
        registries.push(next);
        after = next;
    }
}

pub(super) fn blobs(
    tx: &mut Tx<'_>,
    registry: i64,
    after: &[u8],
    before: &[u8],
    limit: u32,
) -> Result<Vec<Blob>, Error> {
    tx.query(
        "SELECT digest, size, location, content FROM blobs WHERE registry_id = ?1 AND digest > ?2 AND digest < ?3 \
         ORDER BY digest LIMIT ?4",
        &[registry.into(), after.into(), before.into(), limit.into()],
        |row| {
            Ok(Blob {
                registry,
                digest: digest(row.get_bytes_ref(0)?)?,
                size: row.get_u64(1)?,
                location: row.get_string_opt(2)?,
                content: row.get_bytes_opt(3)?,
            })
        },
    )
}

pub(super) fn manifests(
    tx: &mut Tx<'_>,
    after: &Cursor,
    limit: u32,
) -> Result<Vec<(i64, Digest)>, Error> {
    tx.query(
        "SELECT repository_id, digest FROM manifests WHERE (repository_id, digest) > (?1, ?2) \
         ORDER BY repository_id, digest LIMIT ?3",
        &[after.owner.into(), (&after.digest).into(), limit.into()],
        |row| Ok((row.get_i64(0)?, digest(row.get_bytes_ref(1)?)?)),
    )
}

/// A manifest's bytes, and whose it is.
pub(super) fn manifest(
    tx: &mut Tx<'_>,
    repository: i64,
    key: &Digest,
) -> Result<Option<(Place, Vec<u8>)>, Error> {
    tx.query_one(
        "SELECT r.registry_id, r.name, m.body FROM manifests m JOIN repositories r ON r.id = m.repository_id \
         WHERE m.repository_id = ?1 AND m.digest = ?2",
        &[repository.into(), (&key.to_bytes()).into()],
        |row| {
            let place = Place { registry: row.get_i64(0)?, repository, name: row.get_string(1)? };
            Ok((place, row.get_bytes(2)?))
        },
    )
}

/// Puts right bytes in the place of damaged ones.
pub(super) fn set_manifest(
    tx: &mut Tx<'_>,
    repository: i64,
    key: &Digest,
    body: &[u8],
) -> Result<(), Error> {
    tx.send(
        "UPDATE manifests SET body = ?3 WHERE repository_id = ?1 AND digest = ?2",
        &[repository.into(), (&key.to_bytes()).into(), body.into()],
    )
}

/// Where damaged bytes of a digest were put aside in the store.
pub(super) fn put_aside(
    tx: &mut Tx<'_>,
    registry: i64,
    digest: &Digest,
) -> Result<Vec<String>, Error> {
    tx.query(
        "SELECT location FROM quarantine WHERE registry_id = ?1 AND digest = ?2 AND location IS NOT NULL ORDER BY id",
        &[registry.into(), (&digest.to_bytes()).into()],
        |row| row.get_string(0),
    )
}

/// Takes bytes out of quarantine; false if they were not in it.
pub(super) fn take_back(tx: &mut Tx<'_>, location: &str) -> Result<bool, Error> {
    let taken = tx.execute(
        "DELETE FROM quarantine WHERE location = ?1",
        &[location.into()],
    )?;
    Ok(taken > 0)
}

fn read_pass(row: &Row<'_>) -> Result<Pass, Error> {
    let findings = row.get_text(13)?.lines().map(str::to_owned).collect();
    Ok(Pass {
        id: row.get_i64(0)?,
        started_at: row.get_i64(1)?,
        finished_at: row.get_i64_opt(2)?,
        is_asked_for: row.get_bool(3)?,
        cursor: Cursor {
            slice: row.get_i64(4)?,
            owner: row.get_i64(5)?,
            digest: row.get_bytes(6)?,
        },
        items: row.get_u64(7)?,
        bytes: row.get_u64(8)?,
        damaged: row.get_u64(9)?,
        waiting: row.get_u64(10)?,
        replaced: row.get_u64(11)?,
        skipped: row.get_u64(12)?,
        findings,
    })
}

/// The pass under way.
pub(super) fn open_pass(tx: &mut Tx<'_>) -> Result<Option<Pass>, Error> {
    tx.query_one(
        "SELECT id, started_at, finished_at, asked_for, slice, owner, digest, items, bytes, damaged, waiting, replaced, \
     skipped, findings FROM scrub_passes WHERE finished_at IS NULL ORDER BY started_at DESC LIMIT 1",
        &[],
        read_pass,
    )
}

/// The pass that ended last.
pub(super) fn last_pass(tx: &mut Tx<'_>) -> Result<Option<Pass>, Error> {
    tx.query_one(
        "SELECT id, started_at, finished_at, asked_for, slice, owner, digest, items, bytes, damaged, waiting, replaced, \
     skipped, findings FROM scrub_passes WHERE finished_at IS NOT NULL ORDER BY finished_at DESC, started_at DESC LIMIT 1",
        &[],
        read_pass,
    )
}

/// Begins a pass: one under way gives way to it, and a request is met.
pub(super) fn begin(tx: &mut Tx<'_>, pass: &Pass) -> Result<(), Error> {
    tx.execute(
        "UPDATE scrub_passes SET finished_at = ?1 WHERE finished_at IS NULL",
        &[pass.started_at.into()],
    )?;
    tx.execute(
        "DELETE FROM scrub_passes WHERE id IN (SELECT id FROM scrub_passes ORDER BY started_at DESC LIMIT 1000000 OFFSET ?1)",
        &[KEPT.into()],
    )?;
    if pass.is_asked_for {
        settings::remove(tx, REQUEST)?;
    }
    tx.execute(
        "INSERT INTO scrub_passes (id, started_at, asked_for, slice, owner, digest, items, bytes, damaged, waiting, replaced, \
         skipped, findings) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 0, 0, 0, 0, '')",
        &[
            pass.id.into(),
            pass.started_at.into(),
            i64::from(pass.is_asked_for).into(),
            pass.cursor.slice.into(),
            pass.cursor.owner.into(),
            (&pass.cursor.digest).into(),
        ],
    )
    .map(drop)
}

/// Writes down how far a pass is.
pub(super) fn save(tx: &mut Tx<'_>, pass: &Pass) -> Result<(), Error> {
    let findings = pass.findings.join("\n");
    tx.execute(
        "UPDATE scrub_passes SET started_at = ?2, finished_at = ?3, slice = ?4, owner = ?5, digest = ?6, items = ?7, \
         bytes = ?8, damaged = ?9, waiting = ?10, replaced = ?11, skipped = ?12, findings = ?13 WHERE id = ?1",
        &[
            pass.id.into(),
            pass.started_at.into(),
            pass.finished_at.into(),
            pass.cursor.slice.into(),
            pass.cursor.owner.into(),
            (&pass.cursor.digest).into(),
            pass.items.into(),
            pass.bytes.into(),
            pass.damaged.into(),
            pass.waiting.into(),
            pass.replaced.into(),
            pass.skipped.into(),
            (&findings).into(),
        ],
    )
    .map(drop)
}

/// When a pass was asked for that has not begun.
pub(super) fn request(tx: &mut Tx<'_>) -> Result<Option<i64>, Error> {
    Ok(settings::get(tx, REQUEST)?.and_then(|text| text.parse().ok()))
}

pub(super) fn set_request(tx: &mut Tx<'_>, now: i64) -> Result<(), Error> {
    settings::set(tx, REQUEST, &now.to_string())
}

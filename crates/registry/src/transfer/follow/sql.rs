//! Statements of a move.

use lazuli_blobs::Location;
use lazuli_db::{Error, Result, Tx, params};
use lazuli_wire::oci::Digest;

/// Rows read at a time. Small blobs come along.
const PAGE: i64 = 200;

/// A blob's row.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) registry: i64,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) location: Option<String>,
    content: Option<Vec<u8>>,
    created_at: i64,
    leased_until: i64,
    condemned_at: Option<i64>,
}

/// A blob in one place: where it is put again it is another one.
pub(super) type Placed = (i64, Digest, Option<String>);

impl Blob {
    pub(super) fn placed(&self) -> Placed {
        (self.registry, self.digest, self.location.clone())
    }

    /// In the order of the table.
    pub(super) fn key(&self) -> (i64, Vec<u8>) {
        (self.registry, self.digest.to_bytes())
    }

    /// Whether the row need not be written again. Each side has its own places.
    pub(super) fn is_equal(&self, other: &Self) -> bool {
        self.is_same(other)
            && self.leased_until == other.leased_until
            && self.condemned_at == other.condemned_at
    }

    /// The same but for what a request for the blob changes.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.size == other.size
            && self.content == other.content
            && self.created_at == other.created_at
    }
}

/// What is done to the target.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// With the place of bytes that were brought.
    Put(Blob, Option<Location>),
    Remove(Blob),
}

/// The rows after that one.
pub(super) fn page(tx: &mut Tx<'_>, registry: i64, digest: &[u8]) -> Result<Vec<Blob>> {
    tx.query(
        "SELECT registry_id, digest, size, location, content, created_at, leased_until, condemned_at FROM blobs \
         WHERE (registry_id, digest) > (?1, ?2) ORDER BY registry_id, digest LIMIT ?3",
        params![registry, digest, PAGE],
        |row| {
            Ok(Blob {
                registry: row.get_i64(0)?,
                digest: Digest::from_bytes(row.get_bytes_ref(1)?)
                    .ok_or(Error::Corrupt("blobs.digest"))?,
                size: row.get_u64(2)?,
                location: row.get_string_opt(3)?,
                content: row.get_bytes_opt(4)?,
                created_at: row.get_i64(5)?,
                leased_until: row.get_i64(6)?,
                condemned_at: row.get_i64_opt(7)?,
            })
        },
    )
}

pub(super) fn apply(tx: &mut Tx<'_>, changes: &[Change]) -> Result<()> {
    for change in changes {
        match change {
            Change::Put(blob, place) => put(tx, blob, place.as_ref())?,
            Change::Remove(blob) => {
                let (registry, key) = blob.key();
                give_up(tx, registry, &key)?;
                tx.execute(
                    "DELETE FROM blobs WHERE registry_id = ?1 AND digest = ?2",
                    params![registry, key.as_slice()],
                )?;
            }
        }
    }
    Ok(())
}

fn put(tx: &mut Tx<'_>, blob: &Blob, place: Option<&Location>) -> Result<()> {
    let (registry, key) = blob.key();
    if blob.content.is_some() || place.is_some() {
        give_up(tx, registry, &key)?;
    }
    let place = place.map(ToString::to_string);
    tx.execute(
        "INSERT INTO blobs (registry_id, digest, size, location, content, created_at, leased_until, condemned_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (registry_id, digest) DO UPDATE \
         SET size = excluded.size, location = COALESCE(excluded.location, blobs.location), content = excluded.content, \
         created_at = excluded.created_at, leased_until = excluded.leased_until, condemned_at = excluded.condemned_at",
        params![
            registry,
            key.as_slice(),
            blob.size,
            place.as_deref(),
            blob.content.as_deref(),
            blob.created_at,
            blob.leased_until,
            blob.condemned_at
        ],
    )?;
    Ok(())
}

/// Bytes that turned out to be damaged.
pub(super) fn forget(tx: &mut Tx<'_>, blob: &Blob) -> Result<()> {
    let (registry, key) = blob.key();
    give_up(tx, registry, &key)
}

/// The row has no place any more, and garbage collection removes what is there.
fn give_up(tx: &mut Tx<'_>, registry: i64, key: &[u8]) -> Result<()> {
    tx.execute(
        "INSERT INTO blob_removals (location, size, since) SELECT location, size, created_at FROM blobs \
         WHERE registry_id = ?1 AND digest = ?2 AND location IS NOT NULL ON CONFLICT (location) DO NOTHING",
        params![registry, key],
    )?;
    tx.execute(
        "UPDATE blobs SET location = NULL WHERE registry_id = ?1 AND digest = ?2 AND location IS NOT NULL",
        params![registry, key],
    )?;
    Ok(())
}

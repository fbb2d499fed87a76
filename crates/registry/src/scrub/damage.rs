//! What is done about damage.
//!
//! What seems damaged is looked at again, row and bytes: it may have been deleted, collected or healed meanwhile, or the
//! error was one of reading only. If the damage stays, the store is searched for a good copy (put aside earlier, when a disk
//! failed for a time, or left by a crash), then the peer is asked; without one the bytes are put aside and the row is left without a place.

use std::sync::atomic::Ordering::Relaxed;

use lazuli_blobs::{Error as StoreError, Hasher, Location};
use lazuli_db::Tx;
use lazuli_identity::RegistryId;
use lazuli_wire::oci::Digest;

use super::copies::{Spare, find_copy};
use super::work::Work;
use super::worker::Worker;
use super::{Halt, Inner, peer, sql};
use crate::fsck::{self, Damage};
use crate::leases::{Guard, Lease};
use crate::operations::{self, Operation};
use crate::{Registry, Result, blobs, gc};

/// Most repositories named in a report.
const NAMES: u32 = 10;
/// Bytes read between two looks at the lease when a blob is read again.
const AT_ONCE: u64 = 32 << 20;
/// So many findings of a pass are logged one by one, then each thousandth: a lost disk must not fill another.
const LOGGED: u64 = 1000;
/// Error numbers of Linux for bytes that are there and cannot be read: EIO, ENODATA, EBADMSG, EUCLEAN.
const UNREADABLE: [i32; 4] = [5, 61, 74, 117];

/// What was found of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Good,
    Damaged(Damage),
    /// Its bytes were put aside before.
    PutAside,
}

impl Found {
    pub(super) fn of(wanted: &Digest, found: Digest) -> Self {
        if found == *wanted {
            Self::Good
        } else {
            Self::Damaged(Damage::Digest { found })
        }
    }

    pub(super) fn content(wanted: &Digest, size: u64, content: &[u8]) -> Self {
        let found = content.len() as u64;
        if found == size {
            Self::of(wanted, Digest::of(wanted.algorithm(), content))
        } else {
            Self::Damaged(Damage::Length { found })
        }
    }

    pub(super) fn no_place() -> Self {
        Self::Damaged(Damage::NoPlace)
    }
}

/// What an error of the store says of a blob; one that says nothing is given back.
pub(super) fn judge_error(error: StoreError) -> Result<Found, StoreError> {
    Ok(Found::Damaged(match error {
        StoreError::NotFound => Damage::Missing,
        StoreError::Damaged { found, .. } => Damage::Length { found },
        StoreError::Io { ref source, .. } => {
            let is_cut = source.kind() == std::io::ErrorKind::UnexpectedEof;
            let code = source.raw_os_error();
            if is_cut || code.is_some_and(|code| UNREADABLE.contains(&code)) {
                Damage::Unreadable
            } else {
                return Err(error);
            }
        }
        error => return Err(error),
    }))
}

/// Does what is to be done about what was found.
pub(super) async fn settle(
    work: &mut Work,
    worker: &mut Worker,
    inner: &Inner,
    blob: &sql::Blob,
    found: Found,
) -> Result<(), Halt> {
    let damage = match found {
        Found::Good => return Ok(()),
        Found::PutAside => None,
        Found::Damaged(_) => match look_again(work, worker, inner, blob).await? {
            Some(damage) => Some(damage),
            None => return Ok(()),
        },
    };
    let copy = find_copy(work, worker, inner, blob).await?;
    let is_replaced = copy.is_some();
    // A file that is gone is asked for as if it was unknown: the row may stay, in case the whole disk is only away.
    let changes = is_replaced || !matches!(damage, None | Some(Damage::Missing));
    if changes && !put_right(work, inner, blob, damage, copy).await? {
        return Ok(());
    }
    if is_replaced {
        work.pass.replaced += 1;
        inner.counters.replaced.fetch_add(1, Relaxed);
    } else if damage.is_none() {
        work.pass.waiting += 1;
    }
    if let Some(damage) = damage {
        work.pass.damaged += 1;
        inner.counters.damaged.fetch_add(1, Relaxed);
        let what = format!("blob {}", blob.digest);
        let end = match (is_replaced, damage) {
            (true, _) => "a good copy took its place",
            (false, Damage::Missing) => "a push brings it back",
            (false, _) => "put aside; a push brings it back",
        };
        let names = holders(inner, blob.registry, &blob.digest).await?;
        report(work, blob.registry, &what, &names, &damage, end);
    } else if is_replaced {
        tracing::warn!(registry = blob.registry, digest = %blob.digest, "a blob that was put aside is whole again");
    }
    Ok(())
}

fn report(
    work: &mut Work,
    registry: i64,
    what: &str,
    repositories: &str,
    damage: &Damage,
    end: &str,
) {
    let count = work.pass.damaged;
    if count <= LOGGED || count.is_multiple_of(LOGGED) {
        tracing::error!(registry, what, repositories, %damage, count, "stored content is damaged: {end}");
    }
    work.pass
        .find(&format!("{what} in {repositories}: {damage}; {end}"));
}

async fn holders(inner: &Inner, registry: i64, digest: &Digest) -> Result<String, Halt> {
    let key = digest.to_bytes();
    let db = &inner.registry.inner.db;
    let names = db
        .read(move |tx| blobs::sql::holders(tx, registry, &key, NAMES))
        .await?;
    Ok(if names.is_empty() {
        "no repository".to_owned()
    } else {
        names.join(", ")
    })
}

/// The damage that is still there; none also if the row is no longer the same.
async fn look_again(
    work: &mut Work,
    worker: &mut Worker,
    inner: &Inner,
    blob: &sql::Blob,
) -> Result<Option<Damage>, Halt> {
    let (registry, digest) = (blob.registry, blob.digest);
    let db = &inner.registry.inner.db;
    let row = db
        .read(move |tx| fsck::sql::blob(tx, registry, &digest))
        .await?;
    let Some(row) = row.filter(|row| is_same(row, blob)) else {
        return Ok(None);
    };
    let found = match (&row.location, &row.content) {
        (Some(text), _) => match Location::parse(text) {
            Ok(location) if location.digest() == Some(digest) => {
                verify(work, worker, inner, &location, &digest, blob.size).await?
            }
            _ => Found::no_place(),
        },
        (None, Some(content)) => Found::content(&digest, blob.size, content),
        (None, None) => Found::PutAside,
    };
    match found {
        Found::Damaged(damage) => Ok(Some(damage)),
        Found::Good => {
            tracing::warn!(%digest, registry, "a blob seemed damaged, and was not when it was read again");
            Ok(None)
        }
        Found::PutAside => Ok(None),
    }
}

/// Reads all of a file or object at once, which is paid for afterwards.
pub(super) async fn verify(
    work: &mut Work,
    worker: &mut Worker,
    inner: &Inner,
    location: &Location,
    digest: &Digest,
    size: u64,
) -> Result<Found, Halt> {
    let store = &inner.registry.inner.store;
    let opened = match store.open(location, size).await {
        Ok(opened) => opened,
        Err(error) => return judge_error(error).map_err(Halt::Away),
    };
    let mut hasher = Hasher::new(digest.algorithm());
    while hasher.len() < size {
        work.keep_lease(inner).await?;
        let end = size.min(hasher.len() + AT_ONCE);
        hasher = match store.hash_on(opened.clone(), hasher, end).await {
            Ok(hasher) => hasher,
            Err(error) => return judge_error(error).map_err(Halt::Away),
        };
    }
    let now = inner.registry.inner.clock.monotonic();
    worker.pacing.charge(now, size);
    Ok(Found::of(digest, hasher.finish()))
}

fn is_same(row: &fsck::sql::Blob, blob: &sql::Blob) -> bool {
    row.location == blob.location && row.content == blob.content && row.size == blob.size
}

/// Puts damaged bytes aside and a copy in their place, in one transaction; false if the row or the copy is no longer what it was.
async fn put_right(
    work: &Work,
    inner: &Inner,
    blob: &sql::Blob,
    damage: Option<Damage>,
    copy: Option<Spare>,
) -> Result<bool, Halt> {
    let registry = inner.registry.clone();
    let (old, held) = (blob.clone(), work.lease.guard());
    let (place, removal) = match copy {
        Some(copy) => (Some(copy.location), copy.against_removal),
        None => (None, None),
    };
    let not_removed = removal.as_ref().map(Lease::guard);
    let outcome = inner
        .registry
        .inner
        .db
        .write(move |tx| {
            held.check(tx)?;
            exchange(
                tx,
                &registry,
                &old,
                damage,
                (place.as_ref(), not_removed.as_ref()),
            )
        })
        .await;
    if let Some(lease) = removal {
        lease.release().await?;
    }
    if matches!(outcome, Ok(true)) {
        forget_in_memory(inner, blob);
    }
    outcome
}

fn exchange(
    tx: &mut Tx<'_>,
    registry: &Registry,
    blob: &sql::Blob,
    damage: Option<Damage>,
    (place, not_removed): (Option<&Location>, Option<&Guard>),
) -> Result<bool, Halt> {
    let Some(row) =
        fsck::sql::blob(tx, blob.registry, &blob.digest)?.filter(|row| is_same(row, blob))
    else {
        return Ok(false);
    };
    if let Some(guard) = not_removed {
        guard.check(tx)?;
    }
    if let Some(place) = place {
        let was_aside = sql::take_back(tx, place.as_str())?;
        if !was_aside && gc::sql::is_known(tx, blob.registry, &blob.digest, place.as_str())? {
            return Ok(false);
        }
    }
    if let Some(damage) = damage.filter(|damage| *damage != Damage::Missing) {
        fsck::repair::Context::new(registry).put_aside(tx, &row, &damage.to_string())?;
    }
    let key = blob.digest.to_bytes();
    blobs::sql::relocate(tx, blob.registry, &key, place.map(Location::as_str), None)?;
    tell_other_nodes(tx, registry)?;
    Ok(true)
}

/// Other nodes may have in memory what was changed: after a setting's operation they forget everything.
fn tell_other_nodes(tx: &mut Tx<'_>, registry: &Registry) -> Result<(), Halt> {
    if registry.inner.nodes.is_none() {
        return Ok(());
    }
    let context = registry.inner.log.context("scrub", "");
    let operation = Operation::Setting {
        name: "scrub.repaired_at".to_owned(),
        value: Some(context.now_us().to_string()),
    };
    let id = RegistryId::DEFAULT.get();
    operations::append(tx, &context, id, None, &operation, None)?;
    Ok(())
}

fn forget_in_memory(inner: &Inner, blob: &sql::Blob) {
    let location = blob.location.as_deref().map(Location::parse);
    if let Some(Ok(location)) = location {
        inner.registry.forget_file(&location);
    }
    inner.registry.inner.cache.clear();
    inner.registry.inner.log.committed();
}

/// Verifies a manifest. Damaged ones are put aside and forgotten. Returns the bytes read.
pub(super) async fn check_manifest(
    work: &mut Work,
    inner: &Inner,
    repository: i64,
    digest: Digest,
) -> Result<u64, Halt> {
    let db = &inner.registry.inner.db;
    let read = db
        .read(move |tx| sql::manifest(tx, repository, &digest))
        .await?;
    let Some((place, body)) = read else {
        return Ok(0);
    };
    let length = body.len() as u64;
    if Digest::of(digest.algorithm(), &body) == digest {
        return Ok(length);
    }
    let good = peer::manifest(inner, &place.name, &digest).await?;
    let is_replaced = good.is_some();
    let (registry, guard) = (inner.registry.clone(), work.lease.guard());
    let found = db
        .write(move |tx| {
            guard.check(tx)?;
            let Some((place, body)) = sql::manifest(tx, repository, &digest)? else {
                return Ok(None);
            };
            let found = Digest::of(digest.algorithm(), &body);
            if found == digest {
                return Ok(None);
            }
            if let Some(good) = &good {
                sql::set_manifest(tx, repository, &digest, good)?;
                tell_other_nodes(tx, &registry)?;
                return Ok(Some(found));
            }
            let context = fsck::repair::Context::new(&registry);
            context.forget_manifest(tx, &place, &digest, &found)?;
            tell_other_nodes(tx, &registry)?;
            Ok::<_, Halt>(Some(found))
        })
        .await?;
    if let Some(found) = found {
        inner.registry.inner.cache.clear();
        inner.registry.inner.log.committed();
        work.pass.damaged += 1;
        inner.counters.damaged.fetch_add(1, Relaxed);
        let (what, damage) = (format!("manifest {digest}"), Damage::Digest { found });
        let end = if is_replaced {
            work.pass.replaced += 1;
            inner.counters.replaced.fetch_add(1, Relaxed);
            "a good copy took its place"
        } else {
            "put aside, with the tags that named it; a push brings it back"
        };
        report(work, place.registry, &what, &place.name, &damage, end);
    }
    Ok(length)
}

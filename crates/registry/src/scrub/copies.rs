//! Good bytes that can take the place of damaged ones.

use std::time::Duration;

use lazuli_blobs::{BlobEntry, Listed, Location};

use super::damage::{Found, verify};
use super::work::Work;
use super::worker::Worker;
use super::{Halt, Inner, sql};
use crate::leases::Lease;
use crate::{fsck, gc};

/// How long a list of files that no row knows is good enough, and how many it holds.
const ORPHANS_AGE: Duration = Duration::from_hours(6);
const MAX_ORPHANS: usize = 100_000;
/// Good bytes in the store that no row names.
pub(super) struct Spare {
    pub(super) location: Location,
    /// Held while the janitor must not remove it; none for what was put aside, which stays.
    pub(super) against_removal: Option<Lease>,
}

/// A good copy of a blob: put aside earlier, one that no row knows, or the peer's.
pub(super) async fn find_copy(
    work: &mut Work,
    worker: &mut Worker,
    inner: &Inner,
    blob: &sql::Blob,
) -> Result<Option<Spare>, Halt> {
    let (registry, digest) = (blob.registry, blob.digest);
    let db = &inner.registry.inner.db;
    let aside = db
        .read(move |tx| sql::put_aside(tx, registry, &digest))
        .await?;
    for location in aside.iter().filter_map(|text| Location::parse(text).ok()) {
        if is_good(work, worker, inner, &location, blob).await? {
            return Ok(Some(Spare {
                location,
                against_removal: None,
            }));
        }
    }
    for location in orphans_of(work, worker, inner, blob).await? {
        if !is_good(work, worker, inner, &location, blob).await? {
            continue;
        }
        return keep(inner, location, blob.size).await;
    }
    super::peer::fetch(work, worker, inner, blob).await
}

/// Keeps the janitor from removing bytes that no row names. While garbage is being collected they are left for the next pass.
async fn keep(inner: &Inner, location: Location, size: u64) -> Result<Option<Spare>, Halt> {
    let registry = &inner.registry.inner;
    let ttl = inner.options.lease;
    let lease =
        Lease::acquire(&registry.db, &registry.clock, gc::LEASE, &inner.holder, ttl).await?;
    let Some(lease) = lease else {
        return Ok(None);
    };
    // It may have been there just before.
    if registry.store.open(&location, size).await.is_err() {
        lease.release().await?;
        return Ok(None);
    }
    Ok(Some(Spare {
        location,
        against_removal: Some(lease),
    }))
}

async fn is_good(
    work: &mut Work,
    worker: &mut Worker,
    inner: &Inner,
    location: &Location,
    blob: &sql::Blob,
) -> Result<bool, Halt> {
    let found = verify(work, worker, inner, location, &blob.digest, blob.size).await;
    match found {
        Ok(found) => Ok(found == Found::Good),
        // It does not count as a copy now.
        Err(Halt::Away(_)) => Ok(false),
        Err(halt) => Err(halt),
    }
}

/// Files of the digest that no row knows. The store is listed at most once in a while.
async fn orphans_of(
    work: &mut Work,
    worker: &mut Worker,
    inner: &Inner,
    blob: &sql::Blob,
) -> Result<Vec<Location>, Halt> {
    let now = inner.registry.inner.clock.monotonic();
    let known = worker.orphans.take();
    let (at, orphans) = match known.filter(|(at, _)| now.saturating_sub(*at) < ORPHANS_AGE) {
        Some(known) => known,
        None => (now, list_orphans(work, inner).await?),
    };
    let of_blob = orphans.iter().filter(|entry| {
        entry.digest == blob.digest
            && entry.size == blob.size
            && fsck::store::registry_of(&entry.location) == Some(blob.registry)
    });
    let found = of_blob.map(|entry| entry.location.clone()).collect();
    worker.orphans = Some((at, orphans));
    Ok(found)
}

async fn list_orphans(work: &mut Work, inner: &Inner) -> Result<Vec<BlobEntry>, Halt> {
    let mut orphans = Vec::new();
    let registry = &inner.registry;
    let mut lister = registry.inner.store.list();
    while let Some(batch) = lister.next().await.map_err(Halt::Away)? {
        work.keep_lease(inner).await?;
        let entries = batch.into_iter().filter_map(|listed| match listed {
            Listed::Blob(entry) => Some(entry),
            Listed::Foreign(_) => None,
        });
        orphans.extend(fsck::store::unknown(registry, entries.collect()).await?);
        orphans.truncate(MAX_ORPHANS);
    }
    Ok(orphans)
}

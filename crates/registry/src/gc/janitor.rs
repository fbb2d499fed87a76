//! The janitor: finds files in the store that no row knows, such as a crash leaves behind.
//!
//! A blob's file is made durable before its row is committed, so a file without a row may be one whose row is just
//! being written. It goes only when it is old, when the walk before met it too, and when no upload session could
//! still complete it (its name carries the session's identifier).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use lazuli_blobs::{BlobEntry, Listed, ListedUpload, Location};

use super::work::Work;
use super::{Inner, Phase, micros, sql};
use crate::Result;

/// Most files remembered from one walk to the next.
const MAX_SUSPECTS: usize = 100_000;
/// Sessions read at a time.
const PAGE: u32 = 1000;

/// What is remembered between walks.
#[derive(Default)]
pub(super) struct Janitor {
    /// Files without a row, met in the last walk.
    suspects: HashSet<Location>,
    /// When the last walk ended, by the monotonic clock.
    last_walk: Option<Duration>,
}

impl Janitor {
    /// Whether it is time for the next walk. The first is one interval after the start.
    pub(super) fn is_due(&mut self, inner: &Inner) -> bool {
        let now = inner.registry.inner.clock.monotonic();
        let last = *self.last_walk.get_or_insert(now);
        now.saturating_sub(last) >= inner.options.walk_interval
    }

    /// One walk over all blobs and uploads of the store.
    pub(super) async fn walk(&mut self, work: &mut Work<'_>) -> Result<()> {
        work.enter(Phase::Walk).await?;
        let mut met = HashSet::new();
        let mut lister = work.inner.registry.inner.store.list_names();
        while let Some(batch) = lister.next().await? {
            let count = batch.len() as u64;
            let unknown = unknown_blobs(work, batch).await?;
            let room = MAX_SUSPECTS.saturating_sub(met.len());
            met.extend(
                unknown
                    .iter()
                    .take(room)
                    .map(|entry| entry.location.clone()),
            );
            let again = unknown
                .into_iter()
                .filter(|entry| self.suspects.contains(&entry.location))
                .collect();
            for entry in without_session(work, again).await? {
                tracing::warn!(location = %entry.location, "removing a file that no row knows");
                work.inner.registry.forget_file(&entry.location);
                let store = &work.inner.registry.inner.store;
                let size = store.measure(&entry).await?;
                store.remove(&entry.location).await?;
                met.remove(&entry.location);
                work.run.deleted += 1;
                work.run.freed_bytes += size;
            }
            work.pause(count).await?;
        }
        let mut lister = work.inner.registry.inner.store.list_uploads();
        while let Some(batch) = lister.next().await? {
            let count = batch.len() as u64;
            abort_forgotten(work, batch).await?;
            work.pause(count).await?;
        }
        self.suspects = met;
        self.last_walk = Some(work.inner.registry.inner.clock.monotonic());
        Ok(())
    }
}

/// Old files of the batch that no row knows.
async fn unknown_blobs(work: &Work<'_>, batch: Vec<Listed>) -> Result<Vec<BlobEntry>> {
    let cutoff = work.inner.orphan_cutoff();
    let mut old = Vec::new();
    for listed in batch {
        match listed {
            Listed::Blob(entry) if entry.modified_us < cutoff => old.push(entry),
            Listed::Blob(_) => {}
            Listed::Foreign(path) => tracing::warn!(
                path,
                "the blob store holds a file that is not a blob; left alone"
            ),
        }
    }
    let lookup = move |tx: &mut lazuli_db::Tx<'_>| {
        let mut unknown = Vec::new();
        for entry in &old {
            let is_known = match registry_of(&entry.location) {
                Some(registry) => {
                    sql::is_known(tx, registry, &entry.digest, entry.location.as_str())?
                }
                None => true, // not made by this program: left alone
            };
            if !is_known {
                unknown.push(entry.clone());
            }
        }
        Ok::<_, lazuli_db::Error>(unknown)
    };
    Ok(work.inner.registry.inner.db.read(lookup).await?)
}

/// Those that no session can still turn into a blob.
async fn without_session(work: &Work<'_>, entries: Vec<BlobEntry>) -> Result<Vec<BlobEntry>> {
    if entries.is_empty() {
        return Ok(entries);
    }
    let mut by_location: HashMap<String, BlobEntry> = entries
        .into_iter()
        .map(|entry| (entry.location.to_string(), entry))
        .collect();
    let mut after = Vec::new();
    loop {
        let from = after.clone();
        let page = work
            .inner
            .registry
            .inner
            .db
            .read(move |tx| sql::uploads(tx, &from, PAGE))
            .await?;
        let Some(last) = page.last() else {
            return Ok(by_location.into_values().collect());
        };
        after = last.as_bytes().to_vec();
        by_location.retain(|_, entry| {
            let could_be = |upload| entry.location.is_of(upload);
            !page.iter().copied().any(could_be)
        });
    }
}

/// Frees uploads of the store that have no session: those a crash separated from their row.
async fn abort_forgotten(work: &mut Work<'_>, batch: Vec<ListedUpload>) -> Result<()> {
    let registry = &work.inner.registry.inner;
    let expiry = work
        .now()
        .saturating_sub(micros(registry.options.upload_expiry));
    let cutoff = work.inner.orphan_cutoff().min(expiry);
    for listed in batch
        .into_iter()
        .filter(|listed| listed.modified_us < cutoff)
    {
        let Some(_active) = registry.sessions.activate(listed.upload) else {
            continue;
        };
        let id = listed.upload;
        if !registry.db.read(move |tx| sql::has_upload(tx, id)).await? {
            registry.store.abort(id).await?;
            work.run.examined += 1;
            work.run.freed_bytes += listed.size;
        }
    }
    Ok(())
}

/// The registry a location belongs to: its first part.
fn registry_of(location: &Location) -> Option<i64> {
    location.as_str().split('/').next()?.parse().ok()
}

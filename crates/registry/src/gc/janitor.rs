//! The janitor: finds files in the store that no row knows, such as a crash leaves behind.
//!
//! A blob's file is made durable before its row is committed, so a file without a row may be one whose row is just
//! being written. It goes only when it is old, when a walk an interval ago or longer met it too, and when no upload session
//! could still complete it (its name carries the session's identifier).

use std::collections::HashMap;

use lazuli_blobs::{BlobEntry, Listed, ListedUpload, Location};

use super::work::{Work, lost};
use super::{Inner, Phase, micros, sql};
use crate::Result;
use crate::leases::LeaseError;

/// Most files remembered from one walk to the next.
const MAX_SUSPECTS: usize = 100_000;
/// Those looked at in one transaction.
const SUSPECTS: u32 = 1000;
/// Sessions read at a time.
const PAGE: u32 = 1000;

/// Whether it is time for the next walk, by whichever process. What they remember is in the database, so a walk counts that
/// another process began or ended.
pub(super) async fn is_due(inner: &Inner) -> Result<bool> {
    let (now, db) = (inner.registry.now(), &inner.registry.inner.db);
    let Some(walked_at) = db.read_one(sql::walked_at).await? else {
        // A new place has nothing to be found: as if a walk had just ended.
        db.write_relaxed(move |tx| sql::set_walked_at(tx, now))
            .await?;
        return Ok(false);
    };
    // A clock that was set back must not put it off.
    Ok(walked_at > now || now - walked_at >= micros(inner.options.walk_interval))
}

impl Work<'_> {
    /// One walk over all blobs and uploads of the store.
    pub(super) async fn walk(&mut self) -> Result<()> {
        self.enter(Phase::Walk).await?;
        let walk = self.inner.registry.inner.log.unique_number();
        let mut remembered = 0;
        let mut lister = self.inner.registry.inner.store.list_names();
        while let Some(batch) = lister.next().await? {
            let count = batch.len() as u64;
            let mut unknown = unknown_blobs(self, batch).await?;
            unknown.truncate(MAX_SUSPECTS.saturating_sub(remembered));
            remembered += unknown.len();
            let again = met_before(self, unknown, walk).await?;
            self.remove_unknown(without_session(self, again).await?)
                .await?;
            self.pause(count).await?;
        }
        let mut lister = self.inner.registry.inner.store.list_uploads();
        while let Some(batch) = lister.next().await? {
            let count = batch.len() as u64;
            abort_forgotten(self, batch).await?;
            self.pause(count).await?;
        }
        self.forget_unmet(walk).await?;
        let (now, db) = (self.now(), &self.inner.registry.inner.db);
        Ok(db.write(move |tx| sql::set_walked_at(tx, now)).await?)
    }

    /// The walk met everything.
    async fn forget_unmet(&mut self, walk: i64) -> Result<()> {
        let mut after = String::new();
        loop {
            let db = &self.inner.registry.inner.db;
            let forget =
                move |tx: &mut lazuli_db::Tx<'_>| sql::forget_unmet(tx, walk, &after, SUSPECTS);
            let Some(last) = db.write_relaxed(forget).await? else {
                return Ok(());
            };
            after = last;
            self.pause(0).await?;
        }
    }

    async fn remove_unknown(&mut self, entries: Vec<BlobEntry>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut removed = Vec::with_capacity(entries.len());
        for entry in entries {
            // A repair on another node may have taken it for the good copy, if it has this work meanwhile.
            self.keep_lease().await?;
            if !is_still_unknown(self, &entry).await? {
                continue;
            }
            let limit = self.inner.options.lease / 4;
            match tokio::time::timeout(limit, remove(self.inner, &entry)).await {
                Ok(Ok(size)) => {
                    removed.push(entry.location.to_string());
                    self.run.deleted += 1;
                    self.run.freed_bytes += size;
                }
                Ok(Err(error)) => {
                    tracing::warn!(location = %entry.location, %error, "a file that no row knows could not be removed; trying again later");
                }
                Err(_) => {
                    tracing::warn!(location = %entry.location, "removing a file that no row knows takes too long; trying again later");
                }
            }
        }
        let db = &self.inner.registry.inner.db;
        let forget = move |tx: &mut lazuli_db::Tx<'_>| sql::forget_suspects(tx, &removed);
        Ok(db.write_relaxed(forget).await?)
    }
}

/// Returns its size.
async fn remove(inner: &Inner, entry: &BlobEntry) -> Result<u64> {
    tracing::warn!(location = %entry.location, "removing a file that no row knows");
    inner.registry.forget_file(&entry.location);
    let store = &inner.registry.inner.store;
    let size = store.measure(entry).await?;
    store.remove(&entry.location).await?;
    Ok(size)
}

/// Looks again at the moment of the removal, as the one whose work this is.
async fn is_still_unknown(work: &Work<'_>, entry: &BlobEntry) -> Result<bool> {
    let (guard, entry) = (work.guard(), entry.clone());
    let Some(registry) = registry_of(&entry.location) else {
        return Ok(false);
    };
    let look = move |tx: &mut lazuli_db::Tx<'_>| {
        guard.check(tx)?;
        let is_known = sql::is_known(tx, registry, &entry.digest, entry.location.as_str())?;
        Ok::<_, LeaseError>(!is_known)
    };
    work.inner.registry.inner.db.read(look).await.map_err(lost)
}

/// Those that a walk met an interval ago or longer, too.
async fn met_before(work: &Work<'_>, unknown: Vec<BlobEntry>, walk: i64) -> Result<Vec<BlobEntry>> {
    if unknown.is_empty() {
        return Ok(unknown);
    }
    let locations: Vec<String> = unknown
        .iter()
        .map(|entry| entry.location.to_string())
        .collect();
    let db = &work.inner.registry.inner.db;
    let now = work.now();
    let cutoff = now.saturating_sub(micros(work.inner.options.walk_interval));
    let again = db
        .write_relaxed(move |tx| sql::suspect(tx, &locations, walk, now, cutoff))
        .await?;
    let is_again = |entry: &BlobEntry| again.contains(entry.location.as_str());
    Ok(unknown.into_iter().filter(is_again).collect())
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

//! One run over what is due: links, condemned blobs, removals, expired uploads.

use std::collections::BTreeMap;

use lazuli_blobs::Location;
use lazuli_db::Tx;
use lazuli_wire::oci::{Digest, RepositoryName};

use super::work::Work;
use super::{Inner, Moment, Phase, micros, sql};
use crate::cache::Change;
use crate::{Registry, Result, blobs};

/// What becomes of a link that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Somebody else dealt with it, or it is no longer due.
    Skip,
    /// A manifest needs it, or a lease holds it.
    Keep,
    /// It was unlinked; other repositories hold the blob.
    Unlinked,
    /// It was the blob's last link.
    Condemned,
}

/// What a deletion gave back.
#[derive(Debug, Default)]
struct Deleted {
    blobs: u64,
    /// Bytes that were in the database.
    inline_bytes: u64,
}

impl Work<'_> {
    /// Everything that is due at the beginning.
    pub(super) async fn sweep(&mut self) -> Result<()> {
        self.enter(Phase::Files).await?;
        self.remove_files().await?;
        self.end_uploads().await?;
        self.remove_deleted_repositories().await?;
        if self.now() >= self.quiet_until {
            self.check_links().await?;
            self.delete_condemned().await?;
            self.enter(Phase::Files).await?;
            self.remove_files().await?;
        }
        self.trim_history().await
    }

    /// Steps 1 and 2.
    async fn check_links(&mut self) -> Result<()> {
        self.enter(Phase::Links).await?;
        let (now, batch) = (self.now(), self.inner.options.batch);
        loop {
            let registry = &self.inner.registry.inner;
            let due = registry
                .db
                .read(move |tx| sql::due_links(tx, now, batch))
                .await?;
            if due.is_empty() {
                return Ok(());
            }
            if self.run.phase_total.is_none() && due.len() == batch as usize {
                let count = registry.db.read(move |tx| sql::count_due_links(tx, now));
                self.run.phase_total = count.await?;
            }
            self.at(Moment::Found).await;
            let fences = close_fences(&self.inner.registry, &due);
            let verdicts = registry
                .db
                .write_relaxed(move |tx| {
                    due.iter()
                        .map(|link| check_link(tx, link, now))
                        .collect::<Result<Vec<_>>>()
                })
                .await;
            for (fence, changes) in fences {
                fence.open(&changes);
            }
            let verdicts = verdicts?;
            let count = |wanted: &[Verdict]| {
                verdicts
                    .iter()
                    .filter(|verdict| wanted.contains(verdict))
                    .count() as u64
            };
            self.run.examined += verdicts.len() as u64;
            self.run.unlinked += count(&[Verdict::Unlinked, Verdict::Condemned]);
            self.run.condemned += count(&[Verdict::Condemned]);
            self.pause(verdicts.len() as u64).await?;
        }
    }

    /// Step 3. Durable, because the file must not go before the row.
    async fn delete_condemned(&mut self) -> Result<()> {
        self.enter(Phase::Blobs).await?;
        let (now, batch) = (self.now(), self.inner.options.batch);
        let wait = self
            .inner
            .options
            .condemned_for
            .max(self.inner.registry.inner.options.lease);
        let cutoff = now.saturating_sub(micros(wait));
        loop {
            let db = &self.inner.registry.inner.db;
            let due = db.read(move |tx| sql::due_blobs(tx, cutoff, batch)).await?;
            if due.is_empty() {
                return Ok(());
            }
            if self.run.phase_total.is_none() && due.len() == batch as usize {
                let count = db.read(move |tx| sql::count_due_blobs(tx, cutoff));
                self.run.phase_total = count.await?;
            }
            let found = due.len() as u64;
            self.run.examined += found;
            self.at(Moment::Found).await;
            let deleted = db
                .write(move |tx| delete_blobs(tx, &due, cutoff, now))
                .await?;
            self.run.deleted += deleted.blobs;
            self.run.freed_bytes += deleted.inline_bytes;
            self.at(Moment::Deleted).await;
            self.pause(found).await?;
        }
    }

    /// Removes files whose rows are gone, now and after a crash. One that cannot be removed stays for the next run.
    async fn remove_files(&mut self) -> Result<()> {
        let batch = self.inner.options.batch;
        let mut after = String::new();
        loop {
            let registry = &self.inner.registry;
            let from = after.clone();
            let due = registry
                .inner
                .db
                .read(move |tx| sql::removals(tx, &from, batch))
                .await?;
            let Some((last, _)) = due.last() else {
                return Ok(());
            };
            after.clone_from(last);
            let count = due.len() as u64;
            let mut done = Vec::with_capacity(due.len());
            for (text, size) in due {
                if remove_file(registry, &text).await {
                    self.run.freed_bytes += size;
                    done.push(text);
                }
            }
            registry
                .inner
                .db
                .write_relaxed(move |tx| {
                    done.iter()
                        .try_for_each(|location| sql::forget_removal(tx, location))
                })
                .await?;
            self.pause(count).await?;
        }
    }

    /// Step 4. The row goes first: a request that meanwhile continued the session has moved its expiry or its version.
    async fn end_uploads(&mut self) -> Result<()> {
        self.enter(Phase::Uploads).await?;
        let (now, batch) = (self.now(), self.inner.options.batch);
        let mut after = Vec::new();
        loop {
            let registry = &self.inner.registry.inner;
            let from = after.clone();
            let due = registry
                .db
                .read(move |tx| sql::expired_uploads(tx, &from, now, batch))
                .await?;
            let Some(last) = due.last() else {
                return Ok(());
            };
            after = last.id.as_bytes().to_vec();
            self.at(Moment::Found).await;
            let count = due.len() as u64;
            // A request that is still receiving bytes keeps its session.
            let active: Vec<_> = due
                .iter()
                .filter_map(|upload| Some((upload, registry.sessions.activate(upload.id)?)))
                .collect();
            let keys: Vec<_> = active
                .iter()
                .map(|(upload, _)| (upload.id, upload.version))
                .collect();
            let ended = registry.db.write_relaxed(move |tx| {
                let mut ended = Vec::with_capacity(keys.len());
                for (id, version) in &keys {
                    if sql::delete_upload(tx, *id, *version, now)? {
                        ended.push(*id);
                    }
                }
                Ok::<_, lazuli_db::Error>(ended)
            });
            for id in ended.await? {
                registry.store.abort(id).await?;
                self.run.examined += 1;
            }
            drop(active);
            self.pause(count).await?;
        }
    }
}

/// Looks again at a link inside the transaction, and acts.
fn check_link(tx: &mut Tx<'_>, link: &sql::DueLink, now: i64) -> Result<Verdict> {
    let Some(state) = sql::link_state(tx, link)? else {
        return Ok(Verdict::Skip);
    };
    if state.check_after.is_none_or(|due| due > now) {
        return Ok(Verdict::Skip);
    }
    if sql::is_referenced(tx, link)? {
        // The delete of the manifest will set it again.
        sql::set_check_after(tx, link, None)?;
        return Ok(Verdict::Keep);
    }
    if state.leased_until > now {
        sql::set_check_after(tx, link, Some(state.leased_until))?;
        return Ok(Verdict::Keep);
    }
    blobs::unlink(tx, link.registry, link.repository, &link.digest, now)?;
    let is_held = blobs::sql::is_held(tx, link.registry, &link.digest.to_bytes())?;
    Ok(if is_held {
        Verdict::Unlinked
    } else {
        Verdict::Condemned
    })
}

/// Checks condemned blobs once more, and deletes their rows.
fn delete_blobs(tx: &mut Tx<'_>, due: &[(i64, Digest)], cutoff: i64, now: i64) -> Result<Deleted> {
    let mut deleted = Deleted::default();
    for (registry, digest) in due {
        let Some(state) = sql::blob_state(tx, *registry, digest)? else {
            continue;
        };
        if state.condemned_at.is_none_or(|since| since > cutoff) {
            continue;
        }
        if blobs::sql::is_held(tx, *registry, &digest.to_bytes())? {
            sql::set_condemned(tx, *registry, digest, None)?;
        } else if state.leased_until > now {
            // Affirmed before it was condemned: the wait begins when that ends.
            sql::set_condemned(tx, *registry, digest, Some(state.leased_until))?;
        } else {
            sql::delete_blob(tx, *registry, digest)?;
            deleted.blobs += 1;
            match state.location {
                Some(location) => sql::add_removal(tx, &location, state.size, now)?,
                None => deleted.inline_bytes += state.size,
            }
        }
    }
    Ok(deleted)
}

/// Closes the cache's fences of all repositories that the links belong to, until the transaction is over.
fn close_fences(
    registry: &Registry,
    due: &[sql::DueLink],
) -> Vec<(crate::cache::ClosedFence, Vec<Change>)> {
    let mut changes: BTreeMap<(i64, &RepositoryName), Vec<Change>> = BTreeMap::new();
    for link in due {
        changes
            .entry((link.registry, &link.name))
            .or_default()
            .push(Change::Blob(link.digest));
    }
    let cache = &registry.inner.cache;
    changes
        .into_iter()
        .map(|((id, name), changes)| (cache.close(id, Some(name)), changes))
        .collect()
}

/// Whether the file is gone.
async fn remove_file(registry: &Registry, text: &str) -> bool {
    let Ok(location) = Location::parse(text) else {
        tracing::error!(location = text, "not a location; nothing is removed");
        return true;
    };
    registry.forget_file(&location);
    match registry.inner.store.remove(&location).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%location, %error, "a deleted blob's file could not be removed; trying again later");
            false
        }
    }
}

impl Inner {
    /// Bytes are wanted back only from files at least this old.
    pub(super) fn orphan_cutoff(&self) -> i64 {
        self.registry
            .now()
            .saturating_sub(micros(self.options.orphan_age))
    }
}

//! Repositories that were deleted: their rows go in steps, oldest deletion first.

use super::work::Work;
use super::{Moment, Phase};
use crate::{Result, manifests, repositories};

/// Repositories looked up at a time.
const PAGE: u32 = 100;

impl Work<'_> {
    /// Step 5. Whoever is cut short here left less to do.
    pub(super) async fn remove_deleted_repositories(&mut self) -> Result<()> {
        self.enter(Phase::Repositories).await?;
        self.give_up_orphans().await?;
        let (now, batch) = (self.now(), self.inner.options.batch);
        loop {
            let db = &self.inner.registry.inner.db;
            let deleted = db.read(|tx| repositories::sql::deleted(tx, PAGE)).await?;
            if deleted.is_empty() {
                return Ok(());
            }
            for repository in deleted {
                self.at(Moment::Found).await;
                loop {
                    let step =
                        db.write_relaxed(move |tx| manifests::drain(tx, repository, batch, now));
                    let drained = step.await?;
                    self.run.examined += 1;
                    self.run.manifests += drained.manifests;
                    self.pause(drained.manifests).await?;
                    if drained.is_done {
                        break;
                    }
                }
            }
        }
    }

    /// Treats repositories of registries that were deleted, and what was pushed to them by a node that did not know yet, as
    /// deleted ones. Their rows go when their blobs have gone.
    async fn give_up_orphans(&mut self) -> Result<()> {
        let now = self.now();
        let inner = self.inner.registry.inner.clone();
        loop {
            let orphans = inner
                .db
                .read(|tx| repositories::sql::orphans(tx, PAGE))
                .await?;
            if orphans.is_empty() {
                break;
            }
            let count = orphans.len() as u64;
            let log = inner.log.clone();
            let step = inner.db.write_relaxed(move |tx| {
                orphans.iter().try_for_each(|(registry, name, row)| {
                    let new_id = || log.unique_number();
                    repositories::sql::replace(tx, *registry, name, row, row.floor, now, new_id)
                })
            });
            step.await?;
            self.pause(count).await?;
        }
        loop {
            let empty = inner
                .db
                .read(|tx| repositories::sql::empty_orphans(tx, PAGE))
                .await?;
            if empty.is_empty() {
                return Ok(());
            }
            let count = empty.len() as u64;
            let step = inner.db.write_relaxed(move |tx| {
                empty
                    .iter()
                    .try_for_each(|id| repositories::sql::remove_empty_orphan(tx, *id))
            });
            step.await?;
            self.pause(count).await?;
        }
    }
}

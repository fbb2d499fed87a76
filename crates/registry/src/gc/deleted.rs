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
        let (now, batch) = (self.now(), self.inner.options.batch);
        loop {
            let db = &self.inner.registry.inner.db;
            // Those of a registry that was deleted, and those pushed to it on a node that did not know yet.
            let orphans = db.read(|tx| repositories::sql::orphans(tx, PAGE)).await?;
            if !orphans.is_empty() {
                db.write_relaxed(move |tx| {
                    orphans
                        .iter()
                        .try_for_each(|id| repositories::sql::abandon(tx, *id, now))
                })
                .await?;
            }
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
}

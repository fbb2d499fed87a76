//! What garbage collection did and has to do.

use super::{LEASE, sql};
use crate::{Registry, Result};

/// A run and its totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Identifies the run.
    pub id: i64,
    /// In microseconds since the epoch.
    pub started_at: i64,
    /// In microseconds since the epoch; `None` while it is under way.
    pub finished_at: Option<i64>,
    /// Rows and files looked at.
    pub examined: u64,
    /// Blobs taken out of a repository.
    pub unlinked: u64,
    /// Blobs that left their last repository.
    pub condemned: u64,
    /// Blobs deleted.
    pub deleted: u64,
    /// Bytes given back, in the database and on the disk.
    pub freed_bytes: u64,
    /// Why it ended early.
    pub error: Option<String>,
}

impl Run {
    pub(super) fn new(id: i64, started_at: i64) -> Self {
        Self {
            id,
            started_at,
            finished_at: None,
            examined: 0,
            unlinked: 0,
            condemned: 0,
            deleted: 0,
            freed_bytes: 0,
            error: None,
        }
    }

    /// Whether there was anything to do.
    pub fn did_something(&self) -> bool {
        self.examined > 0 || self.deleted > 0 || self.freed_bytes > 0
    }
}

/// A number of blobs and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub blobs: u64,
    /// Their sizes together.
    pub bytes: u64,
}

/// The state of garbage collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether some process is at it.
    pub is_running: bool,
    /// The newest run that had something to do or was asked for.
    pub last_run: Option<Run>,
    /// Blobs in repositories that will be looked at when their time comes, each repository's counted.
    pub to_be_checked: Amount,
    /// Blobs in no repository, waiting for their deletion.
    pub condemned: Amount,
    /// Deleted blobs whose files are still to be removed.
    pub to_be_removed: Amount,
    /// Nothing is collected before, in microseconds since the epoch: leases may have been lost in a crash of the
    /// machine.
    pub quiet_until: Option<i64>,
}

/// What can be waiting.
#[derive(Debug, Clone, Copy)]
pub(super) enum Waiting {
    Links,
    Condemned,
    Removals,
}

pub(super) async fn read(registry: &Registry) -> Result<Status> {
    let now = registry.now();
    let status = registry.inner.db.read(move |tx| {
        let mut amount =
            |what| sql::waiting(tx, what).map(|(blobs, bytes)| Amount { blobs, bytes });
        let (to_be_checked, condemned) = (amount(Waiting::Links)?, amount(Waiting::Condemned)?);
        let to_be_removed = amount(Waiting::Removals)?;
        Ok::<_, lazuli_db::Error>(Status {
            is_running: sql::is_lease_held(tx, LEASE, now)?,
            last_run: sql::last_run(tx)?,
            to_be_checked,
            condemned,
            to_be_removed,
            quiet_until: sql::trust(tx)?
                .map(|trust| trust.quiet_until)
                .filter(|until| *until > now),
        })
    });
    Ok(status.await?)
}

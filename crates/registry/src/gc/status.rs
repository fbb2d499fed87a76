//! What garbage collection did and has to do.

use super::trust::QuietBecause;
use super::{LEASE, runs, sql};
use crate::retention::{self, KeptLog};
use crate::{Registry, Result};

/// A part of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Files whose blobs are gone are removed: at first those that are left from before, later those of this pass.
    Files,
    /// Upload sessions that expired are ended.
    Uploads,
    /// What is left of deleted repositories is removed.
    Repositories,
    /// Blobs that nothing names leave their repositories.
    Links,
    /// Blobs that were condemned long enough are deleted, and their files.
    Blobs,
    /// What is remembered of long ago goes.
    History,
    /// The store is searched for files that no row knows.
    Walk,
    /// It is over.
    Done,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Files,
        Self::Uploads,
        Self::Repositories,
        Self::Links,
        Self::Blobs,
        Self::History,
        Self::Walk,
        Self::Done,
    ];

    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Uploads => "uploads",
            Self::Repositories => "repositories",
            Self::Links => "links",
            Self::Blobs => "blobs",
            Self::History => "history",
            Self::Walk => "walk",
            Self::Done => "done",
        }
    }

    pub(super) fn parse(word: &str) -> Self {
        let found = Self::ALL.into_iter().find(|phase| phase.as_str() == word);
        found.unwrap_or(Self::Done)
    }
}

/// A pass and its totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Identifies the run.
    pub id: i64,
    /// In microseconds since the epoch.
    pub started_at: i64,
    /// In microseconds since the epoch; `None` while it is under way.
    pub finished_at: Option<i64>,
    /// Whether somebody asked for it.
    pub is_asked_for: bool,
    /// What it is at.
    pub phase: Phase,
    /// How much of that is done.
    pub phase_done: u64,
    /// Out of how much, where that is known.
    pub phase_total: Option<u64>,
    /// When it was last heard of, in microseconds since the epoch.
    pub seen_at: i64,
    /// How often it was cut short and taken up again.
    pub resumed: u64,
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
    /// Manifests of deleted repositories removed.
    pub manifests: u64,
    /// Rows of the operation log, of tags' former versions and of usage that went by age.
    pub history: u64,
    /// Why it ended early.
    pub error: Option<String>,
}

impl Run {
    pub(super) fn new(id: i64, started_at: i64) -> Self {
        Self {
            id,
            started_at,
            finished_at: None,
            is_asked_for: false,
            phase: Phase::Files,
            phase_done: 0,
            phase_total: None,
            seen_at: started_at,
            resumed: 0,
            examined: 0,
            unlinked: 0,
            condemned: 0,
            deleted: 0,
            freed_bytes: 0,
            manifests: 0,
            history: 0,
            error: None,
        }
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        (self.phase, self.phase_done, self.phase_total) = (phase, 0, None);
    }

    /// How much of its present part is done, between 0 and 1, where that is known.
    pub fn phase_progress(&self) -> Option<f64> {
        let total = self.phase_total.filter(|total| *total > 0)?;
        Some((self.phase_done as f64 / total as f64).min(1.0))
    }

    /// Whether there was anything to do.
    pub fn did_something(&self) -> bool {
        self.examined > 0 || self.deleted > 0 || self.freed_bytes > 0 || self.history > 0
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
    /// Whether a pass was asked for that has not begun.
    pub is_requested: bool,
    /// The newest run that had something to do or was asked for; the one under way, if it is written down.
    pub last_run: Option<Run>,
    /// Rows of deleted repositories that are still to be removed: how many such repositories there are.
    pub deleted_repositories: u64,
    /// What is remembered of each origin's operations.
    pub logs: Vec<KeptLog>,
    /// Blobs in repositories that will be looked at when their time comes, each repository's counted.
    pub to_be_checked: Amount,
    /// Blobs in no repository, waiting for their deletion.
    pub condemned: Amount,
    /// Deleted blobs whose files are still to be removed.
    pub to_be_removed: Amount,
    /// Nothing is collected before, in microseconds since the epoch, because leases may be missing.
    pub quiet_until: Option<(i64, QuietBecause)>,
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
            is_requested: runs::is_requested(tx)?,
            last_run: runs::last(tx)?,
            deleted_repositories: crate::repositories::sql::count_deleted(tx)?,
            logs: retention::kept(tx)?,
            to_be_checked,
            condemned,
            to_be_removed,
            quiet_until: sql::trust(tx)?
                .map(|trust| (trust.quiet_until, trust.because))
                .filter(|(until, _)| *until > now),
        })
    });
    Ok(status.await?)
}

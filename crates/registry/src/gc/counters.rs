//! What one process collected, for monitoring.

use std::sync::{Mutex, PoisonError};

use super::{Phase, Run};

/// Sums of what passes did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows and files looked at.
    pub examined: u64,
    /// Blobs taken out of a repository.
    pub unlinked: u64,
    /// Blobs that left their last repository.
    pub condemned: u64,
    /// Blobs and files deleted.
    pub deleted: u64,
    /// Bytes given back.
    pub freed_bytes: u64,
    /// Manifests of deleted repositories.
    pub manifests: u64,
    /// Rows that went by age.
    pub history: u64,
}

impl Totals {
    fn of(run: &Run) -> Self {
        Self {
            examined: run.examined,
            unlinked: run.unlinked,
            condemned: run.condemned,
            deleted: run.deleted,
            freed_bytes: run.freed_bytes,
            manifests: run.manifests,
            history: run.history,
        }
    }

    fn add_difference(&mut self, now: &Self, before: &Self) {
        let add = |sum: &mut u64, now: u64, before: u64| *sum += now.saturating_sub(before);
        add(&mut self.examined, now.examined, before.examined);
        add(&mut self.unlinked, now.unlinked, before.unlinked);
        add(&mut self.condemned, now.condemned, before.condemned);
        add(&mut self.deleted, now.deleted, before.deleted);
        add(&mut self.freed_bytes, now.freed_bytes, before.freed_bytes);
        add(&mut self.manifests, now.manifests, before.manifests);
        add(&mut self.history, now.history, before.history);
    }
}

#[derive(Debug, Default)]
struct Seen {
    totals: Totals,
    of_run: Totals,
    phase: Option<Phase>,
    progress: Option<f64>,
    passes: u64,
    failures: u64,
    completed_at: Option<i64>,
}

/// What this process counted since it began.
#[derive(Debug, Default)]
pub struct Counters(Mutex<Seen>);

impl Counters {
    fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What this process did in all its passes, the one under way included.
    pub fn totals(&self) -> Totals {
        self.with(|seen| seen.totals)
    }

    /// Passes that came to their end, and those that failed.
    pub fn passes(&self) -> (u64, u64) {
        self.with(|seen| (seen.passes, seen.failures))
    }

    /// The part of its pass that this process is at; `None` between two passes.
    pub fn phase(&self) -> Option<Phase> {
        self.with(|seen| seen.phase)
    }

    /// How much of that part is done, between 0 and 1, where that can be told.
    pub fn progress(&self) -> Option<f64> {
        self.with(|seen| seen.progress)
    }

    /// When the last pass of this process came to its end, in microseconds since the epoch.
    pub fn completed_at(&self) -> Option<i64> {
        self.with(|seen| seen.completed_at)
    }

    pub(super) fn begin(&self, run: &Run) {
        self.with(|seen| seen.of_run = Totals::of(run));
        self.see(run);
    }

    pub(super) fn see(&self, run: &Run) {
        self.with(|seen| {
            let now = Totals::of(run);
            let before = std::mem::replace(&mut seen.of_run, now);
            seen.totals.add_difference(&now, &before);
            seen.phase = Some(run.phase).filter(|phase| *phase != Phase::Done);
            seen.progress = run.phase_progress();
        });
    }

    pub(super) fn end(&self, run: &Run) {
        self.see(run);
        self.with(|seen| {
            if run.error.is_none() {
                seen.passes += 1;
                seen.completed_at = run.finished_at;
            }
        });
    }

    pub(super) fn failed(&self) {
        self.with(|seen| seen.failures += 1);
    }
}

//! A pass under way: its lease, its totals, how far it is.

use std::time::Duration;

use super::{Inner, LEASE, Moment, Phase, Run, runs, trust};
use crate::leases::{Guard, Lease, LeaseError};
use crate::transfer::closed;
use crate::{Error, Result};

/// How often progress is written down.
const RECORD: Duration = Duration::from_secs(1);

pub(crate) struct Work<'a> {
    pub(crate) inner: &'a Inner,
    pub(super) quiet_until: i64,
    lease: Lease,
    pub(crate) run: Run,
    /// When it was written down last, by the monotonic clock.
    recorded: Option<Duration>,
}

impl<'a> Work<'a> {
    /// Takes up a pass that was cut short, or begins one; `None` when another process is at it.
    pub(super) async fn begin(inner: &'a Inner, is_asked_for: bool) -> Result<Option<Self>> {
        let registry = &inner.registry.inner;
        // What is being moved, or was, stays as it is.
        if closed::state(&registry.db, registry.clock.now_us())
            .await?
            .is_some()
        {
            return Ok(None);
        }
        let ttl = inner.options.lease;
        let lease =
            Lease::acquire(&registry.db, &registry.clock, LEASE, &inner.holder, ttl).await?;
        let Some(lease) = lease else {
            return Ok(None);
        };
        let mut known = inner.trust.lock().await;
        trust::refresh(&inner.registry, &mut known).await?;
        let (open, is_requested) = registry.db.read(runs::waiting).await?;
        let is_taken_up = open.is_some();
        let mut run =
            open.unwrap_or_else(|| Run::new(registry.log.unique_number(), registry.clock.now_us()));
        run.resumed += u64::from(is_taken_up);
        run.is_asked_for |= is_asked_for || is_requested;
        inner.counters.begin(&run);
        let mut work = Self {
            inner,
            quiet_until: known.quiet_until,
            lease,
            run,
            recorded: None,
        };
        if is_taken_up || work.run.is_asked_for {
            work.record().await?;
        }
        Ok(Some(work))
    }

    pub(crate) fn now(&self) -> i64 {
        self.inner.registry.now()
    }

    /// To be checked in transactions that must not be done by who lost the lease.
    pub(crate) fn guard(&self) -> Guard {
        self.lease.guard()
    }

    /// The next part of the pass.
    pub(crate) async fn enter(&mut self, phase: Phase) -> Result<()> {
        self.run.enter(phase);
        self.inner.counters.see(&self.run);
        if self.recorded.is_some() {
            self.record().await?;
        }
        Ok(())
    }

    /// After each batch of so many: records progress, renews the lease, rests.
    pub(crate) async fn pause(&mut self, done: u64) -> Result<()> {
        self.run.phase_done += done;
        self.inner.counters.see(&self.run);
        let now = self.inner.registry.inner.clock.monotonic();
        let is_time = self
            .recorded
            .is_none_or(|at| now.saturating_sub(at) >= RECORD);
        if is_time && self.run.did_something() {
            self.record().await?;
        }
        self.keep_lease().await?;
        self.at(Moment::Rest).await;
        Ok(())
    }

    /// Renews the lease, if half of it is over.
    pub(super) async fn keep_lease(&mut self) -> Result<()> {
        if self.lease.remaining() < self.inner.options.lease / 2 {
            self.lease.renew().await.map_err(lost)?;
        }
        Ok(())
    }

    pub(super) async fn at(&self, moment: Moment) {
        self.inner.options.pace.at(moment).await;
    }

    async fn record(&mut self) -> Result<()> {
        let registry = &self.inner.registry.inner;
        self.run.seen_at = registry.clock.now_us();
        let (run, is_first, guard) = (self.run.clone(), self.recorded.is_none(), self.guard());
        let written = registry.db.write_relaxed(move |tx| {
            guard.check(tx)?;
            Ok::<_, LeaseError>(runs::record(tx, &run, is_first)?)
        });
        written.await.map_err(lost)?;
        self.recorded = Some(registry.clock.monotonic());
        Ok(())
    }

    /// Records the end. Runs that did nothing leave no trace unless somebody asked for them.
    pub(super) async fn end(mut self, outcome: Result<()>) -> Result<Run> {
        self.run.finished_at = Some(self.now());
        self.run.error = outcome.as_ref().err().map(ToString::to_string);
        self.run.enter(Phase::Done);
        self.inner.counters.end(&self.run);
        let is_told = self.run.is_asked_for || self.run.did_something() || self.run.error.is_some();
        let recorded = if is_told { self.record().await } else { Ok(()) };
        self.lease.release().await?;
        outcome.and(recorded).map(|()| self.run)
    }
}

/// What a lost lease means for a pass.
pub(crate) fn lost(error: LeaseError) -> Error {
    match error {
        LeaseError::Lost => Error::Internal("another process took over garbage collection"),
        LeaseError::Database(error) => error.into(),
    }
}

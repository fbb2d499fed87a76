//! Garbage collection while pushes run: what nothing refers to is unlinked, condemned, and after a wait deleted.
//!
//! 1. A blob that a repository holds is looked at when its lease ends or a manifest that named it is deleted. Nothing
//!    in the repository refers to it and no lease holds it: it is unlinked, its metering interval ends.
//! 2. A blob that left its last repository is condemned. Whoever links or affirms it takes that back.
//! 3. A blob condemned for a whole lease is deleted: checked once more in the deleting transaction, then its file is
//!    removed. A location is never used twice, so a late removal cannot hit a newer copy; removals to be done are rows
//!    and survive a crash.
//! 4. Upload sessions that expired are ended.
//! 5. Now and then the janitor walks the store for files that no row knows.
//!
//! Every step works in small transactions that check again what they found, so it may stop anywhere and be done by any
//! number of nodes; the lease `gc` only saves work. Leases of digests are written relaxed, so after a crash of the
//! machine nothing is unlinked or deleted for the time of one lease (`gc/trust.rs`).

mod janitor;
pub(crate) mod sql;
mod status;
mod sweep;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use lazuli_blobs::BoxFuture;
use tokio::sync::Mutex;

use crate::leases::{Lease, LeaseError};
use crate::{Error, Registry, Result};

pub use status::{Amount, Run, Status};

use janitor::Janitor;

/// The name of the lease.
pub(crate) const LEASE: &str = "gc";

/// A moment in a run at which others may act before it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Rows were read that seem due; the transaction that looks again and acts comes next.
    Found,
    /// Rows were deleted; their files come next.
    Deleted,
    /// A batch is done.
    Rest,
}

/// What happens at the moments of a run: nothing, but for a rest after each batch. Tests let others act.
pub trait Pace: Send + Sync {
    /// The run goes on when the future is ready.
    fn at(&self, moment: Moment) -> BoxFuture<'_, ()>;
}

/// Rests after each batch.
struct Resting(Duration);

impl Pace for Resting {
    fn at(&self, moment: Moment) -> BoxFuture<'_, ()> {
        let rest = if moment == Moment::Rest {
            self.0
        } else {
            Duration::ZERO
        };
        Box::pin(async move {
            if !rest.is_zero() {
                tokio::time::sleep(rest).await;
            }
        })
    }
}

/// How garbage collection works.
#[derive(Clone)]
pub struct Options {
    /// Time between two runs.
    pub interval: Duration,
    /// How long a blob stays condemned before it is deleted. At least the lease of digests.
    pub condemned_for: Duration,
    /// Rows handled in one transaction: bounds how long other writers wait.
    pub batch: u32,
    /// What happens between transactions.
    pub pace: Arc<dyn Pace>,
    /// How long the work lease is held without renewal.
    pub lease: Duration,
    /// Time between two walks of the janitor.
    pub walk_interval: Duration,
    /// A file that no row knows is removed when it is at least this old and the walk before met it too.
    pub orphan_age: Duration,
}

impl Options {
    /// The defaults for a registry whose digests are leased for `lease`.
    pub fn new(lease: Duration) -> Self {
        Self {
            interval: Duration::from_mins(1),
            condemned_for: lease,
            batch: 64,
            pace: Arc::new(Resting(Duration::from_millis(10))),
            lease: Duration::from_mins(1),
            walk_interval: Duration::from_hours(6),
            orphan_age: Duration::from_hours(24),
        }
    }
}

/// The garbage collector of one process. Cheap to clone.
#[derive(Clone)]
pub struct Gc {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    options: Options,
    /// Who holds the work lease.
    holder: String,
    /// Until when nothing is unlinked or deleted.
    trust: Mutex<trust::Known>,
    /// One run at a time in this process; what the janitor remembers.
    janitor: Mutex<Janitor>,
}

/// A full disk must not keep a server from starting: pulls work, and deletes make room. Every run tries again.
fn go_on_without_room(result: Result<()>) -> Result<()> {
    match result {
        Err(error @ (Error::OutOfSpace | Error::ReadOnly)) => {
            tracing::warn!(%error, "garbage collection could not be prepared; its next run tries again");
            Ok(())
        }
        other => other,
    }
}

impl Gc {
    /// Prepares garbage collection. To be called before requests are served: it decides whether the leases in the
    /// database can be relied on.
    pub async fn open(registry: &Registry, options: Options) -> Result<Self> {
        let mut known = trust::Known::default();
        go_on_without_room(trust::refresh(registry, &mut known).await)?;
        if registry.inner.db.engine() == "sqlite" {
            // The file belongs to one process at a time: one that still holds the lease was killed at work.
            let taken = Lease::take_back(&registry.inner.db, LEASE).await;
            go_on_without_room(taken.map_err(Error::from))?;
        }
        let holder = format!("{:016x}", registry.inner.log.unique_number());
        let inner = Inner {
            registry: registry.clone(),
            options,
            holder,
            trust: Mutex::new(known),
            janitor: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// To be called after the last request: everything is on the disk, so the next start need not wait.
    pub async fn close(&self) -> Result<()> {
        trust::end(&self.inner.registry).await
    }

    /// Runs at every interval until the future is dropped.
    pub async fn run(&self) {
        loop {
            tokio::time::sleep(self.inner.options.interval).await;
            match self.pass(false).await {
                Ok(Some(run)) if run.did_something() => tracing::info!(?run, "garbage collection"),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "garbage collection failed; trying again later");
                }
            }
        }
    }

    /// One run now; `None` when another process is at it.
    pub async fn run_once(&self) -> Result<Option<Run>> {
        self.pass(true).await
    }

    /// One walk of the janitor now; `None` when another process is at work.
    pub async fn walk_once(&self) -> Result<Option<Run>> {
        let mut janitor = self.inner.janitor.lock().await;
        let Some(mut work) = Work::begin(&self.inner).await? else {
            return Ok(None);
        };
        let outcome = janitor.walk(&mut work).await;
        work.end(outcome, true).await.map(Some)
    }

    /// What garbage collection is doing and has to do, as `lazuli gc status` shows it.
    pub async fn status(registry: &Registry) -> Result<Status> {
        status::read(registry).await
    }

    async fn pass(&self, is_asked_for: bool) -> Result<Option<Run>> {
        let mut janitor = self.inner.janitor.lock().await;
        let Some(mut work) = Work::begin(&self.inner).await? else {
            return Ok(None);
        };
        let mut outcome = work.sweep().await;
        if outcome.is_ok() && !is_asked_for && janitor.is_due(&self.inner) {
            outcome = janitor.walk(&mut work).await;
        }
        work.end(outcome, is_asked_for).await.map(Some)
    }
}

/// A run under way.
struct Work<'a> {
    inner: &'a Inner,
    quiet_until: i64,
    lease: Lease,
    run: Run,
    is_recorded: bool,
}

impl<'a> Work<'a> {
    async fn begin(inner: &'a Inner) -> Result<Option<Self>> {
        let registry = &inner.registry.inner;
        let ttl = inner.options.lease;
        let lease =
            Lease::acquire(&registry.db, &registry.clock, LEASE, &inner.holder, ttl).await?;
        let run = Run::new(registry.log.unique_number(), registry.clock.now_us());
        let mut known = inner.trust.lock().await;
        trust::refresh(&inner.registry, &mut known).await?;
        Ok(lease.map(|lease| Self {
            inner,
            quiet_until: known.quiet_until,
            lease,
            run,
            is_recorded: false,
        }))
    }

    fn now(&self) -> i64 {
        self.inner.registry.now()
    }

    /// After each batch: records progress, renews the lease, rests.
    async fn pause(&mut self) -> Result<()> {
        if self.run.did_something() {
            self.record().await?;
        }
        if self.lease.remaining() < self.inner.options.lease / 2 {
            self.lease.renew().await.map_err(lost)?;
        }
        self.at(Moment::Rest).await;
        Ok(())
    }

    async fn at(&self, moment: Moment) {
        self.inner.options.pace.at(moment).await;
    }

    async fn record(&mut self) -> Result<()> {
        let (run, is_first) = (self.run.clone(), !self.is_recorded);
        self.inner
            .registry
            .inner
            .db
            .write_relaxed(move |tx| sql::record(tx, &run, is_first))
            .await?;
        self.is_recorded = true;
        Ok(())
    }

    /// Records the end. Runs that did nothing leave no trace unless somebody asked for them.
    async fn end(mut self, outcome: Result<()>, is_asked_for: bool) -> Result<Run> {
        self.run.finished_at = Some(self.now());
        self.run.error = outcome.as_ref().err().map(ToString::to_string);
        if is_asked_for || self.run.did_something() || self.run.error.is_some() {
            self.record().await?;
        }
        self.lease.release().await?;
        outcome.map(|()| self.run)
    }
}

fn lost(error: LeaseError) -> Error {
    match error {
        LeaseError::Lost => Error::Internal("another process took over garbage collection"),
        LeaseError::Database(error) => error.into(),
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

//! Garbage collection while pushes run: what nothing refers to is unlinked, condemned, and after a wait deleted.
//!
//! 1. A blob that a repository holds is looked at when its lease ends or a manifest that named it is deleted. Nothing
//!    in the repository refers to it and no lease holds it: it is unlinked, its metering interval ends.
//! 2. A blob that left its last repository is condemned. Whoever links or affirms it takes that back.
//! 3. A blob condemned for a whole lease is deleted: checked once more in the deleting transaction, then its file is
//!    removed. A location is never used twice, so a late removal cannot hit a newer copy; removals to be done are rows
//!    and survive a crash.
//! 4. Upload sessions that expired are ended.
//! 5. What is left of deleted repositories goes, some manifests at a time (`gc/deleted.rs`).
//! 6. What the registry remembers of long ago goes, or is summed up (`retention.rs`).
//! 7. Now and then the janitor walks the store for files that no row knows.
//!
//! Nothing is scanned: what is due is found by indexes. Every step works in small transactions that check again what they
//! found, so it may stop anywhere and be done by any number of nodes; the lease `gc` only saves work. A pass that was cut
//! short is taken up by whoever gets the lease next: what it did is not due any more. Leases of digests are written relaxed, so after a crash of the
//! machine nothing is unlinked or deleted for the time of one lease (`gc/trust.rs`).

mod counters;
mod deleted;
mod janitor;
mod runs;
pub(crate) mod sql;
mod status;
mod sweep;
mod trust;
mod work;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use lazuli_blobs::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::leases::Lease;
use crate::retention::Retention;
use crate::{Error, Registry, Result};

pub use counters::{Counters, Totals};
pub use status::{Amount, Phase, Run, Status};
pub use trust::QuietBecause;
pub(crate) use trust::keep_quiet;
pub(crate) use work::{Work, lost};

/// The name of the lease that a pass holds.
pub const LEASE: &str = "gc";

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

/// Whether a pass ends with a walk of the janitor.
#[derive(Debug, Clone, Copy)]
enum Walk {
    Never,
    /// When it is time for one, or somebody asked for the pass.
    WhenDue,
    Always,
}

/// Rests after each batch, so much longer than the batch took that others have most of the time for themselves.
struct Resting {
    least: Duration,
    /// When the last rest ended.
    since: std::sync::Mutex<Option<Instant>>,
}

/// So many times as long as a batch took is the rest after it.
const SHARE: u32 = 4;
/// The longest rest.
const LONGEST: Duration = Duration::from_secs(1);

impl Resting {
    fn new(least: Duration) -> Self {
        Self {
            least,
            since: std::sync::Mutex::default(),
        }
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace for Resting {
    fn at(&self, moment: Moment) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if moment == Moment::Rest {
                let worked = self.since().map_or(Duration::ZERO, |since| since.elapsed());
                tokio::time::sleep((worked * SHARE).clamp(self.least, LONGEST)).await;
                *self.since() = Some(Instant::now());
            }
        })
    }
}

/// Does not rest: for who is alone with the database.
pub struct Hurried;

impl Pace for Hurried {
    fn at(&self, _: Moment) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// How garbage collection works.
#[derive(Clone)]
pub struct Options {
    /// Whether passes begin by themselves; those that are asked for always do.
    pub enabled: bool,
    /// Time between two runs.
    pub interval: Duration,
    /// How often a request for a pass is looked for.
    pub poll: Duration,
    /// What is remembered for how long.
    pub retention: Retention,
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
            enabled: true,
            interval: Duration::from_mins(1),
            poll: Duration::from_secs(5),
            retention: Retention::default(),
            condemned_for: lease,
            batch: 64,
            pace: Arc::new(Resting::new(Duration::from_millis(5))),
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

pub(crate) struct Inner {
    pub(crate) registry: Registry,
    pub(crate) options: Options,
    /// Who holds the work lease.
    holder: String,
    /// Until when nothing is unlinked or deleted.
    trust: Mutex<trust::Known>,
    /// One run at a time in this process.
    turn: Mutex<()>,
    counters: Counters,
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
            turn: Mutex::default(),
            counters: Counters::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// To be called after the last request: everything is on the disk, so the next start need not wait.
    pub async fn close(&self) -> Result<()> {
        trust::end(&self.inner.registry).await
    }

    /// Runs at every interval, and when somebody asks, until the future is dropped.
    pub async fn run(&self) {
        let options = &self.inner.options;
        let mut waited = Duration::ZERO;
        loop {
            let wait = options.interval.saturating_sub(waited).min(options.poll);
            tokio::time::sleep(wait).await;
            waited += wait;
            let is_due = options.enabled && waited >= options.interval;
            let wanted = match runs::is_wanted(&self.inner.registry).await {
                Ok(wanted) => wanted,
                Err(error) => {
                    tracing::warn!(%error, "garbage collection cannot look for work; trying again later");
                    false
                }
            };
            if !is_due && !wanted {
                waited = waited.min(options.interval);
                continue;
            }
            waited = Duration::ZERO;
            match self.run_by_itself().await {
                Ok(Some(run)) if run.did_something() => tracing::info!(?run, "garbage collection"),
                Ok(_) => {}
                Err(error) => {
                    self.inner.counters.failed();
                    tracing::warn!(%error, "garbage collection failed; trying again later");
                }
            }
        }
    }

    /// Asks for a pass by whichever process collects garbage; it begins within seconds.
    pub async fn request(registry: &Registry) -> Result<()> {
        let now = registry.now();
        let db = &registry.inner.db;
        Ok(db.write(move |tx| runs::set_request(tx, now)).await?)
    }

    /// What this process counted.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// One run now; `None` when another process is at it.
    pub async fn run_once(&self) -> Result<Option<Run>> {
        self.pass(true, Walk::Never).await
    }

    /// One run as they begin by time: with a walk of the janitor when that is due, too. `None` when another process is at it.
    pub async fn run_by_itself(&self) -> Result<Option<Run>> {
        self.pass(false, Walk::WhenDue).await
    }

    /// One run now with a walk of the janitor; `None` when another process is at it.
    pub async fn run_whole(&self) -> Result<Option<Run>> {
        self.pass(true, Walk::Always).await
    }

    /// One walk of the janitor now; `None` when another process is at work.
    pub async fn walk_once(&self) -> Result<Option<Run>> {
        let _turn = self.inner.turn.lock().await;
        let Some(mut work) = Work::begin(&self.inner, true).await? else {
            return Ok(None);
        };
        let outcome = work.walk().await;
        work.end(outcome).await.map(Some)
    }

    /// What garbage collection is doing and has to do, as `lazuli gc status` shows it.
    pub async fn status(registry: &Registry) -> Result<Status> {
        status::read(registry).await
    }

    async fn work_through(&self, work: &mut Work<'_>, walk: Walk) -> Result<()> {
        work.sweep().await?;
        let is_walked = match walk {
            Walk::Never => false,
            Walk::WhenDue => work.run.is_asked_for || janitor::is_due(&self.inner).await?,
            Walk::Always => true,
        };
        if is_walked {
            work.walk().await?;
        }
        Ok(())
    }

    async fn pass(&self, is_asked_for: bool, walk: Walk) -> Result<Option<Run>> {
        let _turn = self.inner.turn.lock().await;
        let Some(mut work) = Work::begin(&self.inner, is_asked_for).await? else {
            return Ok(None);
        };
        let outcome = self.work_through(&mut work, walk).await;
        work.end(outcome).await.map(Some)
    }
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

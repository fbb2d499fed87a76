//! The scrub: every stored byte is hashed again within a period, beside requests and at a bounded rate.
//!
//! - A pass goes through all blobs in the order of their digests, then through the manifests (`order.rs`). What is due at
//!   a time follows from the time alone, so the work is even over the period and nothing is counted beforehand.
//! - How far a pass is, is one row, written now and then: a healthy blob costs no write, a restart goes on from there.
//! - One node at a time is at it, by the lease `scrub`; every write checks its fence, whichever node falls asleep or dies.
//! - What seems damaged is looked at again, row and bytes (`damage.rs`). Damaged bytes are put aside, never served again and
//!   never removed; the blob's row stays without bytes, so that nobody is told of it until a push brings it back, for
//!   all repositories that hold it. A file that is gone changes no row: it is asked for as if it was unknown, and a disk that
//!   is merely not mounted loses nothing.
//! - Before that, a good copy is looked for: in the store, and at another registry, if one is named (`peer.rs`).
//! - A store that does not answer says nothing of a blob: it is asked again later.

mod copies;
mod damage;
mod order;
mod pacing;
mod pass;
mod peer;
mod scan;
mod sql;
mod status;
mod work;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::leases::{Lease, LeaseError};
use crate::{Error, Registry, Result};

pub use pass::Pass;
pub use peer::{Peer, PeerError};
pub use status::{Counters, Status};

use worker::Worker;

/// The name of the lease.
const LEASE: &str = "scrub";
/// How long nothing is done after the database failed.
const REST: Duration = Duration::from_mins(1);

/// How stored bytes are verified.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether passes begin by themselves; those that are asked for always do.
    pub enabled: bool,
    /// Every byte is hashed once in this time, if the rate allows it.
    pub period: Duration,
    /// Most bytes read in a second, in the long run.
    pub rate: u64,
    /// How long the work lease is held without renewal.
    pub lease: Duration,
    /// How often a request for a pass is looked for.
    pub poll: Duration,
}

impl Options {
    /// The usual ones.
    pub fn new(period: Duration, rate: u64) -> Self {
        Self {
            enabled: true,
            period,
            rate,
            lease: Duration::from_mins(1),
            poll: Duration::from_secs(5),
        }
    }

    /// The time of a pass: less than the period, so that a stop of a day or two does not exceed it.
    fn pass_time(&self) -> Duration {
        self.period.mul_f64(0.9)
    }
}

/// The scrub of one process. Cheap to clone.
#[derive(Clone)]
pub struct Scrub {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    options: Options,
    /// Who holds the work lease.
    holder: String,
    counters: Counters,
    worker: Mutex<Worker>,
    /// Where damaged content is fetched from.
    peer: Option<Arc<dyn Peer>>,
}

impl Scrub {
    /// Prepares scrubbing; nothing is read yet.
    pub async fn open(registry: &Registry, options: Options) -> Result<Self> {
        Self::open_with(registry, options, None).await
    }

    /// The same with another registry from which damaged content is fetched.
    pub async fn open_with(
        registry: &Registry,
        options: Options,
        peer: Option<Arc<dyn Peer>>,
    ) -> Result<Self> {
        if registry.inner.db.engine() == "sqlite" {
            // The file belongs to one process at a time: one that still holds the lease was killed at work.
            match Lease::take_back(&registry.inner.db, LEASE).await {
                // A full disk must not keep a server from starting.
                Err(lazuli_db::Error::Full(_) | lazuli_db::Error::ReadOnly) => {}
                other => other?,
            }
        }
        Ok(Self {
            inner: Arc::new(Inner {
                registry: registry.clone(),
                options,
                holder: format!("{:016x}", registry.inner.log.unique_number()),
                counters: Counters::default(),
                worker: Mutex::new(Worker::new(options.rate)),
                peer,
            }),
        })
    }

    /// Works until the future is dropped.
    pub async fn run(&self) {
        loop {
            let wait = match self.step().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "stored bytes cannot be verified now; trying again in a minute");
                    REST
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Does what is due, a few MiB at most, and returns how long to wait before the next step.
    pub async fn step(&self) -> Result<Duration> {
        self.inner.worker.lock().await.step(&self.inner).await
    }

    /// Writes down how far the pass is and lets other nodes go on.
    pub async fn close(&self) -> Result<()> {
        self.inner.worker.lock().await.close(&self.inner).await
    }

    /// Asks for a pass at once and as fast as [`Options::rate`] allows, by whichever process verifies.
    pub async fn request(registry: &Registry) -> Result<()> {
        let now = registry.now();
        let db = &registry.inner.db;
        Ok(db.write(move |tx| sql::set_request(tx, now)).await?)
    }

    /// How far the scrub is, as `lazuli scrub status` shows it.
    pub async fn status(registry: &Registry, options: &Options) -> Result<Status> {
        status::read(registry, options).await
    }

    /// What this process counted.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }
}

/// Why a step did not come to its end.
enum Halt {
    /// Another node took over.
    Lost,
    /// The store did not answer.
    Away(lazuli_blobs::Error),
    /// The database did not, or worse.
    Failed(Error),
}

impl From<LeaseError> for Halt {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Lost => Self::Lost,
            LeaseError::Database(error) => Self::Failed(error.into()),
        }
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<lazuli_db::Error> for Halt {
    fn from(error: lazuli_db::Error) -> Self {
        Self::Failed(error.into())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

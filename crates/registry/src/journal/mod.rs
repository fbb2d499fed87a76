//! The journal: what is needed to rebuild a lost database, kept beside the blobs.
//!
//! One node at a time writes it, a little after the facts. A *generation* is a snapshot of all rows and the segments after
//! it; a segment holds operations in the order of the log, with the bytes of the manifests and of the small blobs they
//! name, and the tables that say who may do what whenever they changed. Now and then a new generation begins, and old ones
//! go, so that a rebuild is bounded.
//!
//! How far it is stands in the database, written under a lease that is checked in the same transaction. A record is made
//! only if there is none of its name: a writer that woke up too late and its successor cannot write two of one number,
//! and what a dead writer left is met, compared with the log and taken over. A generation is reserved in the database
//! before it is begun, so the newest one that is whole is the one that goes on.
//!
//! When journal and log do not fit together (a database that was restored from an earlier copy, a bucket that was
//! exchanged, operations that are no longer kept), a new generation begins and says everything anew.

mod begin;
mod field;
mod names;
mod rebuild;
mod record;
mod replay;
mod segment;
mod snapshot;
mod sql;
mod state;
mod status;
mod tables;
mod write;

/// See [`crate::testing`].
#[cfg(feature = "testing")]
pub(crate) mod testing {
    use super::record::{Line, Record, Writer, end};
    use super::{mac_key, replay};

    /// Reads lines as those of a record that was written here, and sorts them as a segment. Panics if what was read does
    /// not have the same form again.
    pub(crate) fn read(lines: &[u8]) -> Option<usize> {
        let key = mac_key(&[0; 32]);
        let count = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let mut text = lines.to_vec();
        end(&mut text, count.count() as u64, &key);
        let record = Record::read(&text, &key).ok()?;
        let mut writer = Writer::new(record.head.clone());
        record
            .lines
            .iter()
            .for_each(|line: &Line| writer.push(line));
        assert_eq!(
            Record::read(&writer.finish(&key), &key).as_ref(),
            Ok(&record)
        );
        let lines = record.lines.len();
        let _ = replay::Segment::new(record);
        Some(lines)
    }
}

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use lazuli_blobs::Records;
use tokio::sync::Mutex as AsyncMutex;

pub use rebuild::{
    Lost, Progress, RebuildError, Report, Target, is_kept_in, is_unfinished, rebuild,
};
pub use record::{Record, RecordError};
pub use status::Status;

use crate::leases::{Lease, LeaseError};
use crate::{Error, Registry, Result};
use state::State;

/// The name of the lease.
const LEASE: &str = "journal";

/// How the journal is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// What records are authenticated with.
    pub key: [u8; 32],
    /// Time between two rounds: what is newer may be missing after a rebuild.
    pub interval: Duration,
    /// How long the lease is held without renewal.
    pub lease: Duration,
    /// Operations of a segment.
    pub operations: u32,
    /// Bytes of a segment, and of a part of a snapshot, but for the last line.
    pub bytes: usize,
    /// A new generation begins when the last one is so old and something changed,
    pub renew_after: Duration,
    /// or has so many segments,
    pub renew_segments: u64,
    /// or segments of so many bytes, and more than its snapshot.
    pub renew_bytes: u64,
}

impl Options {
    /// The defaults with that key.
    pub fn new(key: [u8; 32]) -> Self {
        Self {
            key,
            interval: Duration::from_secs(10),
            lease: Duration::from_mins(1),
            operations: 500,
            bytes: 4 << 20,
            renew_after: Duration::from_hours(24),
            renew_segments: 5000,
            renew_bytes: 64 << 20,
        }
    }

    fn hmac(&self) -> hmac::Key {
        mac_key(&self.key)
    }
}

fn mac_key(key: &[u8; 32]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key)
}

/// The journal of one process. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    records: Arc<dyn Records>,
    key: hmac::Key,
    options: Options,
    /// Who holds the lease.
    holder: String,
    work: AsyncMutex<Work>,
    status: Mutex<Status>,
}

#[derive(Default)]
struct Work {
    lease: Option<Lease>,
    /// Whether journal and bucket were compared since the lease was taken.
    is_compared: bool,
    /// A new generation has to begin.
    is_stale: bool,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

impl Journal {
    /// `None` where the store of the blobs keeps no records.
    pub async fn open(registry: &Registry, options: Options) -> Result<Option<Self>> {
        let Some(records) = registry.inner.store.records() else {
            return Ok(None);
        };
        if registry.inner.db.engine() == "sqlite" {
            // The file belongs to one process at a time: one that still holds the lease was killed at work.
            Lease::take_back(&registry.inner.db, LEASE).await?;
        }
        Ok(Some(Self {
            inner: Arc::new(Inner {
                records,
                key: options.hmac(),
                holder: format!("{:016x}", registry.inner.log.unique_number()),
                registry: registry.clone(),
                options,
                work: AsyncMutex::default(),
                status: Mutex::default(),
            }),
        }))
    }

    /// Writes at every interval until the future is dropped.
    pub async fn run(&self) {
        loop {
            match self.step().await {
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the journal was not written; trying again");
                }
            }
            tokio::time::sleep(self.inner.options.interval).await;
        }
    }

    /// Writes everything that is not in the journal yet, and begins a new generation when one is due; false: another
    /// process is at it.
    pub async fn step(&self) -> Result<bool> {
        let mut work = self.inner.work.lock().await;
        let outcome = self.inner.round(&mut work).await;
        if outcome.is_err() {
            // What is known of the bucket may be wrong.
            work.is_compared = false;
        }
        self.inner.measure(outcome.as_ref().err()).await?;
        outcome
    }

    /// One last round, and the lease is given back.
    pub async fn close(&self) -> Result<()> {
        let outcome = self.step().await;
        let mut work = self.inner.work.lock().await;
        if let Some(lease) = work.lease.take() {
            lease.release().await?;
        }
        outcome.map(drop)
    }

    /// How far it is, as of the last round.
    pub fn status(&self) -> Status {
        let status = self.inner.status.lock();
        status.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inner {
    async fn round(&self, work: &mut Work) -> Result<bool> {
        if !self.hold(work).await? {
            return Ok(false);
        }
        let mut state = self.load().await?;
        if !work.is_compared {
            state = self.compare(state).await?;
            work.is_compared = true;
        }
        let Some(mut state) = state else {
            return Err(Error::Internal("the journal has no state"));
        };
        loop {
            if work.is_stale || self.is_due(&state) {
                state = self.begin(work, state).await?;
                work.is_stale = false;
            }
            match self.write(work, &mut state).await? {
                write::Written::Segment => {}
                write::Written::Nothing => return Ok(true),
                write::Written::Apart => work.is_stale = true,
            }
            if !self.still_holds(work).await? {
                return Ok(false);
            }
        }
    }

    /// Whether nobody else can have written since the lease was taken.
    async fn still_holds(&self, work: &mut Work) -> Result<bool> {
        Ok(self.hold(work).await? && work.is_compared)
    }

    /// The lease, renewed when half of it is over; false: somebody else has it.
    async fn hold(&self, work: &mut Work) -> Result<bool> {
        if let Some(lease) = &mut work.lease
            && lease.remaining() < self.options.lease / 2
        {
            match lease.renew().await {
                Ok(()) => {}
                Err(LeaseError::Lost) => work.lease = None,
                Err(LeaseError::Database(error)) => return Err(error.into()),
            }
        }
        if work.lease.is_none() {
            let registry = &self.registry.inner;
            let ttl = self.options.lease;
            let lease = Lease::acquire(&registry.db, &registry.clock, LEASE, &self.holder, ttl);
            work.lease = lease.await?;
            work.is_compared = false;
        }
        Ok(work.lease.is_some())
    }

    fn origin(&self) -> u16 {
        self.registry.inner.options.origin
    }

    async fn load(&self) -> Result<Option<State>> {
        Ok(self.registry.inner.db.read(state::load).await?)
    }

    /// Keeps a state, if the lease is still ours.
    async fn store(&self, work: &Work, state: &State) -> Result<()> {
        let guard = work.lease.as_ref().map(Lease::guard);
        let guard = guard.ok_or(Error::Internal("the journal's lease was lost"))?;
        let state = state.clone();
        let stored = self
            .registry
            .inner
            .db
            .write(move |tx| {
                guard.check(tx)?;
                Ok::<_, LeaseError>(state::store(tx, &state)?)
            })
            .await;
        stored.map_err(|error| match error {
            LeaseError::Lost => Error::Internal("another process took over the journal"),
            LeaseError::Database(error) => error.into(),
        })
    }

    /// Whether a new generation has to begin.
    fn is_due(&self, state: &State) -> bool {
        if state.current == 0 || state.reserved != state.current {
            return true;
        }
        let options = &self.options;
        let is_full = state.segments >= options.renew_segments
            || (state.bytes >= options.renew_bytes && state.bytes > state.snapshot_bytes);
        if is_full {
            return true;
        }
        let age = self.registry.now().saturating_sub(state.begun_at);
        state.segments > 0 && age >= options.renew_after.as_micros() as i64
    }
}

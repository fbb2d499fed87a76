//! Counting what is transferred, without a database write for each request.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lazuli_db::clock::Clock;
use lazuli_db::{Db, Error};
use lazuli_wire::oci::RepositoryName;
use tokio::sync::Notify;

use super::sql;

const SHARDS: usize = 16;
/// Repositories counted apart in one shard until the next flush; more are counted under the empty name.
const SHARD_LIMIT: usize = 512;
/// Rows written in one transaction.
const BATCH: usize = 500;
const MICROSECONDS_PER_HOUR: i64 = 3_600_000_000;

/// What is counted, in events and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Meter {
    /// Manifests sent.
    ManifestPull,
    /// Manifests received.
    ManifestPush,
    /// Blobs sent, whole or in part.
    BlobPull,
    /// Blobs received.
    BlobPush,
}

impl Meter {
    const ALL: [Self; 4] = [
        Self::ManifestPull,
        Self::ManifestPush,
        Self::BlobPull,
        Self::BlobPush,
    ];

    /// The word stored in the column `meter`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ManifestPull => "manifest-pull",
            Self::ManifestPush => "manifest-push",
            Self::BlobPull => "blob-pull",
            Self::BlobPush => "blob-push",
        }
    }
}

/// Events and bytes of each meter.
#[derive(Debug, Clone, Copy, Default)]
struct Counters([(u64, u64); Meter::ALL.len()]);

impl Counters {
    fn add(&mut self, meter: Meter, events: u64, bytes: u64) {
        let (sum_events, sum_bytes) = &mut self.0[meter as usize];
        *sum_events = sum_events.saturating_add(events);
        *sum_bytes = sum_bytes.saturating_add(bytes);
    }
}

/// Counts of one shard: by repository name, then by registry, of which a name mostly has one.
#[derive(Default)]
struct Shard {
    named: HashMap<RepositoryName, Vec<(i64, Counters)>>,
    others: Vec<(i64, Counters)>,
}

/// A row to be written.
#[derive(Debug, Clone)]
pub(super) struct Count {
    pub(super) registry: i64,
    pub(super) repository: Option<RepositoryName>,
    pub(super) meter: Meter,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// Counters of everything transferred since the last flush. Bounded: a flood of repository names is counted together.
pub struct Transfers {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    crowded: Notify,
}

impl Default for Transfers {
    fn default() -> Self {
        Self::new()
    }
}

impl Transfers {
    /// Everything zero.
    pub fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: Default::default(),
            crowded: Notify::new(),
        }
    }

    /// Counts one event.
    pub fn record(&self, registry: i64, repository: &RepositoryName, meter: Meter, bytes: u64) {
        self.add(registry, Some(repository), meter, 1, bytes);
    }

    fn add(
        &self,
        registry: i64,
        repository: Option<&RepositoryName>,
        meter: Meter,
        events: u64,
        bytes: u64,
    ) {
        let index = repository.map_or(0, |name| self.hasher.hash_one(name) as usize % SHARDS);
        let mut shard = self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(name) = repository else {
            return bump(&mut shard.others, registry, meter, events, bytes);
        };
        if let Some(list) = shard.named.get_mut(name) {
            return bump(list, registry, meter, events, bytes);
        }
        if shard.named.len() < SHARD_LIMIT {
            bump(
                shard.named.entry(name.clone()).or_default(),
                registry,
                meter,
                events,
                bytes,
            );
        } else {
            bump(&mut shard.others, registry, meter, events, bytes);
            self.crowded.notify_one();
        }
    }

    /// Takes all counts, leaving zeros.
    fn take(&self) -> Vec<Count> {
        let mut counts = Vec::new();
        for shard in &self.shards {
            let shard = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            let named = shard
                .named
                .into_iter()
                .map(|(name, list)| (Some(name), list));
            for (repository, list) in named.chain([(None, shard.others)]) {
                for (registry, counters) in list {
                    for meter in Meter::ALL {
                        let (events, bytes) = counters.0[meter as usize];
                        if events > 0 {
                            counts.push(Count {
                                registry,
                                repository: repository.clone(),
                                meter,
                                events,
                                bytes,
                            });
                        }
                    }
                }
            }
        }
        counts
    }

    /// Adds all counts to the rows of the current hour. On an error what was not written is kept for the next time.
    pub async fn flush(&self, db: &Db, clock: &dyn Clock) -> Result<(), Error> {
        let hour = clock.now_us().div_euclid(MICROSECONDS_PER_HOUR);
        let counts: Arc<[Count]> = self.take().into();
        for start in (0..counts.len()).step_by(BATCH) {
            let batch = start..counts.len().min(start + BATCH);
            let rows = Arc::clone(&counts);
            let written = db
                .write_relaxed(move |tx| {
                    rows[batch.clone()]
                        .iter()
                        .try_for_each(|count| sql::add_transfers(tx, hour, count))
                })
                .await;
            if let Err(error) = written {
                for count in &counts[start..] {
                    self.add(
                        count.registry,
                        count.repository.as_ref(),
                        count.meter,
                        count.events,
                        count.bytes,
                    );
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Flushes at every interval, and earlier when there are many repositories, until the future is dropped. Flush once
    /// more at shutdown.
    pub async fn run(&self, db: &Db, clock: &dyn Clock, interval: Duration) {
        loop {
            let _ = tokio::time::timeout(interval, self.crowded.notified()).await;
            if let Err(error) = self.flush(db, clock).await {
                tracing::warn!(%error, "transfer counts could not be written; keeping them");
                tokio::time::sleep(interval).await;
            }
        }
    }
}

fn bump(list: &mut Vec<(i64, Counters)>, registry: i64, meter: Meter, events: u64, bytes: u64) {
    if let Some((_, counters)) = list.iter_mut().find(|(owner, _)| *owner == registry) {
        counters.add(meter, events, bytes);
    } else {
        let mut counters = Counters::default();
        counters.add(meter, events, bytes);
        list.push((registry, counters));
    }
}

//! Many nodes on one database: how the answers that each keeps in memory agree.
//!
//! A process that is alone with its database (SQLite) has no `Nodes`, and none of this happens. One of many must not answer
//! from memory what another node has changed. So before it does, it *catches up*: it reads from the operation log what was
//! committed since it last looked, and forgets what that changed. One such *poll* serves every request that arrived before it
//! began, so its cost does not grow with the requests: at any moment at most one poll is under way, and one waits. This is the
//! read index of replicated logs, with the database as the log: an answer contains every change that was acknowledged before its
//! request arrived, on whichever node.
//!
//! **No poll misses an operation.** A poll reads, in one snapshot, the operations that have no number yet, and those whose
//! number is greater than `seen`, the greatest number that an earlier poll met. Say an operation was committed before the
//! snapshot. If it has no number there, it is in the first part. If its number is greater than `seen`, it is in the second.
//! Otherwise some earlier poll met the number `seen`; numbers are given in order, each batch by a transaction that reads and
//! writes the row the one before it wrote (`origins`), so whoever sees a number sees all smaller ones: that poll, or one before
//! it, met this operation too. Where the sequencer runs does not matter.
//!
//! **Nothing older comes back.** Forgetting ends the tickets of readers under way (`cache.rs`). A reader that read before an
//! operation was committed took its ticket before the poll that met the operation, so what it read is not kept.
//!
//! **A server that forgot.** When a standby takes over that lagged behind, or a backup is put back, numbers that were met are
//! given again. So a poll reads the last operation it met once more: when it is not what it was, everything is forgotten. So it
//! is after a node was away for so long that the operation went by its age (`retention.rs`).
//!
//! An operation without a number is met by several polls; `unnumbered` remembers it, so that it is acted on once. A poll that
//! finds more than it wants to read forgets everything instead.
//!
//! Not operations, and so not told: a blob that garbage collection took out of a repository, and one whose damaged copy was
//! replaced. Neither is anything a client was told of; a record of a blob is relied on for `RECORD_AGE` only, and when its bytes
//! are gone it is read again.

mod sql;

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lazuli_db::clock::Clock;
use lazuli_db::{Db, Error};
use lazuli_wire::oci::{Reference, RepositoryName};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::cache::{Cache, Change};
use crate::operations::{Operation, OperationId};

/// How long a record of a blob in memory is relied on, in microseconds.
pub const RECORD_AGE: i64 = 60_000_000;

/// Most operations that a poll acts on one by one; with more, everything is forgotten.
const MOST: u32 = 500;

/// How long a poll waits for its answer, and how often another one is sent meanwhile: a connection of which the network
/// swallowed the other end must not hold up every request until the system notices.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 4;

/// What one node among many knows of the others' changes. Dropping it ends its polls.
pub(crate) struct Nodes {
    shared: Arc<Shared>,
    done: watch::Receiver<Done>,
    staleness: Duration,
    task: AbortHandle,
}

struct Shared {
    db: Db,
    clock: Arc<dyn Clock>,
    cache: Arc<Cache>,
    origin: u16,
    /// Polls begun.
    begun: AtomicU64,
    wanted: Notify,
    /// When the last poll that succeeded began, in microseconds of the monotonic clock.
    fresh_from: AtomicI64,
    progress: Mutex<Progress>,
    acted_on: AtomicU64,
}

/// How much of the log was met.
#[derive(Default)]
struct Progress {
    seen: Newest,
    /// Operations acted on that had no number when last seen.
    unnumbered: HashSet<OperationId>,
}

/// The operation with the greatest number; `None` before the first.
type Newest = Option<(i64, OperationId)>;

/// The last poll that ended.
#[derive(Debug, Clone, Copy)]
struct Done {
    poll: u64,
    succeeded: bool,
}

/// What a poll read.
struct Found {
    /// Without a number, then those from the last one met on.
    operations: Vec<Met>,
    /// There were more.
    cut: bool,
}

impl Found {
    /// Whether the log still holds what was met last; if nothing was, its first operation, once there is one.
    fn continues(&self, seen: Newest) -> bool {
        let is_it = |met: &Met| met.sequence.map(|number| (number, met.id)) == seen;
        if seen.is_some() {
            return self.operations.iter().any(is_it);
        }
        let numbers = self.operations.iter().filter_map(|met| met.sequence);
        numbers.min().is_none_or(|first| first == 1)
    }
}

/// An operation as a poll meets it.
struct Met {
    id: OperationId,
    sequence: Option<i64>,
    registry: i64,
    repository: Option<RepositoryName>,
    /// `None`: this version cannot read it.
    operation: Option<Operation>,
}

/// How the polls of this node went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeStats {
    /// Polls begun since the start.
    pub polls: u64,
    /// Operations that were met and acted on, this node's own included.
    pub operations: u64,
}

impl Nodes {
    /// Starts following the log from its present end. To be called while the cache is empty.
    pub(crate) async fn follow(
        db: &Db,
        clock: &Arc<dyn Clock>,
        cache: &Arc<Cache>,
        origin: u16,
        staleness: Duration,
    ) -> Result<Self, Error> {
        let seen = db.read_one(move |tx| sql::newest(tx, origin)).await?;
        let progress = Progress {
            seen,
            ..Progress::default()
        };
        let shared = Arc::new(Shared {
            db: db.clone(),
            clock: Arc::clone(clock),
            cache: Arc::clone(cache),
            origin,
            begun: AtomicU64::new(0),
            wanted: Notify::new(),
            fresh_from: AtomicI64::new(i64::MIN),
            progress: Mutex::new(progress),
            acted_on: AtomicU64::new(0),
        });
        let (told, done) = watch::channel(Done {
            poll: 0,
            succeeded: true,
        });
        let polling = poll_when_wanted(Arc::clone(&shared), told, staleness);
        Ok(Self {
            shared,
            done,
            staleness,
            task: tokio::spawn(polling).abort_handle(),
        })
    }

    /// Whether memory may be asked without catching up: only where answers may be a little old.
    pub(crate) fn is_fresh(&self) -> bool {
        if self.staleness.is_zero() {
            return false;
        }
        let from = self.shared.fresh_from.load(Ordering::Acquire);
        let oldest = micros(self.shared.clock.monotonic()) - micros(self.staleness);
        from > oldest
    }

    /// Waits for a poll that begins after this call. False: it failed, and memory must not be asked.
    pub(crate) async fn catch_up(&self) -> bool {
        let wanted = self.shared.begun.load(Ordering::SeqCst) + 1;
        let mut done = self.done.clone();
        self.shared.wanted.notify_one();
        let done = done.wait_for(|done| done.poll >= wanted).await;
        done.is_ok_and(|done| done.succeeded)
    }

    pub(crate) fn stats(&self) -> NodeStats {
        NodeStats {
            polls: self.shared.begun.load(Ordering::Relaxed),
            operations: self.shared.acted_on.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Polls while somebody waits for it; and, where answers may be a little old, so often that they need not wait.
async fn poll_when_wanted(shared: Arc<Shared>, told: watch::Sender<Done>, staleness: Duration) {
    loop {
        if staleness.is_zero() {
            shared.wanted.notified().await;
        } else {
            let _ = tokio::time::timeout(staleness / 3, shared.wanted.notified()).await;
        }
        // Whoever asked has read a smaller number, and waits for this poll or a later one.
        let poll = shared.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let outcome = shared.poll().await;
        if let Err(error) = &outcome {
            tracing::debug!(%error, "the changes of other nodes could not be read; answers come from the database meanwhile");
        }
        let succeeded = outcome.is_ok();
        told.send_replace(Done { poll, succeeded });
    }
}

impl Shared {
    async fn poll(&self) -> Result<(), Error> {
        let began = micros(self.clock.monotonic());
        let (origin, seen) = (self.origin, self.progress().seen);
        let from = seen.map_or(0, |(number, _)| number);
        let mut answer = None;
        for _ in 0..ATTEMPTS {
            let asked = self
                .db
                .read_one(move |tx| sql::unseen(tx, origin, from, MOST));
            answer = tokio::time::timeout(PATIENCE, asked).await.ok();
            if answer.is_some() {
                break;
            }
        }
        let found = answer.unwrap_or(Err(Error::Busy))?;
        if found.cut || !found.continues(seen) {
            self.begin_anew().await?;
        } else {
            self.act_on(found);
        }
        self.fresh_from.store(began, Ordering::Release);
        Ok(())
    }

    /// Forgets everything, and goes on from the log's end.
    async fn begin_anew(&self) -> Result<(), Error> {
        let origin = self.origin;
        let seen = self.db.read_one(move |tx| sql::newest(tx, origin)).await?;
        // What was kept until now may be older than the end of the log; what is kept from now on is not.
        self.cache.clear();
        *self.progress() = Progress {
            seen,
            ..Progress::default()
        };
        Ok(())
    }

    fn act_on(&self, found: Found) {
        let mut progress = self.progress();
        let last = progress.seen;
        let mut unnumbered = HashSet::new();
        for met in found.operations {
            let number = met.sequence.map(|number| (number, met.id));
            let is_known = number.is_some() && number == last;
            let is_new = !is_known && !progress.unnumbered.contains(&met.id);
            match number {
                Some(number) => progress.seen = progress.seen.max(Some(number)),
                None => drop(unnumbered.insert(met.id)),
            }
            if is_new {
                self.acted_on.fetch_add(1, Ordering::Relaxed);
                met.forget_in(&self.cache);
            }
        }
        progress.unnumbered = unnumbered;
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Met {
    /// Forgets what the operation changed.
    fn forget_in(&self, cache: &Arc<Cache>) {
        let Some(operation) = &self.operation else {
            return cache.clear();
        };
        let Some(name) = &self.repository else {
            return cache.clear();
        };
        let here = || cache.close(self.registry, Some(name));
        let catalog = || cache.close(self.registry, None);
        let tag = |tag: &lazuli_wire::oci::Tag| Change::Manifest(Reference::Tag(tag.clone()));
        let digest = |digest| Change::Manifest(Reference::Digest(digest));
        match operation {
            Operation::PutManifest {
                digest: put,
                tag: to,
                superseded,
                ..
            } => {
                let mut changes: Vec<_> = to.iter().map(tag).collect();
                changes.push(digest(*put));
                here().open(&changes);
                // One that was there already keeps its repository listed.
                if superseded.is_none() {
                    catalog().open(&[]);
                }
            }
            Operation::DeleteManifest {
                digest: gone, tags, ..
            } => {
                let mut changes: Vec<_> = tags.iter().map(tag).collect();
                changes.push(digest(*gone));
                here().open(&changes);
                catalog().open(&[]);
            }
            Operation::Untag { tag: gone } => here().open(&[tag(gone)]),
            Operation::DeleteBlob { digest } => here().open(&[Change::Blob(*digest)]),
            Operation::DeleteRepository { .. } | Operation::SetAttributes { .. } => {
                here().open_forgetting_all();
                catalog().open(&[]);
            }
            // Rare, and may change any answer.
            Operation::Setting { .. } => cache.clear(),
            // Who may do what is not in this cache.
            Operation::Control { .. } => {}
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

//! Failures on demand, so that tests can see what a full disk or a broken connection does at every step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where an operation can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPoint {
    /// A statement of a write transaction.
    Statement,
    /// The commit of one or more write transactions.
    Commit,
    /// Moving the write-ahead log into the database file (SQLite).
    Checkpoint,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No space is left.
    Full,
    /// The disk fails; at a commit, its flush.
    Io,
    /// The transaction collides with another (PostgreSQL).
    Conflict,
    /// The connection breaks; at a commit, after the server has done it. SQLite has no connection: there a statement finds
    /// the database busy, and a commit is written whole before its flush says that it failed.
    ConnectionLost,
}

type Hook = dyn Fn(FaultPoint) -> Option<Fault> + Send + Sync;

/// Decides which operations fail. The default: none.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Hook>>);

impl Faults {
    /// Asks `hook` before each operation.
    pub fn new(hook: impl Fn(FaultPoint) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    /// Fails the `n`-th operation (from 1) at `point`, once.
    pub fn nth(point: FaultPoint, n: u64, fault: Fault) -> Self {
        let seen = AtomicU64::new(0);
        Self::new(move |at| {
            (at == point && seen.fetch_add(1, Ordering::SeqCst) + 1 == n).then_some(fault)
        })
    }

    pub(crate) fn at(&self, point: FaultPoint) -> Option<Fault> {
        self.0.as_ref().and_then(|hook| hook(point))
    }
}

//! What the database has done and is doing.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A closure that runs longer is logged: it holds up everybody behind it.
const SLOW: Duration = Duration::from_millis(20);

/// Counters since the database was opened, and what is going on now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Write transactions waiting for a thread. (PostgreSQL: transactions of both kinds.)
    pub write_queue: usize,
    /// Read transactions waiting for a thread.
    pub read_queue: usize,
    /// Commits, each of one or more write transactions.
    pub commits: u64,
    /// Write transactions that took effect.
    pub transactions: u64,
    /// Write transactions that were rolled back because their closure failed.
    pub rollbacks: u64,
    /// Write transactions that failed at the commit.
    pub failed_commits: u64,
    /// Read transactions.
    pub reads: u64,
    /// Times that a transaction was repeated: it collided with others, or its connection broke before the commit.
    pub retries: u64,
    /// Transactions whose closure ran longer than 20 ms.
    pub slow: u64,
    /// Pages in the write-ahead log that are younger than its last reset (SQLite).
    pub wal_pages: u64,
    /// Whether writes are refused after a failed commit ([`Error::ReadOnly`](crate::Error::ReadOnly)).
    pub read_only: bool,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) transactions: AtomicU64,
    pub(crate) rollbacks: AtomicU64,
    pub(crate) failed_commits: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) slow: AtomicU64,
    pub(crate) wal_pages: AtomicU64,
    pub(crate) read_only: AtomicBool,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, Relaxed);
    }

    /// Takes note of how long a closure ran.
    pub(crate) fn ran(&self, took: Duration, caller: &Location<'_>) {
        if took > SLOW {
            Self::add(&self.slow, 1);
            tracing::warn!(ms = took.as_millis() as u64, %caller, "slow database transaction");
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only.load(Relaxed)
    }

    pub(crate) fn snapshot(&self, write_queue: usize, read_queue: usize) -> Stats {
        Stats {
            write_queue,
            read_queue,
            commits: self.commits.load(Relaxed),
            transactions: self.transactions.load(Relaxed),
            rollbacks: self.rollbacks.load(Relaxed),
            failed_commits: self.failed_commits.load(Relaxed),
            reads: self.reads.load(Relaxed),
            retries: self.retries.load(Relaxed),
            slow: self.slow.load(Relaxed),
            wal_pages: self.wal_pages.load(Relaxed),
            read_only: self.is_read_only(),
        }
    }
}

//! The thread that writes: it takes what waits, runs each closure in a savepoint, and commits once for all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Statement};

use super::checkpoint::{self, Checkpoints};
use super::session::{Session, error, injected, is_flush_failure};
use crate::clock::instant;
use crate::faults::{Fault, FaultPoint, Faults};
use crate::queue::{Queue, Serving};
use crate::stats::Counters;
use crate::work::{Job, Kind};
use crate::{Error, Result, Tx, tx};

/// How many transactions share a commit at most.
const BATCH: usize = 256;
/// How long a batch goes on taking in transactions. Those that have run wait for the rest.
const BATCH_TIME: Duration = Duration::from_millis(5);
/// After so many failed commits in a row that were not for want of space, the disk is taken for broken.
const COMMIT_FAILURES: u32 = 3;

pub(super) struct Parts {
    pub(super) queue: Arc<Queue>,
    pub(super) serving: Serving,
    pub(super) counters: Arc<Counters>,
    pub(super) faults: Faults,
    pub(super) checkpoints: Checkpoints,
}

/// Serves the queue until it is closed and empty.
pub(super) fn run(conn: &Connection, parts: Parts) {
    let serving = parts.serving;
    match Control::new(conn) {
        Ok(control) => {
            let mut writer = Writer {
                conn,
                control,
                tx: Tx::new(tx::Session::Sqlite(Session::new(
                    conn,
                    parts.faults.clone(),
                ))),
                counters: parts.counters,
                faults: parts.faults,
                checkpoints: parts.checkpoints,
                synced: true,
                alone: 0,
                failures: 0,
                failing: false,
                copied_at: 0,
                restart_at: checkpoint::AT_ONCE,
            };
            let mut jobs = VecDeque::new();
            while !jobs.is_empty() || parts.queue.take(&mut jobs, BATCH) {
                writer.batch(&mut jobs);
            }
        }
        Err(e) => tracing::error!(error = %e, "the database writer cannot start"),
    }
    drop(serving);
}

/// The statements around the callers' own.
struct Control<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    rollback: Statement<'c>,
    savepoint: Statement<'c>,
    release: Statement<'c>,
    rollback_to: Statement<'c>,
}

impl<'c> Control<'c> {
    fn new(conn: &'c Connection) -> Result<Self> {
        let prepare = |sql| conn.prepare(sql).map_err(|e| error(&e));
        Ok(Self {
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            rollback: prepare("ROLLBACK")?,
            savepoint: prepare("SAVEPOINT caller")?,
            release: prepare("RELEASE caller")?,
            rollback_to: prepare("ROLLBACK TO caller")?,
        })
    }
}

struct Writer<'c> {
    conn: &'c Connection,
    control: Control<'c>,
    tx: Tx<'c>,
    counters: Arc<Counters>,
    faults: Faults,
    checkpoints: Checkpoints,
    /// Whether commits flush the disk at present.
    synced: bool,
    /// How many of the next jobs must run each in a transaction of its own.
    alone: usize,
    /// Failed commits in a row that were not for want of space.
    failures: u32,
    /// Whether the last commit failed, so that a full disk does not fill the log.
    failing: bool,
    /// How many pages the log had when the checkpointer was asked last; 0: not since the log began again.
    copied_at: u64,
    /// How many pages the log may have before this thread begins it again.
    restart_at: u64,
}

/// What became of one closure in a batch.
enum Ran {
    /// It succeeded, and its changes are part of the batch.
    Kept,
    /// It failed, and its changes are gone.
    Undone,
    /// It failed, and the engine has rolled back the whole batch.
    Lost,
}

impl Writer<'_> {
    /// Runs a batch from the front of `jobs` and answers its callers.
    fn batch(&mut self, jobs: &mut VecDeque<Job>) {
        let most = if self.alone > 0 { 1 } else { jobs.len() };
        self.alone = self.alone.saturating_sub(1);
        if let Err(e) = self.begin(jobs.iter().take(most).any(|job| job.kind == Kind::Durable)) {
            answer(jobs.drain(..most), Some(&e));
            return;
        }
        let mut done = Vec::with_capacity(most);
        let mut kept = 0;
        let mut now = instant();
        let end = now + BATCH_TIME;
        while done.len() < most && now < end {
            let Some(mut job) = jobs.pop_front() else {
                break;
            };
            match self.run(&mut job, most == 1, &mut now) {
                Ok(Ran::Kept) => kept += 1,
                Ok(Ran::Undone) => Counters::add(&self.counters.rollbacks, 1),
                Ok(Ran::Lost) => {
                    Counters::add(&self.counters.rollbacks, 1);
                    job.work.deliver();
                    self.repeat(done, jobs);
                    return;
                }
                Err(e) => {
                    done.push(job);
                    self.undo();
                    self.commit_failed(&e, false);
                    answer(done, Some(&e));
                    return;
                }
            }
            done.push(job);
        }
        let outcome = self.finish(kept);
        answer(done, outcome.as_ref().err());
        if outcome.is_ok() && kept > 0 {
            self.checkpoint();
        }
    }

    fn begin(&mut self, durable: bool) -> Result<()> {
        if self.counters.is_read_only() {
            return Err(Error::ReadOnly);
        }
        if self.synced != durable {
            // In WAL mode NORMAL writes a commit without flushing it; the next flush covers it.
            let sql = if durable {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            };
            self.conn.execute_batch(sql).map_err(|e| error(&e))?;
            self.synced = durable;
        }
        self.control
            .begin
            .raw_execute()
            .map(drop)
            .map_err(|e| error(&e))
    }

    fn run(&mut self, job: &mut Job, alone: bool, now: &mut Instant) -> Result<Ran> {
        let step = |statement: &mut Statement<'_>| {
            statement.raw_execute().map(drop).map_err(|e| error(&e))
        };
        if !alone {
            step(&mut self.control.savepoint)?;
        }
        let succeeded = job.work.run(&mut self.tx);
        let started = std::mem::replace(now, instant());
        self.counters.ran(*now - started, job.caller);
        if self.conn.is_autocommit() {
            return Ok(Ran::Lost);
        }
        if succeeded {
            if !alone {
                step(&mut self.control.release)?;
            }
            return Ok(Ran::Kept);
        }
        if !alone {
            step(&mut self.control.rollback_to)?;
            step(&mut self.control.release)?;
        }
        Ok(Ran::Undone)
    }

    /// Commits, or ends a transaction in which nothing succeeded.
    fn finish(&mut self, kept: usize) -> Result<()> {
        if kept == 0 {
            self.undo();
            return Ok(());
        }
        let (failure, flush) = match self.faults.at(FaultPoint::Commit) {
            Some(Fault::ConnectionLost) => match self.control.commit.raw_execute() {
                Ok(_) => (injected(Fault::Io), true),
                Err(e) => (error(&e), true),
            },
            Some(fault) => (injected(fault), fault == Fault::Io),
            None => match self.control.commit.raw_execute() {
                Ok(_) => {
                    self.failures = 0;
                    if std::mem::take(&mut self.failing) {
                        tracing::info!("commits work again");
                    }
                    Counters::add(&self.counters.commits, 1);
                    Counters::add(&self.counters.transactions, kept);
                    return Ok(());
                }
                Err(e) => (error(&e), is_flush_failure(&e)),
            },
        };
        self.undo();
        Counters::add(&self.counters.failed_commits, kept);
        self.commit_failed(&failure, flush);
        Err(failure)
    }

    fn undo(&mut self) {
        if !self.conn.is_autocommit()
            && let Err(e) = self.control.rollback.raw_execute()
        {
            tracing::error!(error = %e, "rollback failed");
        }
    }

    /// Decides whether writing may go on after a failed commit.
    fn commit_failed(&mut self, failure: &Error, flush: bool) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(error = %failure, "commits fail");
        }
        if matches!(failure, Error::Io(_)) {
            self.failures += 1;
            if flush || self.failures >= COMMIT_FAILURES {
                checkpoint::give_up_writing(&self.counters);
            }
        }
    }

    /// After the engine has rolled back a whole batch because of one member, the others run again, each for itself.
    fn repeat(&mut self, done: Vec<Job>, jobs: &mut VecDeque<Job>) {
        self.alone += done.len();
        for job in done.into_iter().rev() {
            jobs.push_front(job);
        }
    }

    fn checkpoint(&mut self) {
        let pages = self.counters.wal_pages.load(Relaxed);
        if pages < self.copied_at {
            self.copied_at = 0;
        }
        if pages >= self.restart_at {
            // New pages arrive faster than the checkpointer copies them, or there was always a reader in the log when
            // it could have begun again. Now nothing is written until it has.
            self.checkpoints.wait();
            let restarted = checkpoint::restart(self.conn, &self.faults, &self.counters);
            self.restart_at = if restarted {
                checkpoint::AT_ONCE
            } else {
                pages + checkpoint::SOON
            };
        } else if pages >= self.copied_at + checkpoint::SOON {
            self.copied_at = pages;
            self.checkpoints.request();
        }
    }
}

fn answer(jobs: impl IntoIterator<Item = Job>, failure: Option<&Error>) {
    for mut job in jobs {
        if let Some(failure) = failure {
            job.work.fail(failure.clone());
        }
        job.work.deliver();
    }
}

//! The threads that read, each with a connection of its own.

use std::collections::VecDeque;

use rusqlite::{Connection, Statement};

use super::session::{Session, error};
use crate::clock::instant;
use crate::faults::Faults;
use crate::queue::{Queue, Serving};
use crate::stats::Counters;
use crate::work::{Job, Kind};
use crate::{Result, Tx, tx};

/// How many transactions a reader takes at a time when many wait. They share a snapshot, which is younger than all of
/// them, so each sees what was committed before it was asked for.
const SHARE: usize = 16;

/// Serves the queue until it is closed and empty.
pub(super) fn run(conn: &Connection, queue: &Queue, serving: Serving, counters: &Counters) {
    match Reader::new(conn, counters) {
        Ok(mut reader) => {
            let mut jobs = VecDeque::new();
            while queue.take(&mut jobs, SHARE) {
                // One transaction for several reads costs less than the locks of each, even where it is not asked for.
                let shared = jobs.len() > 1;
                for job in jobs.drain(..) {
                    reader.run(job, shared);
                }
                reader.end();
            }
        }
        Err(e) => tracing::error!(error = %e, "a database reader cannot start"),
    }
    drop(serving);
}

struct Reader<'c> {
    conn: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    tx: Tx<'c>,
    counters: &'c Counters,
}

impl<'c> Reader<'c> {
    fn new(conn: &'c Connection, counters: &'c Counters) -> Result<Self> {
        let prepare = |sql| conn.prepare(sql).map_err(|e| error(&e));
        Ok(Self {
            conn,
            begin: prepare("BEGIN")?,
            commit: prepare("COMMIT")?,
            tx: Tx::new(tx::Session::Sqlite(Session::new(conn, Faults::default()))),
            counters,
        })
    }

    fn run(&mut self, mut job: Job, shared: bool) {
        if job.work.is_abandoned() {
            return;
        }
        if (shared || job.kind == Kind::Snapshot)
            && self.conn.is_autocommit()
            && let Err(e) = self.begin.raw_execute()
        {
            job.work.fail(error(&e));
        } else {
            let started = instant();
            job.work.run(&mut self.tx);
            self.counters.ran(started.elapsed(), job.caller);
            Counters::add(&self.counters.reads, 1);
        }
        job.work.deliver();
    }

    fn end(&mut self) {
        if !self.conn.is_autocommit()
            && let Err(e) = self.commit.raw_execute()
        {
            tracing::error!(error = %e, "a read transaction does not end");
        }
    }
}

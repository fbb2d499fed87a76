//! Moving the write-ahead log into the database file, on a thread of its own so that commits need not wait for it.
//!
//! SQLite's own automatic checkpoint swallows errors: after a failed flush of the database file it would try again,
//! be told success by a system that has dropped the pages, and start the log over them. Here the first failure ends
//! writing; the log stays, and the next start copies all of it again.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::sync::mpsc::{Receiver, SyncSender};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::session::{error, injected, is_flush_failure};
use crate::faults::{Fault, FaultPoint, Faults};
use crate::stats::Counters;
use crate::{Error, Result};

/// Pages in the log at which the checkpointer begins (16 MiB).
pub(super) const SOON: u64 = 4096;
/// Pages in the log at which the writer itself catches up (48 MiB).
pub(super) const AT_ONCE: u64 = 3 * SOON;

pub(super) enum Request {
    /// Copy what can be copied without waiting for anybody.
    Passive,
    /// Copy everything and empty the log.
    Complete(oneshot::Sender<Result<()>>),
    /// End the thread.
    Stop,
}

/// The writer's way to ask for a checkpoint.
pub(super) struct Checkpoints {
    sender: SyncSender<Request>,
    pending: Arc<AtomicBool>,
}

impl Checkpoints {
    pub(super) fn new(sender: SyncSender<Request>, pending: Arc<AtomicBool>) -> Self {
        Self { sender, pending }
    }

    pub(super) fn request(&self) {
        if !self.pending.swap(true, AcqRel) {
            // A full channel has requests enough.
            let _ = self.sender.try_send(Request::Passive);
        }
    }
}

pub(super) fn run(
    conn: &Connection,
    requests: &Receiver<Request>,
    pending: &AtomicBool,
    faults: &Faults,
    counters: &Counters,
) {
    while let Ok(request) = requests.recv() {
        match request {
            Request::Passive => {
                passive(conn, faults, counters);
                pending.store(false, Release);
            }
            Request::Complete(reply) => {
                let _ = reply.send(checkpoint(
                    conn,
                    "PRAGMA wal_checkpoint(TRUNCATE)",
                    faults,
                    counters,
                ));
            }
            Request::Stop => return,
        }
    }
}

/// A checkpoint that waits for nobody. Failures are dealt with here.
pub(super) fn passive(conn: &Connection, faults: &Faults, counters: &Counters) {
    match checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)", faults, counters) {
        // Another process is at it.
        Ok(()) | Err(Error::Busy) => {}
        Err(e) => tracing::error!(error = %e, "checkpoint failed"),
    }
}

fn checkpoint(conn: &Connection, sql: &str, faults: &Faults, counters: &Counters) -> Result<()> {
    if counters.is_read_only() {
        return Err(Error::ReadOnly);
    }
    if let Some(fault) = faults.at(FaultPoint::Checkpoint) {
        if fault == Fault::Io {
            give_up_writing(counters);
        }
        return Err(injected(fault));
    }
    let row = conn.query_row(sql, [], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, i64>(2)?,
        ))
    });
    match row {
        Ok((0, log, copied)) => {
            if log == copied {
                // The next commit begins the log again and counts anew.
                counters.wal_pages.store(0, Relaxed);
            }
            Ok(())
        }
        Ok(_) => Err(Error::Busy),
        Err(e) => {
            if is_flush_failure(&e) {
                give_up_writing(counters);
            }
            Err(error(&e))
        }
    }
}

pub(super) fn give_up_writing(counters: &Counters) {
    if !counters.read_only.swap(true, Relaxed) {
        tracing::error!(
            "the database takes no more writes until a restart: its disk failed to keep them"
        );
    }
}

//! Moving the write-ahead log into the database file, on a thread of its own so that commits need not wait for it.
//!
//! SQLite's own automatic checkpoint swallows errors: after a failed flush of the database file it would try again,
//! be told success by a system that has dropped the pages, and start the log over them. Here the first failure ends
//! writing; the log stays, and the next start copies all of it again.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::session::{error, injected, is_flush_failure};
use crate::clock::instant;
use crate::faults::{Fault, FaultPoint, Faults};
use crate::stats::Counters;
use crate::{Error, Result};

/// Pages in the log at which the checkpointer begins (4 MiB).
pub(super) const SOON: u64 = 1024;
/// Pages in the log at which the writer itself catches up (12 MiB), so that the log begins again.
pub(super) const AT_ONCE: u64 = 3 * SOON;
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// How long writing stands still for readers that are in the log.
const READERS_TIMEOUT: Duration = Duration::from_millis(50);
/// How long the writer waits for the checkpointer.
const PENDING_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a checkpoint that somebody waits for is tried.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(5);

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
    pending: Arc<Pending>,
}

/// Whether a checkpoint that the writer asked for is still to be done.
#[derive(Default)]
pub(super) struct Pending(Mutex<bool>, Condvar);

impl Checkpoints {
    pub(super) fn new(sender: SyncSender<Request>, pending: Arc<Pending>) -> Self {
        Self { sender, pending }
    }

    pub(super) fn request(&self) {
        let was_pending = std::mem::replace(&mut *self.pending.lock(), true);
        if !was_pending && self.sender.try_send(Request::Passive).is_err() {
            self.pending.done();
        }
    }

    /// Waits until the checkpoint that was asked for is done, but not for ever.
    pub(super) fn wait(&self) {
        let pending = self.pending.lock();
        drop(
            self.pending
                .1
                .wait_timeout_while(pending, PENDING_TIMEOUT, |pending| *pending),
        );
    }
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self) {
        *self.lock() = false;
        self.1.notify_all();
    }
}

/// The checkpointer's thread.
pub(super) fn run(
    conn: &Connection,
    requests: &Receiver<Request>,
    pending: &Pending,
    faults: &Faults,
    counters: &Counters,
) {
    while let Ok(request) = requests.recv() {
        match request {
            Request::Passive => {
                passive(conn, faults, counters);
                pending.done();
            }
            Request::Complete(reply) => {
                let _ = reply.send(complete(conn, faults, counters));
            }
            Request::Stop => return,
        }
    }
}

/// Copies everything and empties the log. The copying is done beforehand, while others write; they are kept out only
/// for moments.
fn complete(conn: &Connection, faults: &Faults, counters: &Counters) -> Result<()> {
    let deadline = instant() + COMPLETE_TIMEOUT;
    let _ = conn.busy_timeout(READERS_TIMEOUT);
    match checkpoint(conn, PASSIVE, faults, counters) {
        Ok(()) | Err(Error::Busy) => {}
        failed => return failed,
    }
    loop {
        match checkpoint(conn, "PRAGMA wal_checkpoint(TRUNCATE)", faults, counters) {
            // SQLite waits for readers and writers, but not for another checkpoint.
            Err(Error::Busy) if instant() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// A checkpoint that waits for nobody. Failures are dealt with here.
pub(super) fn passive(conn: &Connection, faults: &Faults, counters: &Counters) {
    log(&checkpoint(conn, PASSIVE, faults, counters));
}

/// Copies everything, and waits for those who read the log, so that it can begin again. False: they took too long.
pub(super) fn restart(conn: &Connection, faults: &Faults, counters: &Counters) -> bool {
    let before = conn.query_row("PRAGMA busy_timeout", [], |row| row.get::<_, u32>(0));
    let _ = conn.busy_timeout(READERS_TIMEOUT);
    let result = checkpoint(conn, "PRAGMA wal_checkpoint(RESTART)", faults, counters);
    let _ = conn.busy_timeout(Duration::from_millis(before.unwrap_or(0).into()));
    log(&result);
    result.is_ok()
}

fn log(result: &Result<()>) {
    match result {
        // Readers or another process are in the way.
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
    match conn.query_row(sql, [], |row| row.get::<_, i64>(0)) {
        Ok(0) => Ok(()),
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

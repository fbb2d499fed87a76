//! The embedded engine: one thread that writes, several that read, one that checkpoints.

mod checkpoint;
mod files;
mod reader;
mod session;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, InterruptHandle, OpenFlags};
use tokio::sync::oneshot;

use self::checkpoint::{Checkpoints, Pending, Request};
use self::session::error;
pub(crate) use self::session::{Session, column_bytes, column_i64, column_text};
use crate::dialect::Engine;
use crate::faults::Faults;
use crate::queue::Queue;
use crate::stats::Counters;
use crate::{Error, Result, SqliteOptions, Tx, migrate, tx};

/// After a checkpoint the log file is cut back to this size.
const JOURNAL_SIZE_LIMIT: u64 = 64 << 20;
/// The log file's size from the start: what is written before it begins again, and some more.
const LOG_RESERVE: u64 = 13 << 20;

/// What the handle needs of a running engine.
pub(crate) struct Handle {
    path: PathBuf,
    checkpoints: SyncSender<Request>,
    interrupt: InterruptHandle,
}

/// Opens the file, migrates its schema and starts the threads.
pub(crate) fn open(
    options: &SqliteOptions,
    writes: &Arc<Queue>,
    reads: &Arc<Queue>,
    counters: &Arc<Counters>,
) -> Result<Handle> {
    files::prepare(&options.path, options.network_file_system)?;
    let mut conn = connect(options, true)?;
    migration(&conn, |tx| {
        migrate::apply(tx, Engine::Sqlite, migrate::MIGRATIONS)
    })?;
    // After a crash the log may hold pages that were never flushed. Copying them writes them anew.
    checkpoint::passive(&conn, &Faults::default(), counters);
    reserve_log(&conn, &options.path);
    let pages = counters.clone();
    conn.wal_hook(Some(move |_: &mut _, count: i32| {
        pages
            .wal_pages
            .store(u64::from(count.unsigned_abs()), Relaxed);
        Ok(())
    }))
    .map_err(|e| error(&e))?;

    let (sender, requests) = sync_channel(16);
    let pending = Arc::new(Pending::default());
    let parts = writer::Parts {
        queue: writes.clone(),
        serving: writes.serve(),
        counters: counters.clone(),
        faults: options.faults.clone(),
        checkpoints: Checkpoints::new(sender.clone(), pending.clone()),
    };
    spawn("db-writer", move || writer::run(&conn, parts))?;
    for number in 0..options.readers.max(1) {
        let conn = connect(options, false)?;
        let (queue, serving, counters) = (reads.clone(), reads.serve(), counters.clone());
        spawn(&format!("db-reader-{number}"), move || {
            reader::run(&conn, &queue, serving, &counters);
        })?;
    }
    let conn = connect(options, true)?;
    let interrupt = conn.get_interrupt_handle();
    let (faults, counters) = (options.faults.clone(), counters.clone());
    spawn("db-checkpoint", move || {
        checkpoint::run(&conn, &requests, &pending, &faults, &counters);
    })?;
    Ok(Handle {
        path: options.path.clone(),
        checkpoints: sender,
        interrupt,
    })
}

impl Handle {
    /// Starts a complete checkpoint.
    pub(crate) fn checkpoint(&self) -> Result<oneshot::Receiver<Result<()>>> {
        let (reply, outcome) = oneshot::channel();
        self.checkpoints
            .try_send(Request::Complete(reply))
            .map_err(|e| match e {
                TrySendError::Full(_) => Error::Busy,
                TrySendError::Disconnected(_) => Error::Closed,
            })?;
        Ok(outcome)
    }

    /// Checkpoints until `deadline` at the latest and ends the checkpointer. The other threads have ended.
    pub(crate) fn close(&self, deadline: Instant) -> Result<()> {
        let mut outcome = match self.checkpoint() {
            // Closed already.
            Err(Error::Closed) => return Ok(()),
            other => other?,
        };
        let result = loop {
            match outcome.try_recv() {
                Ok(result) => break result,
                Err(oneshot::error::TryRecvError::Closed) => break Ok(()),
                Err(oneshot::error::TryRecvError::Empty) if crate::clock::instant() >= deadline => {
                    self.interrupt.interrupt();
                    break Err(Error::Busy);
                }
                Err(oneshot::error::TryRecvError::Empty) => {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        };
        let _ = self.checkpoints.try_send(Request::Stop);
        result
    }

    /// Starts a copy of the database to the new file `to`.
    pub(crate) fn backup(&self, to: &Path) -> Result<oneshot::Receiver<Result<()>>> {
        let (reply, outcome) = oneshot::channel();
        let (from, to) = (self.path.clone(), to.to_owned());
        spawn("db-backup", move || {
            let _ = reply.send(files::copy(&from, &to));
        })?;
        Ok(outcome)
    }
}

fn connect(options: &SqliteOptions, writing: bool) -> Result<Connection> {
    let access = if writing {
        OpenFlags::SQLITE_OPEN_READ_WRITE
    } else {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    };
    let open = || -> rusqlite::Result<Connection> {
        let conn =
            Connection::open_with_flags(&options.path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(options.busy_timeout)?;
        // The last connection to close would otherwise checkpoint, without limit of time and after failures.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        let cache = if writing {
            options.writer_cache_kib
        } else {
            options.reader_cache_kib
        };
        conn.execute_batch(&format!(
            "PRAGMA cache_size = -{cache}; PRAGMA trusted_schema = OFF"
        ))?;
        if writing {
            conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
            // Savepoints keep their copies of pages in memory.
            conn.execute_batch(&format!(
                "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
                 PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT}"
            ))?;
            if let Some(pages) = options.max_pages {
                conn.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?;
            }
        }
        Ok(conn)
    };
    open().map_err(|e| match error(&e) {
        Error::Other(text) | Error::Io(text) => {
            Error::Unsuitable(format!("{}: {text}", options.path.display()).into())
        }
        other => other,
    })
}

/// Gives the log its usual size. The lock for writing keeps all others, also in other processes, from lengthening it.
fn reserve_log(conn: &Connection, database: &Path) {
    if conn.execute_batch("BEGIN IMMEDIATE").is_ok() {
        files::lengthen_log(database, LOG_RESERVE);
        let _ = conn.execute_batch("ROLLBACK");
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map(drop)
        .map_err(|e| Error::Unsuitable(format!("no thread for the database: {e}").into()))
}

/// A transaction for migrations, on a connection that no thread has yet.
fn migration<T>(conn: &Connection, run: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
    conn.execute_batch("BEGIN IMMEDIATE")
        .map_err(|e| error(&e))?;
    let mut tx = Tx::new(tx::Session::Sqlite(Session::new(conn, Faults::default())));
    let result = run(&mut tx).and_then(|value| {
        conn.execute_batch("COMMIT").map_err(|e| error(&e))?;
        Ok(value)
    });
    if !conn.is_autocommit() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    result
}

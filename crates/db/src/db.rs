//! The handle that everything above uses.

use std::future::Future;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::clock::instant;
use crate::dialect::Engine;
use crate::queue::Queue;
use crate::stats::Counters;
use crate::work::{Job, Kind, call};
use crate::{Error, PostgresOptions, Result, SqliteOptions, Stats, Tx, postgres, sqlite};

/// A database. Cheap to clone; when the last clone is gone its threads finish what waits and end.
///
/// Closures may run more than once (see the [crate's documentation](crate)). A closure that panics is rolled back and
/// answered with [`Error::Panicked`]. Dropping the future of a write does not stop the transaction once it has been
/// polled.
#[derive(Clone)]
pub struct Db(Arc<Shared>);

struct Shared {
    writes: Arc<Queue>,
    reads: Arc<Queue>,
    counters: Arc<Counters>,
    backend: Backend,
}

enum Backend {
    Sqlite(sqlite::Handle),
    Postgres,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.writes.close();
        self.reads.close();
    }
}

impl Db {
    /// Opens the embedded database and migrates its schema.
    ///
    /// Fails with [`Error::Unsuitable`] for a file that cannot hold one, [`Error::SchemaTooNew`],
    /// [`Error::MigrationChanged`], or [`Error::Busy`] while another process migrates.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "options are made to be handed over"
    )]
    pub fn open_sqlite(options: SqliteOptions) -> Result<Self> {
        let (writes, reads) = (Queue::new(options.queue), Queue::new(options.queue));
        let counters = Arc::new(Counters::default());
        match sqlite::open(&options, &writes, &reads, &counters) {
            Ok(handle) => Ok(Self(Arc::new(Shared {
                writes,
                reads,
                counters,
                backend: Backend::Sqlite(handle),
            }))),
            Err(e) => {
                writes.close();
                reads.close();
                Err(e)
            }
        }
    }

    /// Connects to PostgreSQL and migrates the schema.
    ///
    /// Fails with [`Error::Unavailable`] when the server cannot be reached, [`Error::Unsuitable`] for a database that
    /// is not in UTF-8 or an address that cannot be read, [`Error::SchemaTooNew`] or [`Error::MigrationChanged`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "options are made to be handed over"
    )]
    pub fn open_postgres(options: PostgresOptions) -> Result<Self> {
        let writes = Queue::new(options.queue);
        let reads = match postgres::readers(options.connections) {
            0 => writes.clone(),
            _ => Queue::new(options.queue),
        };
        let counters = Arc::new(Counters::default());
        if let Err(e) = postgres::open(&options, &writes, &reads, &counters) {
            writes.close();
            reads.close();
            return Err(e);
        }
        Ok(Self(Arc::new(Shared {
            writes,
            reads,
            counters,
            backend: Backend::Postgres,
        })))
    }

    /// The engine's name: `sqlite` or `postgres`.
    pub fn engine(&self) -> &'static str {
        match self.0.backend {
            Backend::Sqlite(_) => Engine::Sqlite.name(),
            Backend::Postgres => Engine::Postgres.name(),
        }
    }

    /// Runs a transaction that is durable when this returns: it survives a power failure.
    ///
    /// The closure's own error rolls back and is returned. Otherwise see [`Error`]; in particular after
    /// [`Error::OutcomeUnknown`] and [`Error::Io`] the transaction may turn out to have happened.
    #[track_caller]
    pub fn write<T, E>(
        &self,
        closure: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(Kind::Durable, Location::caller(), closure)
    }

    /// Runs a transaction that is atomic and survives the end of the process, but may be lost when the machine loses
    /// power. (All earlier transactions are then kept or lost with it in order: none is lost that is older than one
    /// that is kept.)
    #[track_caller]
    pub fn write_relaxed<T, E>(
        &self,
        closure: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(Kind::Relaxed, Location::caller(), closure)
    }

    /// Reads from one snapshot, which holds everything that was committed before the call.
    #[track_caller]
    pub fn read<T, E>(
        &self,
        closure: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(Kind::Snapshot, Location::caller(), closure)
    }

    /// As [`Db::read`], but cheaper, for a closure that makes one query: each query sees a snapshot of its own.
    #[track_caller]
    pub fn read_one<T, E>(
        &self,
        closure: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(Kind::Single, Location::caller(), closure)
    }

    /// [`Db::write`] for code that is not async.
    ///
    /// # Panics
    /// When called from async code.
    #[track_caller]
    pub fn write_blocking<T, E>(
        &self,
        closure: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let outcome = self.submit(Kind::Durable, Location::caller(), closure)?;
        outcome
            .blocking_recv()
            .unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// [`Db::read`] for code that is not async.
    ///
    /// # Panics
    /// When called from async code.
    #[track_caller]
    pub fn read_blocking<T, E>(
        &self,
        closure: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let outcome = self.submit(Kind::Snapshot, Location::caller(), closure)?;
        outcome
            .blocking_recv()
            .unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// The time of the database's server, in microseconds since the Unix epoch: what several nodes can agree on whose own
    /// clocks differ. `None` for the embedded database, which has none.
    pub async fn server_time_us(&self) -> Result<Option<i64>> {
        if matches!(self.0.backend, Backend::Sqlite(_)) {
            return Ok(None);
        }
        let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
        self.read(move |tx| tx.query_one(sql, &[], |row| row.get_i64(0)))
            .await
    }

    /// What the database has done and is doing.
    pub fn stats(&self) -> Stats {
        self.0
            .counters
            .snapshot(self.0.writes.len(), self.0.reads.len())
    }

    /// Moves what the write-ahead log holds into the database file and empties the log (PostgreSQL does so itself).
    /// [`Error::Busy`]: readers or another process held on to the log for too long.
    pub async fn checkpoint(&self) -> Result<()> {
        match &self.0.backend {
            Backend::Sqlite(handle) => handle.checkpoint()?.await.unwrap_or(Err(Error::Closed)),
            Backend::Postgres => Ok(()),
        }
    }

    /// Takes no more transactions, finishes those that wait, checkpoints, and ends the threads.
    ///
    /// [`Error::Busy`]: this took longer than `limit`, and goes on in the background. Nothing acknowledged is at risk;
    /// the next start only has more to do.
    pub async fn close(&self, limit: Duration) -> Result<()> {
        let (reply, outcome) = oneshot::channel();
        let (db, deadline) = (self.clone(), instant() + limit);
        std::thread::Builder::new()
            .name("db-close".to_owned())
            .spawn(move || {
                let _ = reply.send(db.close_until(deadline));
            })
            .map_err(|e| Error::other(e.to_string()))?;
        outcome.await.unwrap_or(Err(Error::Closed))
    }

    /// [`Db::close`] for code that is not async.
    pub fn close_blocking(&self, limit: Duration) -> Result<()> {
        self.close_until(instant() + limit)
    }

    /// Writes a consistent copy of the database to the new file `path`, durably, while transactions run. The log grows
    /// meanwhile. [`Error::Unsupported`] for PostgreSQL, which has its own tools.
    pub async fn backup_to(&self, path: &Path) -> Result<()> {
        match &self.0.backend {
            Backend::Sqlite(handle) => handle.backup(path)?.await.unwrap_or(Err(Error::Closed)),
            Backend::Postgres => Err(Error::Unsupported(
                "backup: use pg_dump or your server's backup",
            )),
        }
    }

    fn close_until(&self, deadline: Instant) -> Result<()> {
        self.0.writes.close();
        self.0.reads.close();
        if !self.0.writes.wait_ended(deadline) || !self.0.reads.wait_ended(deadline) {
            return Err(Error::Busy);
        }
        match &self.0.backend {
            Backend::Sqlite(handle) if !self.0.counters.is_read_only() => handle.close(deadline),
            _ => Ok(()),
        }
    }

    async fn run<T, E, F>(
        &self,
        kind: Kind,
        caller: &'static Location<'static>,
        closure: F,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let outcome = self.submit(kind, caller, closure)?;
        outcome.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    fn submit<T, E, F>(
        &self,
        kind: Kind,
        caller: &'static Location<'static>,
        closure: F,
    ) -> Result<oneshot::Receiver<Result<T, E>>>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let writing = matches!(kind, Kind::Durable | Kind::Relaxed);
        if writing && self.0.counters.is_read_only() {
            return Err(Error::ReadOnly);
        }
        let (work, outcome) = call(closure);
        let queue = if writing {
            &self.0.writes
        } else {
            &self.0.reads
        };
        queue.push(Job { kind, caller, work })?;
        Ok(outcome)
    }
}

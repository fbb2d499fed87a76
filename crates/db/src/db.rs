//! The handle that everything above uses.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::{Error, PostgresOptions, Result, SqliteOptions, Tx};

/// A database. Cheap to clone.
#[derive(Clone)]
pub struct Db(#[allow(dead_code)] Arc<()>);

/// Counters since the database was opened, and what is going on now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Write transactions waiting.
    pub write_queue: usize,
    /// Read transactions waiting.
    pub read_queue: usize,
    /// Commits, each of one or more write transactions.
    pub commits: u64,
    /// Write transactions that took effect.
    pub transactions: u64,
    /// Read transactions.
    pub reads: u64,
    /// Write transactions that were rolled back because their closure failed.
    pub rollbacks: u64,
    /// Times that a transaction was repeated because it collided with others.
    pub retries: u64,
    /// Transactions whose closure ran longer than 20 ms.
    pub slow: u64,
    /// Whether writes are refused after a failed commit ([`Error::ReadOnly`]).
    pub read_only: bool,
}

impl Db {
    /// Opens the embedded database and migrates its schema.
    pub fn open_sqlite(_options: SqliteOptions) -> Result<Self> {
        Err(Error::Closed)
    }

    /// Connects to PostgreSQL and migrates the schema.
    pub fn open_postgres(_options: PostgresOptions) -> Result<Self> {
        Err(Error::Closed)
    }

    /// The engine's name: `sqlite` or `postgres`.
    pub fn engine(&self) -> &'static str {
        "sqlite"
    }

    /// Runs a transaction that is durable when this returns.
    pub async fn write<T, E>(
        &self,
        _f: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        std::future::ready(Err(Error::Closed.into())).await
    }

    /// Runs a transaction that is atomic and survives the end of the process, but may be lost when the machine loses
    /// power.
    pub async fn write_relaxed<T, E>(
        &self,
        _f: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        std::future::ready(Err(Error::Closed.into())).await
    }

    /// Reads from one snapshot.
    pub async fn read<T, E>(
        &self,
        _f: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        std::future::ready(Err(Error::Closed.into())).await
    }

    /// As [`Db::read`] but cheaper, for a closure that makes one query: each query sees its own snapshot.
    pub async fn read_one<T, E>(
        &self,
        _f: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        std::future::ready(Err(Error::Closed.into())).await
    }

    /// [`Db::write`] for code that is not async. Panics when called from async code.
    pub fn write_blocking<T, E>(
        &self,
        _f: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        Err(Error::Closed.into())
    }

    /// [`Db::read`] for code that is not async. Panics when called from async code.
    pub fn read_blocking<T, E>(
        &self,
        _f: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        Err(Error::Closed.into())
    }

    /// What the database is doing.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Moves what the write-ahead log holds into the database file (SQLite; nothing to do for PostgreSQL).
    pub async fn checkpoint(&self) -> Result<()> {
        std::future::ready(Err(Error::Closed)).await
    }

    /// Finishes the waiting transactions, checkpoints and closes, within `limit`.
    pub async fn close(&self, _limit: Duration) -> Result<()> {
        std::future::ready(Err(Error::Closed)).await
    }

    /// Writes a consistent copy of the database to a new file while transactions run (SQLite; a PostgreSQL server has
    /// its own tools).
    pub async fn backup_to(&self, _path: &Path) -> Result<()> {
        std::future::ready(Err(Error::Closed)).await
    }
}

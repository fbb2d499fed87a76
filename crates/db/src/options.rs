//! How a database is opened.

use std::path::PathBuf;
use std::time::Duration;

use crate::faults::Faults;

/// How the embedded database is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// The database file; it is made if missing. Its folder must be on a local file system.
    pub path: PathBuf,
    /// How many threads read at a time.
    pub readers: usize,
    /// Page cache of the writer, in KiB.
    pub writer_cache_kib: u32,
    /// Page cache of each reader, in KiB.
    pub reader_cache_kib: u32,
    /// How long a statement waits for a lock that another process holds (a command beside the server).
    pub busy_timeout: Duration,
    /// How many transactions may wait, for writing and for reading each; more get [`Error::Busy`](crate::Error::Busy).
    pub queue: usize,
    /// The most pages of 4 KiB that the file may have; more get [`Error::Full`](crate::Error::Full). `None`: as many
    /// as the disk holds.
    pub max_pages: Option<u32>,
    /// Whether to use network file systems too. Some sandboxes present their local disk as one (9P); on a real one, a
    /// second machine that opens the file destroys it.
    pub network_file_system: bool,
    /// Failures on demand, for tests.
    pub faults: Faults,
}

impl SqliteOptions {
    /// The defaults for the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            readers: 2,
            writer_cache_kib: 4096,
            reader_cache_kib: 2048,
            busy_timeout: Duration::from_secs(5),
            queue: 10_000,
            max_pages: None,
            network_file_system: false,
            faults: Faults::default(),
        }
    }
}

/// How a PostgreSQL database is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host/database` or `host=.. dbname=..` as libpq takes it, with `sslmode`, `sslrootcert`
    /// (or the system's authorities), `sslcert` and `sslkey`. Of several hosts the one that takes writes is used; after a
    /// fail-over the next connection finds the new one.
    pub url: String,
    /// How many connections, each with a thread of its own.
    pub connections: usize,
    /// How many transactions may wait; more get [`Error::Busy`](crate::Error::Busy).
    pub queue: usize,
    /// Whether an older schema is brought up to date, which ends the work of all nodes with an older program; otherwise
    /// [`Error::SchemaTooOld`](crate::Error::SchemaTooOld). A database without a schema gets one in any case.
    pub upgrade: bool,
    /// Failures on demand, for tests.
    pub faults: Faults,
}

impl PostgresOptions {
    /// The defaults for the database at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections: 16,
            queue: 10_000,
            upgrade: true,
            faults: Faults::default(),
        }
    }
}

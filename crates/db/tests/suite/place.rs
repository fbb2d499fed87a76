//! Where a test's database is.

use std::future::Future;
use std::path::PathBuf;

use lazuli_db::faults::Faults;
use lazuli_db::{Db, Error, PostgresOptions, SqliteOptions, Tx, params};
use lazuli_testkit::postgres::Database;

pub(crate) enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(Database),
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) fn postgres() -> Option<Self> {
        Database::create().map(Self::Postgres)
    }

    pub(crate) fn open(&self) -> Db {
        self.try_open(Faults::default(), 1000).unwrap()
    }

    pub(crate) fn open_with(&self, faults: Faults) -> Db {
        self.try_open(faults, 1000).unwrap()
    }

    /// Opens the database; `queue` is how many transactions may wait.
    pub(crate) fn try_open(&self, faults: Faults, queue: usize) -> Result<Db, Error> {
        match self {
            Self::Sqlite(_) => Db::open_sqlite(SqliteOptions {
                queue,
                faults,
                ..SqliteOptions::new(self.path())
            }),
            Self::Postgres(database) => {
                let options = PostgresOptions::new(database.url());
                Db::open_postgres(PostgresOptions {
                    queue,
                    faults,
                    connections: 4,
                    ..options
                })
            }
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// The file of an embedded database.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Sqlite(directory) => directory.path().join("lazuli.db"),
            Self::Postgres(_) => panic!("not a file"),
        }
    }

    /// Runs statements past the program.
    pub(crate) fn raw(&self, sql: &str) {
        match self {
            Self::Sqlite(_) => rusqlite::Connection::open(self.path())
                .unwrap()
                .execute_batch(sql)
                .unwrap(),
            Self::Postgres(database) => drop(database.psql(sql).unwrap()),
        }
    }
}

/// Runs a future on a runtime of its own, with several threads so that callers are at it at the same time.
pub(crate) fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub(crate) fn set(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    )
    .map(drop)
}

pub(crate) fn get(tx: &mut Tx<'_>, name: &str) -> Result<Option<String>, Error> {
    tx.query_one(
        "SELECT value FROM settings WHERE name = ?1",
        params![name],
        |row| row.get_string(0),
    )
}

pub(crate) fn names(tx: &mut Tx<'_>) -> Result<Vec<String>, Error> {
    tx.query(
        "SELECT name FROM settings ORDER BY name",
        params![],
        |row| row.get_string(0),
    )
}

/// What a setting is, read from outside of any transaction of the test.
pub(crate) async fn setting(db: &Db, name: &'static str) -> Option<String> {
    db.read(move |tx| get(tx, name)).await.unwrap()
}

/// A number that tests change; 0 while it was never set.
pub(crate) fn sequence(tx: &mut Tx<'_>, origin: i64) -> Result<i64, Error> {
    let found = tx.query_one(
        "SELECT sequence FROM origins WHERE origin = ?1",
        params![origin],
        |row| row.get_i64(0),
    )?;
    Ok(found.unwrap_or(0))
}

pub(crate) fn set_sequence(tx: &mut Tx<'_>, origin: i64, sequence: i64) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO origins (origin, sequence) VALUES (?1, ?2) \
         ON CONFLICT (origin) DO UPDATE SET sequence = excluded.sequence",
        params![origin, sequence],
    )
    .map(drop)
}

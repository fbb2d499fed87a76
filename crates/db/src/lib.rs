//! One SQL text, two engines: transactions on SQLite (embedded, the default) and PostgreSQL.
//!
//! A transaction is a blocking closure that runs on a database thread:
//!
//! ```no_run
//! # use lazuli_db::{Db, Error, SqliteOptions, params};
//! # async fn example() -> Result<(), Error> {
//! let db = Db::open_sqlite(SqliteOptions::new("/var/lib/lazuli/lazuli.db"))?;
//! db.write(|tx| tx.execute("UPDATE settings SET value = ?2 WHERE name = ?1", params!["greeting", "hello"])).await?;
//! let greeting = db
//!     .read(|tx| tx.query_one("SELECT value FROM settings WHERE name = ?1", params!["greeting"], |row| row.get_string(0)))
//!     .await?;
//! # let _: Option<String> = greeting;
//! # Ok(())
//! # }
//! ```
//!
//! The closure may run more than once (PostgreSQL repeats it when transactions collide, SQLite when another member of
//! its batch used up the disk), so it must have no effects but those on its transaction, and must not wait for anything
//! else. It runs alone in effect: transactions are serializable on both engines.
//!
//! **SQLite** has one thread that writes: it takes all transactions that wait, runs each in a savepoint, and commits and
//! flushes once for all of them; nobody is answered before that. A commit that fails is answered to all of its callers;
//! after a failed flush nothing is written until a restart, because what the disk holds is then unknown. Threads with
//! connections of their own read, and another one moves the write-ahead log into the database file.
//!
//! **PostgreSQL** has a number of threads with a connection each. Transactions that collide are repeated, connections
//! that break are replaced, and when one breaks during a commit the caller learns that the outcome is unknown.

pub mod clock;
mod copy;
mod db;
pub mod dialect;
pub mod dump;
mod error;
pub mod faults;
mod follow;
pub mod hlc;
mod migrate;
mod options;
mod postgres;
mod queue;
mod row;
pub mod settings;
mod settle;
mod sqlite;
mod statements;
mod stats;
mod tx;
mod value;
mod work;

pub use copy::copy_rows;
pub use db::Db;
pub use error::{Error, Result};
pub use follow::{Exceptions, Followed, compare_rows, follow_rows};
pub use options::{PostgresOptions, SqliteOptions};
pub use row::Row;
pub use settle::settle;
pub use stats::Stats;
pub use tx::Tx;
pub use value::Value;

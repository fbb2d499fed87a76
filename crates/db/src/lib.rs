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
//! The closure may run more than once (PostgreSQL repeats it when transactions collide), so it must have no effects but
//! those on its transaction, and must not wait for anything else.

pub mod clock;
mod db;
pub mod dialect;
mod error;
pub mod faults;
pub mod hlc;
mod migrate;
mod options;
mod postgres;
mod queue;
mod row;
mod sqlite;
mod statements;
mod stats;
mod tx;
mod value;
mod work;

pub use db::Db;
pub use error::{Error, Result};
pub use options::{PostgresOptions, SqliteOptions};
pub use row::Row;
pub use stats::Stats;
pub use tx::Tx;
pub use value::Value;

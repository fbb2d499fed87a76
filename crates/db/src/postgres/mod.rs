//! PostgreSQL: threads that each own a connection. The threads are the pool.

mod address;
mod connect;
mod driver;
mod session;
mod tls;
mod turn;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::FromSql;

use self::connect::Connector;
use self::driver::Driver;
use self::session::error;
pub(crate) use self::session::{Session, column_bytes, column_i64, column_text};
use crate::clock::instant;
use crate::dialect::Engine;
use crate::faults::Faults;
use crate::queue::Queue;
use crate::stats::Counters;
use crate::{Error, PostgresOptions, Result, Tx, migrate, tx};

/// Held while the schema is migrated. Any number will do, as long as all nodes use the same.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(5497612085423710)";

/// How often the first connection is tried, should another node's migration break it.
const ATTEMPTS: u32 = 3;
/// How long connections that were told to end may take.
const ENDING: Duration = Duration::from_secs(20);

/// Connects, migrates the schema and starts the threads, which go on until the queues are closed.
///
/// Some threads only read: commits may wait long for the server's disk or its standby, and reads must not wait behind them.
pub(crate) fn open(
    options: &PostgresOptions,
    writes: &Arc<Queue>,
    reads: &Arc<Queue>,
    counters: &Arc<Counters>,
) -> Result<()> {
    let connector = Connector::new(&options.url)?;
    let first = {
        let (connector, upgrade) = (connector.clone(), options.upgrade);
        // The driver has a runtime inside, which cannot run within another; so it gets threads of its own from the start.
        let thread = spawn("db-open", move || prepare(&connector, upgrade))?;
        thread.join().map_err(|_| Error::Panicked)??
    };
    let mut first = Some(first);
    let connections = options.connections.max(1);
    let turn = Arc::new(turn::Turn::default());
    for number in 0..connections {
        let parts = worker::Parts {
            connector: connector.clone(),
            first: first.take(),
            counters: counters.clone(),
            faults: options.faults.clone(),
            turn: turn.clone(),
        };
        let queue = if number < readers(connections) {
            reads
        } else {
            writes
        };
        let (queue, serving) = (queue.clone(), queue.serve());
        spawn(&format!("db-{number}"), move || {
            worker::run(parts, &queue, serving);
        })?;
    }
    Ok(())
}

/// How many of the connections only read. 0: a single one does everything, and both queues are the same.
pub(crate) fn readers(connections: usize) -> usize {
    match connections {
        0 | 1 => 0,
        2 | 3 => 1,
        many => (many / 4).max(2),
    }
}

/// The first connection: looks whether the database will do, and migrates it.
fn prepare(connector: &Connector, upgrade: bool) -> Result<Driver> {
    let mut attempt = 1;
    loop {
        let prepared = check_server(connector)
            .and_then(|driver| migrate(driver, migrate::MIGRATIONS, upgrade))
            .and_then(|()| connector.connect());
        match prepared {
            Err(Error::Unavailable(_)) if attempt < ATTEMPTS => {
                attempt += 1;
                std::thread::sleep(Duration::from_millis(200));
            }
            other => return other,
        }
    }
}

/// Whether the database will do.
fn check_server(connector: &Connector) -> Result<Driver> {
    let mut driver = connector.dial()?;
    let mut show = |name: &str| -> Result<String> {
        let client = driver.client();
        let row = driver
            .run(client.query_one("SELECT current_setting($1)", &[&name]))
            .map_err(|e| error(&e))?;
        row.try_get(0).map_err(|e| error(&e))
    };
    let encoding = show("server_encoding")?;
    if encoding != "UTF8" {
        return Err(Error::Unsuitable(
            format!("the PostgreSQL database is in {encoding}; it must be in UTF8").into(),
        ));
    }
    for (setting, wanted) in [("fsync", "on"), ("full_page_writes", "on")] {
        let value = show(setting)?;
        if value != wanted {
            tracing::warn!(
                setting,
                value,
                "this PostgreSQL server may lose data when its machine loses power"
            );
        }
    }
    Ok(driver)
}

/// Brings the schema up to date, and first ends all connections of other nodes if it is not. New ones wait until this is
/// done ([`connect`]).
fn migrate(mut driver: Driver, migrations: &[migrate::Migration], upgrade: bool) -> Result<()> {
    let known = migrations.last().map_or(0, |last| last.version);
    // The version of a schema that is too old.
    let old = |driver: &mut Driver| -> Result<Option<i64>> {
        let made: bool = one(
            driver,
            "SELECT to_regclass('schema_migrations') IS NOT NULL",
        )?;
        if !made {
            return Ok(None);
        }
        let found: Option<i64> = one(driver, "SELECT MAX(version) FROM schema_migrations")?;
        Ok(Some(found.unwrap_or(0)).filter(|found| *found < known))
    };
    if let Some(found) = old(&mut driver)? {
        if !upgrade {
            return Err(Error::SchemaTooOld { found, known });
        }
        // Held until this connection ends, so in front of the transaction, whose snapshot must see how it was left.
        driver
            .batch(&MIGRATION_LOCK.replace("_xact", ""))
            .map_err(|e| error(&e))?;
        if old(&mut driver)?.is_some() {
            end_others(&mut driver)?;
        }
    }
    let mut session = Session::new(driver, Faults::default());
    // Not SERIALIZABLE: the snapshot must be younger than the lock.
    session.batch("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")?;
    session.batch(MIGRATION_LOCK)?;
    let mut tx = Tx::new(tx::Session::Postgres(Box::new(session)));
    migrate::apply(&mut tx, Engine::Postgres, migrations)?;
    tx.batch("COMMIT")
}

/// Ends the connections of all nodes but those that wait for the migration, and waits until they are gone. One that is at work
/// waits for nothing: its columns are NULL, which no `=` is true or false of.
fn end_others(driver: &mut Driver) -> Result<()> {
    const OTHERS: &str = "FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user \
        AND application_name = current_setting('application_name') AND pid <> pg_backend_pid() \
        AND (wait_event_type, wait_event) IS DISTINCT FROM ('Lock', 'advisory')";
    let deadline = instant() + ENDING;
    loop {
        let ended: i64 = one(
            driver,
            &format!("SELECT COUNT(pg_terminate_backend(pid)) {OTHERS}"),
        )?;
        if ended == 0 {
            return Ok(());
        }
        tracing::info!(connections = ended, "ended before the schema is migrated");
        if instant() > deadline {
            return Err(Error::Busy);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn one<T: for<'a> FromSql<'a>>(driver: &mut Driver, sql: &str) -> Result<T> {
    let client = driver.client();
    let row = driver
        .run(client.query_one(sql, &[]))
        .map_err(|e| error(&e))?;
    row.try_get(0).map_err(|e| error(&e))
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|e| Error::Unsuitable(format!("no thread for the database: {e}").into()))
}

#[cfg(test)]
mod tests;

//! PostgreSQL: threads that each own a connection. The threads are the pool.

mod session;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use postgres::{Client, Config, NoTls};

use self::session::error;
pub(crate) use self::session::{Session, column_bytes, column_i64, column_text};
use crate::dialect::Engine;
use crate::faults::Faults;
use crate::queue::Queue;
use crate::stats::Counters;
use crate::{Error, PostgresOptions, Result, Tx, migrate, tx};

/// Held while the schema is migrated. Any number will do, as long as all nodes use the same.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(5497612085423710)";

/// Connects, migrates the schema and starts the threads, which go on until `queue` is closed.
pub(crate) fn open(
    options: &PostgresOptions,
    queue: &Arc<Queue>,
    counters: &Arc<Counters>,
) -> Result<()> {
    let config = config(&options.url)?;
    let first = {
        let config = config.clone();
        // The driver has a runtime inside, which cannot run within another; so it gets threads of its own from the start.
        let thread = spawn("db-open", move || prepare(&config))?;
        thread.join().map_err(|_| Error::Panicked)??
    };
    let mut first = Some(first);
    for number in 0..options.connections.max(1) {
        let parts = worker::Parts {
            config: config.clone(),
            first: first.take(),
            counters: counters.clone(),
            faults: options.faults.clone(),
        };
        let (queue, serving) = (queue.clone(), queue.serve());
        spawn(&format!("db-{number}"), move || {
            worker::run(parts, &queue, serving);
        })?;
    }
    Ok(())
}

fn config(url: &str) -> Result<Config> {
    // The text may hold a password, so it is not repeated.
    let mut config: Config = url.parse().map_err(|e: postgres::Error| {
        let cause = std::error::Error::source(&e)
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        Error::Unsuitable(format!("the PostgreSQL address cannot be read: {e}{cause}").into())
    })?;
    if config.get_application_name().is_none() {
        config.application_name("lazuli");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    config.tcp_user_timeout(Duration::from_secs(30));
    config
        .notice_callback(|notice| tracing::debug!(message = notice.message(), "PostgreSQL notice"));
    Ok(config)
}

/// The first connection: looks whether the database will do, and migrates it.
fn prepare(config: &Config) -> Result<Client> {
    let mut client = config.connect(NoTls).map_err(|e| unavailable(&e))?;
    let mut show = |name: &str| -> Result<String> {
        let row = client
            .query_one("SELECT current_setting($1)", &[&name])
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
    migrate(client)?;
    connect(config)
}

fn migrate(client: Client) -> Result<()> {
    let mut session = Session::new(client, Faults::default());
    // Not SERIALIZABLE: the snapshot must be younger than the lock.
    session.batch("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")?;
    session.batch(MIGRATION_LOCK)?;
    let mut tx = Tx::new(tx::Session::Postgres(Box::new(session)));
    migrate::apply(&mut tx, Engine::Postgres, migrate::MIGRATIONS)?;
    tx.batch("COMMIT")
}

/// A connection as the threads use it.
fn connect(config: &Config) -> Result<Client> {
    let mut client = config.connect(NoTls).map_err(|e| unavailable(&e))?;
    // Outside of write transactions nothing can be changed. A server may have been set up not to wait for its disk.
    client
        .batch_execute(
            "SET default_transaction_read_only = on;
             SET default_transaction_isolation = 'repeatable read';
             SET idle_in_transaction_session_timeout = '60s';
             SET statement_timeout = '60s';
             SELECT set_config('synchronous_commit', 'on', false)
               WHERE current_setting('synchronous_commit') = 'off'",
        )
        .map_err(|e| error(&e))?;
    Ok(client)
}

fn unavailable(source: &postgres::Error) -> Error {
    match error(source) {
        Error::Other(text) => Error::Unavailable(text),
        other => other,
    }
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

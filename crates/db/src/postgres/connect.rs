//! Connections: how they are made, and what is asked of the server and the schema each time.

use std::time::Duration;

use tokio_postgres::{Config, SimpleQueryMessage};

use super::driver::Driver;
use super::session::error;
use super::tls::Tls;
use super::{MIGRATION_LOCK, address};
use crate::{Error, Result, migrate};

/// Makes connections to the server that an address names.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: Tls,
}

impl Connector {
    pub(super) fn new(address: &str) -> Result<Self> {
        let (mut config, tls) = address::parse(address)?;
        if config.get_application_name().is_none() {
            config.application_name("lazuli");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        // A server that is gone without a word is noticed, whether it owes an answer or not.
        config.tcp_user_timeout(Duration::from_secs(30));
        config.keepalives_idle(Duration::from_secs(10));
        config.keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(4);
        // Files that cannot be used are told at the start.
        let connector = Self { config, tls };
        connector.tls.load().map_err(|e| unusable(&e))?;
        Ok(connector)
    }

    /// A connection as the driver makes it.
    pub(super) fn dial(&self) -> Result<Driver> {
        let tls = self.tls.load().map_err(|e| unusable(&e))?;
        let dialled = Driver::connect(&self.config, tls)
            .map_err(|e| Error::Unsuitable(format!("no runtime for PostgreSQL: {e}").into()))?;
        dialled.map_err(|e| unavailable(&e))
    }

    /// A connection as the threads use it, on a schema that this program knows.
    pub(super) fn connect(&self) -> Result<Driver> {
        let mut driver = self.dial()?;
        check_schema(&mut driver)?;
        // Outside of write transactions nothing can be changed. A server may have been set up not to wait for its disk.
        // Statements that have an index are to use it. Reading a small table whole instead is cheap, but then the transaction
        // depends on all of its rows, and collides with every other that writes one (PostgreSQL manual, 13.2.3). That setting
        // makes statements without one look so dear that the server would compile them, which takes longer than they do.
        driver
            .batch(
                "SET default_transaction_read_only = on;
                 SET default_transaction_isolation = 'repeatable read';
                 SET idle_in_transaction_session_timeout = '60s';
                 SET statement_timeout = '60s';
                 SET lock_timeout = '20s';
                 SET enable_seqscan = off; SET jit = off;
                 SELECT set_config('synchronous_commit', 'on', false)
                   WHERE current_setting('synchronous_commit') = 'off'",
            )
            .map_err(|e| error(&e))?;
        Ok(driver)
    }
}

/// Refuses a schema that a newer program has made meanwhile. While one is at it, this waits for its end: it holds the lock
/// alone, and ended all connections made before ([`super::migrate`]). So no transaction of an older program runs on a newer
/// schema.
fn check_schema(driver: &mut Driver) -> Result<()> {
    let shared = MIGRATION_LOCK.replace("lock(", "lock_shared(");
    let check = format!("BEGIN; {shared}; SELECT MAX(version) FROM schema_migrations; COMMIT");
    let client = driver.client();
    let answers = driver
        .run(client.simple_query(&check))
        .map_err(|e| error(&e))?;
    let found = answers
        .iter()
        .filter_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse::<i64>().ok(),
            _ => None,
        })
        .next_back();
    let known = migrate::newest();
    match found {
        Some(found) if found > known => Err(Error::SchemaTooNew { found, known }),
        _ => Ok(()),
    }
}

fn unusable(source: &std::io::Error) -> Error {
    Error::Unsuitable(format!("TLS to PostgreSQL: {source}").into())
}

fn unavailable(source: &tokio_postgres::Error) -> Error {
    match error(source) {
        Error::Other(text) => Error::Unavailable(text),
        other => other,
    }
}

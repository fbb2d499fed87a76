//! The clocks that processes go by.

use std::sync::Arc;

use lazuli_db::Db;
use lazuli_db::clock::{Clock, SystemClock};

/// The clock of the process.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// The clock of a process that works with this database. Nodes of one PostgreSQL go by its server's time, so that what one of
/// them leases does not end early for another whose own clock is wrong.
pub(crate) async fn clock_of(db: &Db) -> anyhow::Result<Arc<dyn Clock>> {
    let clock = match db.server_time_us().await? {
        Some(now) => SystemClock::at(now),
        None => SystemClock::new(),
    };
    let seconds = clock.wall_ahead_us() / 1_000_000;
    if seconds.abs() > 10 {
        tracing::warn!(
            seconds,
            "this machine's clock is ahead of the database server's (negative: behind), which this process goes by"
        );
    }
    Ok(Arc::new(clock))
}

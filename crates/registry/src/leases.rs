//! Leases: work that one node does at a time, with a fencing token against holders that woke up too late.
//!
//! Expiry goes by each node's wall clock, so two nodes may for a moment both believe that they hold a lease. That is
//! why every transaction done under a lease checks its fence ([`Guard::check`]): the database serializes the check with
//! a takeover, so the former holder's transaction either comes before it or fails. For the same reason a lease that ends later
//! than any holder's could by our clock is taken too: its holder's clock was ahead, or ours was set back, and the work would
//! wait until then.
//!
//! Lease rows are written relaxed: after a power failure an acquisition may be forgotten, but not the one that some
//! other transaction checked, because that came later in the same log.

mod sql;

use std::sync::Arc;
use std::time::Duration;

use lazuli_db::clock::Clock;
use lazuli_db::{Db, Error, Tx};

/// How far the clock of a lease's holder may be ahead of ours.
const AHEAD: Duration = Duration::from_hours(1);

/// Why work under a lease was not done.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else holds the lease now, or did in between.
    #[error("the lease was taken over")]
    Lost,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Error),
}

/// A lease held by this process until it expires, is released or is taken over.
pub struct Lease {
    db: Db,
    clock: Arc<dyn Clock>,
    guard: Guard,
    ttl: Duration,
    expires_at: i64,
}

impl Lease {
    /// Takes the lease if it is free, has expired, or ends more than an hour later than this one would; `None` while somebody
    /// holds it. `holder` must differ between processes. The fence is greater than that of every holder before.
    pub async fn acquire(
        db: &Db,
        clock: &Arc<dyn Clock>,
        name: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<Option<Self>, Error> {
        let now = clock.now_us();
        let (expires_at, latest) = (after(now, ttl), after(now, ttl + AHEAD));
        let (name, holder): (Arc<str>, Arc<str>) = (name.into(), holder.into());
        let key = (Arc::clone(&name), Arc::clone(&holder));
        let fence = db
            .write_relaxed(move |tx| sql::acquire(tx, &key.0, &key.1, now, expires_at, latest))
            .await?;
        Ok(fence.map(|fence| Self {
            db: db.clone(),
            clock: Arc::clone(clock),
            guard: Guard {
                name,
                holder,
                fence,
            },
            ttl,
            expires_at,
        }))
    }

    /// Ends a lease that an earlier process held when it was killed. Only for a process that knows that it is alone.
    pub async fn take_back(db: &Db, name: &'static str) -> Result<(), Error> {
        db.write_relaxed(move |tx| sql::expire(tx, name)).await
    }

    /// Extends the lease by its time to live from now. Works on an expired lease too, as long as nobody took it.
    pub async fn renew(&mut self) -> Result<(), LeaseError> {
        let (guard, expires_at) = (self.guard.clone(), after(self.clock.now_us(), self.ttl));
        self.db
            .write_relaxed(move |tx| guard.set_expiry(tx, expires_at))
            .await?;
        self.expires_at = expires_at;
        Ok(())
    }

    /// Gives the lease back, so that others need not wait for its end. A lease that was lost is not an error.
    pub async fn release(self) -> Result<(), Error> {
        let guard = self.guard;
        match self
            .db
            .write_relaxed(move |tx| guard.set_expiry(tx, 0))
            .await
        {
            Ok(()) | Err(LeaseError::Lost) => Ok(()),
            Err(LeaseError::Database(error)) => Err(error),
        }
    }

    /// Time until others may take the lease; zero when it has expired.
    pub fn remaining(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.expires_at - self.clock.now_us()).unwrap_or(0))
    }

    /// The fencing token.
    pub fn fence(&self) -> i64 {
        self.guard.fence
    }

    /// The check to be made in every transaction done under this lease.
    pub fn guard(&self) -> Guard {
        self.guard.clone()
    }
}

/// Proof of a lease, to be checked inside transactions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard {
    name: Arc<str>,
    holder: Arc<str>,
    fence: i64,
}

impl Guard {
    /// Fails with [`LeaseError::Lost`] if somebody took the lease over.
    pub fn check(&self, tx: &mut Tx<'_>) -> Result<(), LeaseError> {
        if sql::is_held(tx, &self.name, &self.holder, self.fence)? {
            Ok(())
        } else {
            Err(LeaseError::Lost)
        }
    }

    fn set_expiry(&self, tx: &mut Tx<'_>, expires_at: i64) -> Result<(), LeaseError> {
        let held = sql::set_expiry(tx, &self.name, &self.holder, self.fence, expires_at)?;
        if held { Ok(()) } else { Err(LeaseError::Lost) }
    }
}

fn after(now: i64, ttl: Duration) -> i64 {
    now.saturating_add(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX))
}

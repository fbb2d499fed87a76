//! The generation of everything that says who may do what.

use std::sync::atomic::{AtomicI64, Ordering};

use lazuli_db::{Result, Tx, params};

use crate::error::Error;
use crate::identity::Identity;
use crate::states::STALE_AFTER;

/// Notes, in the transaction that makes it, a change of who may do what or who somebody is: roles, assignments, groups, scope
/// maps, tokens, objects of the directory and what they sign in with, trusted issuers, settings of a registry that decide about
/// access. Call [`Identity::policy_changed`] after the commit.
pub fn bump(tx: &mut Tx<'_>) -> Result<()> {
    tx.execute(
        "INSERT INTO policy (name, generation) VALUES ('policy', 1)
         ON CONFLICT (name) DO UPDATE SET generation = policy.generation + 1",
        params![],
    )
    .map(drop)
}

/// The generation that is stored; 0 before the first change.
pub fn generation(tx: &mut Tx<'_>) -> Result<i64> {
    let generation = tx.query_one(
        "SELECT generation FROM policy WHERE name = 'policy'",
        params![],
        |row| row.get_i64(0),
    )?;
    Ok(generation.unwrap_or(0))
}

/// The newest generation this process knows of.
pub(crate) struct Known {
    generation: AtomicI64,
    /// Microseconds.
    read_at: AtomicI64,
}

impl Known {
    pub(crate) const fn new() -> Self {
        Self {
            generation: AtomicI64::new(0),
            read_at: AtomicI64::new(i64::MIN),
        }
    }

    pub(crate) fn get(&self) -> i64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Notes a generation that was read at a time (microseconds, taken before). Never goes back.
    pub(crate) fn note(&self, generation: i64, read_at: i64) {
        self.generation.fetch_max(generation, Ordering::AcqRel);
        self.read_at.fetch_max(read_at, Ordering::AcqRel);
    }

    /// Whether it was read so lately that it is relied on.
    pub(crate) fn is_fresh(&self, now: i64) -> bool {
        now.saturating_sub(self.read_at.load(Ordering::Acquire)) < STALE_AFTER
    }
}

impl Identity {
    /// Makes a committed change of who may do what hold in this process at once. Other processes notice it within ten seconds.
    pub async fn policy_changed(&self) -> std::result::Result<(), Error> {
        self.read_policy().await?;
        self.inner().states.expire();
        match self.inner().directory.reload().await {
            Ok(_) | Err(Error::NoDirectory) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The generation, read within the last ten seconds.
    pub(crate) async fn policy(&self) -> std::result::Result<i64, Error> {
        let inner = self.inner();
        if !inner.states.policy.is_fresh(inner.clock.now_us()) {
            self.read_policy().await?;
        }
        Ok(inner.states.policy.get())
    }

    async fn read_policy(&self) -> std::result::Result<(), Error> {
        let inner = self.inner();
        let now = inner.clock.now_us();
        let generation = inner.db.read(generation).await?;
        inner.states.policy.note(generation, now);
        Ok(())
    }
}

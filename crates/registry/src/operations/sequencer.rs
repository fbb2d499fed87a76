//! Numbering: gives committed operations their sequence numbers, gapless for each origin.
//!
//! Writers insert operations without a number, so they never queue on a counter. One worker at a time, the holder of a
//! lease, numbers what has been committed, in order of clock and identifier, a batch in each transaction. An operation
//! that built on another sees a higher clock ([`super::append`]) and commits later; as a batch is read in one
//! snapshot, it is numbered later too.
//!
//! The transaction is durable: a reader acts on numbers (a replica stores them), so a number that was seen must never
//! be given again after a power failure. Waiting a few milliseconds before each round lets a burst of pushes share
//! one, and under load it shares its commit with the writers anyway.

use std::sync::Arc;
use std::time::Duration;

use lazuli_db::Error;

use super::{Log, sql};
use crate::leases::{Lease, LeaseError};

/// How the sequencer works.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most operations numbered in one transaction: bounds how long other writers wait.
    pub batch: u32,
    /// How long to collect operations after the first.
    pub delay: Duration,
    /// How often to look for operations of other nodes, or of a crashed one.
    pub poll: Duration,
    /// How long the lease is held without renewal.
    pub lease: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch: 256,
            delay: Duration::from_millis(5),
            poll: Duration::from_secs(1),
            lease: Duration::from_secs(10),
        }
    }
}

/// Numbers the operations of one log. Any number of them may run; the lease lets one work.
pub struct Sequencer {
    log: Arc<Log>,
    holder: Arc<str>,
    options: Options,
    lease: Option<Lease>,
}

impl Sequencer {
    /// A sequencer that holds its lease as `holder`: a name no other process has.
    pub fn new(log: &Arc<Log>, holder: &str, options: Options) -> Self {
        Self {
            log: Arc::clone(log),
            holder: holder.into(),
            options,
            lease: None,
        }
    }

    /// Works until the future is dropped. Errors are logged and retried after the poll interval.
    pub async fn run(mut self) {
        loop {
            let woken = tokio::time::timeout(self.options.poll, self.log.committed.notified())
                .await
                .is_ok();
            if woken {
                tokio::time::sleep(self.options.delay).await;
            }
            if let Err(error) = self.drain().await {
                tracing::warn!(%error, "operations could not be numbered; trying again");
                tokio::time::sleep(self.options.poll).await;
            }
        }
    }

    /// Numbers everything committed so far, if this sequencer has the lease or can get it. Returns how many it numbered.
    pub async fn drain(&mut self) -> Result<u64, Error> {
        let mut total = 0;
        while self.pending().await? {
            match self.step().await {
                Ok(0) => break,
                Ok(count) => total += count,
                Err(LeaseError::Lost) => self.lease = None,
                Err(LeaseError::Database(error)) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Looks before it writes, so that an idle server does not.
    async fn pending(&self) -> Result<bool, Error> {
        let origin = self.log.origin;
        self.log
            .db
            .read(move |tx| sql::has_unnumbered(tx, origin))
            .await
    }

    /// Numbers one batch. 0: another sequencer holds the lease.
    async fn step(&mut self) -> Result<u64, LeaseError> {
        let Some(lease) = self.hold().await? else {
            return Ok(0);
        };
        let (guard, origin, batch) = (lease.guard(), self.log.origin, self.options.batch);
        let count = self
            .log
            .db
            .write(move |tx| {
                guard.check(tx)?;
                Ok::<_, LeaseError>(sql::number(tx, origin, batch)?)
            })
            .await?;
        if count > 0 {
            self.log.numbered.notify_waiters();
        }
        Ok(count)
    }

    /// The lease, renewed when half of it is over.
    async fn hold(&mut self) -> Result<Option<&Lease>, LeaseError> {
        if let Some(lease) = &mut self.lease
            && lease.remaining() < self.options.lease / 2
        {
            match lease.renew().await {
                Ok(()) => {}
                Err(LeaseError::Lost) => self.lease = None,
                Err(error) => return Err(error),
            }
        }
        if self.lease.is_none() {
            let name = format!("sequencer/{}", self.log.origin);
            let (db, clock) = (&self.log.db, &self.log.clock);
            self.lease = Lease::acquire(db, clock, &name, &self.holder, self.options.lease).await?;
        }
        Ok(self.lease.as_ref())
    }
}

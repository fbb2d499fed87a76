//! What a move holds while it is at work: the right to be the only one, and garbage collection's, so that nothing vanishes that
//! was about to be copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use lazuli_db::Db;
use lazuli_db::clock::Clock;
use lazuli_registry::gc;
use lazuli_registry::leases::{Lease, LeaseError};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::say;

/// The name of the lease.
const MIGRATE: &str = "migrate";
const TTL: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(3);
/// How often garbage collection's is tried for while a pass has it, and how long that is waited for.
const TRY_AGAIN: Duration = Duration::from_millis(500);
const COLLECTING: Duration = Duration::from_mins(2);

pub(super) struct Holding {
    /// Which run this is.
    pub(super) holder: String,
    is_lost: Arc<AtomicBool>,
    /// Whether no garbage is collected.
    is_quiet: watch::Receiver<bool>,
    keeper: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Holding {
    /// Waits for a run that was killed a moment ago.
    pub(super) async fn begin(db: &Db, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let random = getrandom::u64().context("the system gave no random bytes")?;
        let holder = format!("{random:016x}");
        let Some(lease) = wait_for(db, clock, MIGRATE, &holder, TTL + RENEW).await? else {
            bail!("another `lazuli migrate` is at work on this registry");
        };
        let is_lost = Arc::new(AtomicBool::new(false));
        let (quiet, is_quiet) = watch::channel(false);
        let keeper = Keeper {
            lease: Some(lease),
            collecting: None,
            is_lost: is_lost.clone(),
            quiet,
            holder: holder.clone(),
            db: db.clone(),
            clock: clock.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        Ok(Self {
            holder,
            is_lost,
            is_quiet,
            keeper: tokio::spawn(keeper.run(stopped)),
            stop,
        })
    }

    /// Refuses to go on when another run has begun meanwhile.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.is_lost.load(Ordering::Acquire) {
            bail!("another `lazuli migrate` has taken over; this one ends");
        }
        Ok(())
    }

    /// Waits for the end of a pass of garbage collection. One that takes too long goes on beside.
    pub(super) async fn wait_until_quiet(&mut self) -> anyhow::Result<()> {
        if *self.is_quiet.borrow() {
            return Ok(());
        }
        say("waiting for the end of a pass of garbage collection")?;
        let quiet = self.is_quiet.wait_for(|is_quiet| *is_quiet);
        // The sender is gone when another run has taken over, which is looked at elsewhere.
        let _ = tokio::time::timeout(COLLECTING, quiet).await;
        Ok(())
    }

    /// Gives back what is held, so that nobody has to wait for its end.
    pub(super) async fn end(self) {
        let _ = self.stop.send(());
        let _ = self.keeper.await;
    }
}

async fn wait_for(
    db: &Db,
    clock: &Arc<dyn Clock>,
    name: &str,
    holder: &str,
    longest: Duration,
) -> anyhow::Result<Option<Lease>> {
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(lease) = Lease::acquire(db, clock, name, holder, TTL).await? {
            return Ok(Some(lease));
        }
        if begun.elapsed() > longest {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Renews until it is told to end.
struct Keeper {
    lease: Option<Lease>,
    collecting: Option<Lease>,
    is_lost: Arc<AtomicBool>,
    quiet: watch::Sender<bool>,
    holder: String,
    db: Db,
    clock: Arc<dyn Clock>,
}

impl Keeper {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            if let Some(lease) = &mut self.lease
                && let Err(LeaseError::Lost) = lease.renew().await
            {
                self.is_lost.store(true, Ordering::Release);
                return;
            }
            self.collect_nothing().await;
            let is_quiet = self.collecting.is_some();
            self.quiet.send_replace(is_quiet);
            let rest = if is_quiet { RENEW } else { TRY_AGAIN };
            if tokio::time::timeout(rest, &mut stopped).await.is_ok() {
                break;
            }
        }
        for lease in [self.collecting, self.lease].into_iter().flatten() {
            let _ = lease.release().await;
        }
    }

    /// A pass that is under way ends first. Without this the move is right too: what garbage collection took is seen by the
    /// next pass.
    async fn collect_nothing(&mut self) {
        if let Some(lease) = &mut self.collecting {
            match lease.renew().await {
                Err(LeaseError::Lost) => self.collecting = None,
                Ok(()) | Err(LeaseError::Database(_)) => return,
            }
        }
        let taken = Lease::acquire(&self.db, &self.clock, gc::LEASE, &self.holder, TTL);
        self.collecting = taken.await.ok().flatten();
    }
}

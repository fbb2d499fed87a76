//! Taking up passes and handing them back.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use lazuli_blobs::BlobEntry;
use lazuli_wire::oci::Digest;

use super::order::{Cursor, SLICES};
use super::pacing::Pacing;
use super::scan::{Scan, scan};
use super::work::Work;
use super::{Halt, Inner, LEASE, Pass, sql};
use crate::Result;
use crate::leases::Lease;

/// What is due waits until so much has come together, unless the pass is short.
const GATHER: Duration = Duration::from_mins(1);
/// How long an item that the store did not give waits first; each time twice as long.
const RETRY: Duration = Duration::from_mins(1);
/// Then it is left out of this pass.
const TRIES: u32 = 6;

/// What one process knows between two steps.
pub(super) struct Worker {
    pub(super) pacing: Pacing,
    work: Option<Work>,
    /// A pass and how far nothing is left to do in it, not written down.
    seen: Option<(i64, Cursor)>,
    /// What the store did not give, how often, and until when it is left alone.
    pub(super) stuck: Option<(Cursor, u32)>,
    /// A pass and how much of it was due when it was last looked at.
    looked: Option<(i64, f64)>,
    rest_until: Duration,
    /// Files that no row knew when they were listed, by the monotonic clock.
    pub(super) orphans: Option<(Duration, Vec<BlobEntry>)>,
}

impl Worker {
    pub(super) fn new(rate: u64) -> Self {
        Self {
            pacing: Pacing::new(rate),
            work: None,
            seen: None,
            stuck: None,
            looked: None,
            rest_until: Duration::ZERO,
            orphans: None,
        }
    }

    pub(super) async fn step(&mut self, inner: &Inner) -> Result<Duration> {
        let now = inner.registry.inner.clock.monotonic();
        let wait = self
            .pacing
            .wait(now)
            .max(self.rest_until.saturating_sub(now));
        if !wait.is_zero() {
            return Ok(wait);
        }
        let mut work = match self.work.take() {
            Some(work) => work,
            None => match self.begin(inner).await {
                Ok(Some(work)) => work,
                Ok(None) | Err(Halt::Lost) => return Ok(inner.options.poll),
                Err(Halt::Away(error)) => return Err(error.into()),
                Err(Halt::Failed(error)) => return Err(error),
            },
        };
        match work.portion(self, inner).await {
            Ok(true) => {
                self.work = Some(work);
                Ok(self.pacing.wait(inner.registry.inner.clock.monotonic()))
            }
            Ok(false) => {
                work.hand_back(inner).await?;
                Ok(inner.options.poll)
            }
            Err(Halt::Lost) => Ok(inner.options.poll),
            Err(Halt::Away(error)) => {
                inner.counters.unavailable.fetch_add(1, Relaxed);
                let wait = self.stall(&mut work, &error);
                work.hand_back(inner).await?;
                self.rest_until = now + wait;
                Ok(wait)
            }
            // What was under way begins again from where the pass was written down.
            Err(Halt::Failed(error)) => {
                let _ = work.hand_back(inner).await;
                Err(error)
            }
        }
    }

    pub(super) async fn close(&mut self, inner: &Inner) -> Result<()> {
        match self.work.take() {
            Some(work) => work.hand_back(inner).await,
            None => Ok(()),
        }
    }

    /// The store did not give an item: it waits, and at last is left out. Returns how long to wait.
    fn stall(&mut self, work: &mut Work, error: &lazuli_blobs::Error) -> Duration {
        let Some(at) = work.next_place() else {
            return RETRY;
        };
        let tries = match self.stuck.take() {
            Some((stuck, tries)) if stuck == at => tries + 1,
            _ => 1,
        };
        if tries < TRIES {
            tracing::warn!(%error, tries, "the store did not give a blob that is to be verified; trying again later");
            self.stuck = Some((at, tries));
            return RETRY * 2_u32.pow(tries - 1);
        }
        let digest = Digest::from_bytes(&at.digest).map_or_else(String::new, |d| d.to_string());
        tracing::error!(%error, digest, "a blob could not be looked at again and again; the next pass will");
        work.pass.skipped += 1;
        work.pass
            .find(&format!("blob {digest}: could not be looked at: {error}"));
        work.come_past();
        Duration::ZERO
    }

    /// Takes up a pass if there is something to do in it.
    async fn begin(&mut self, inner: &Inner) -> Result<Option<Work>, Halt> {
        let (now, time) = (inner.registry.now(), inner.options.pass_time());
        let db = &inner.registry.inner.db;
        let (is_held, request, open, last) = db
            .read(move |tx| {
                Ok::<_, lazuli_db::Error>((
                    crate::gc::sql::is_lease_held(tx, LEASE, now)?,
                    sql::request(tx)?.is_some(),
                    sql::open_pass(tx)?,
                    sql::last_pass(tx)?,
                ))
            })
            .await?;
        inner.counters.see(open.as_ref(), last.as_ref(), now, time);
        if is_held {
            return Ok(None);
        }
        let enabled = inner.options.enabled;
        let open = open.filter(|pass| enabled || pass.is_asked_for);
        let Some(mut pass) = open.filter(|_| !request) else {
            let is_due = |last: &Pass| {
                !last.is_complete()
                    || last.is_asked_for
                    || !(last.started_at..last.started_at.saturating_add(super::micros(time)))
                        .contains(&now)
            };
            if request || (enabled && last.as_ref().is_none_or(is_due)) {
                return self.begin_pass(inner, request).await;
            }
            return Ok(None);
        };
        let is_moved = pass.begin_in_the_past(now, time);
        let from = match self.seen.take() {
            Some((id, cursor)) if id == pass.id && cursor >= pass.cursor => cursor,
            _ => pass.cursor.clone(),
        };
        let due = pass.due(now, time);
        if self.is_too_early(&pass, due, time) {
            self.seen = Some((pass.id, from));
            return Ok(None);
        }
        self.looked = Some((pass.id, due));
        let (cursor, scan) = scan(inner, from, due).await?;
        if matches!(scan, Scan::NotDue) && cursor.slice == pass.cursor.slice && !is_moved {
            self.seen = Some((pass.id, cursor));
            return Ok(None);
        }
        let Some(lease) = acquire(inner).await? else {
            return Ok(None);
        };
        // Somebody else may have gone on in between.
        let latest = db.read(sql::open_pass).await?;
        if latest.is_none_or(|latest| latest.id != pass.id || latest.cursor != pass.cursor) {
            lease.release().await?;
            return Ok(None);
        }
        pass.cursor = cursor;
        let mut work = Work::new(inner, lease, pass);
        if let Scan::Items(batch) = scan {
            work.batch = batch;
        }
        Ok(Some(work))
    }

    /// Whether hardly anything came together since the pass was last looked at.
    fn is_too_early(&self, pass: &Pass, due: f64, time: Duration) -> bool {
        let gather = GATHER.min(time / SLICES as u32).as_secs_f64() / time.as_secs_f64();
        match self.looked {
            Some((id, last)) if id == pass.id && due < 1.0 => due - last < gather,
            _ => false,
        }
    }

    async fn begin_pass(
        &mut self,
        inner: &Inner,
        is_asked_for: bool,
    ) -> Result<Option<Work>, Halt> {
        let Some(lease) = acquire(inner).await? else {
            return Ok(None);
        };
        let id = inner.registry.inner.log.unique_number();
        let pass = Pass::new(id, inner.registry.now(), is_asked_for);
        let (guard, new) = (lease.guard(), pass.clone());
        let has_begun = inner
            .registry
            .inner
            .db
            .write_relaxed(move |tx| {
                guard.check(tx)?;
                // Another node may just have begun it.
                if is_asked_for != sql::request(tx)?.is_some()
                    || (!is_asked_for && sql::open_pass(tx)?.is_some())
                {
                    return Ok(false);
                }
                sql::begin(tx, &new)?;
                Ok::<_, crate::leases::LeaseError>(true)
            })
            .await?;
        if !has_begun {
            lease.release().await?;
            return Ok(None);
        }
        Ok(Some(Work::new(inner, lease, pass)))
    }
}

async fn acquire(inner: &Inner) -> Result<Option<Lease>, Halt> {
    let registry = &inner.registry.inner;
    let ttl = inner.options.lease;
    Ok(Lease::acquire(&registry.db, &registry.clock, LEASE, &inner.holder, ttl).await?)
}

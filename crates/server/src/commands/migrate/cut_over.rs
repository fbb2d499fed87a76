//! The end of a move: writes pause, the last differences come, both sides are compared, the old place closes for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::bail;
use lazuli_db::clock::Clock;
use lazuli_db::{Db, settle};
use lazuli_registry::transfer::closed::{self, Closed};
use lazuli_registry::transfer::{arrival, has_unnumbered};
use tokio::time::Instant;

use super::holding::Holding;
use super::{Run, line, say};
use crate::wire_up;

/// How long a pause lasts that nobody prolongs.
const UNATTENDED: Duration = Duration::from_secs(15);
const PROLONG: Duration = Duration::from_secs(4);
/// How long transactions that began before the pause are waited for, and the numbering of operations.
const SETTLING: Duration = Duration::from_secs(30);
const NUMBERING: Duration = Duration::from_secs(3);
/// How often writes are paused at most.
const ATTEMPTS: u32 = 5;
/// How often both sides are compared in one pause.
const COMPARISONS: u32 = 3;

pub(super) struct CutOver<'a> {
    pub(super) run: &'a mut Run,
    pub(super) holding: &'a mut Holding,
}

/// How a pause ended.
enum End {
    /// The old place is closed for good.
    Closed,
    /// Not everything could be brought in time; writes go on.
    TooLong,
    /// Both sides are not the same yet.
    NotYet(String),
    /// Somebody wrote: the pause had ended without us, or was taken away.
    Interrupted,
}

impl CutOver<'_> {
    /// How long writes were paused before the old place was closed for good. `is_closed`: an earlier run closed it.
    pub(super) async fn hand_over(mut self, is_closed: bool) -> anyhow::Result<Option<Duration>> {
        let mut pause = None;
        if is_closed {
            // Nobody writes: what an earlier run left is brought.
            self.bring_all().await?;
        } else {
            pause = Some(self.close().await?);
        }
        let now = wire_up::clock_of(&self.run.places.target).await?.now_us();
        let lease = i64::try_from(self.run.places.lease.as_micros()).unwrap_or(i64::MAX);
        arrival::finish(&self.run.places.target, now.saturating_add(lease)).await?;
        Ok(pause)
    }

    async fn bring_all(&mut self) -> anyhow::Result<()> {
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            self.holding.wait_until_quiet().await?;
            self.holding.check()?;
            match self.bring_the_rest().await? {
                None => return Ok(()),
                Some(why) => reason = why,
            }
        }
        bail!("the move could not be completed: {reason}; nothing is lost, run it again")
    }

    async fn close(&mut self) -> anyhow::Result<Duration> {
        for _ in 0..ATTEMPTS {
            self.holding.wait_until_quiet().await?;
            self.holding.check()?;
            let begun = Instant::now();
            let (end, took) = (self.pause().await?, begun.elapsed());
            match end {
                End::Closed => return Ok(took),
                End::TooLong => say(&format!(
                    "writes go on: the pause got longer than {} s (--longest-pause)",
                    self.run.longest_pause.as_secs()
                ))?,
                End::NotYet(why) => say(&format!("writes go on: {why}"))?,
                End::Interrupted => say("writes go on: the pause was ended by somebody else")?,
            }
            self.run.follow(self.holding).await?;
        }
        bail!(
            "the move could not be completed in {ATTEMPTS} pauses; writes go on here, and nothing is lost"
        )
    }

    async fn pause(&mut self) -> anyhow::Result<End> {
        let db = self.run.places.source.clone();
        let closed = Closed {
            holder: self.holding.holder.clone(),
            until: Some(after(&self.run.places.clock, UNATTENDED)),
            to: self.run.places.name.clone(),
        };
        let clock = self.run.places.clock.clone();
        if !closed::close(&db, &closed, clock.now_us()).await? {
            bail!("another move has paused this registry");
        }
        let is_lost = Arc::new(AtomicBool::new(false));
        let prolonging = tokio::spawn(prolong(
            (db.clone(), clock.clone()),
            closed.holder.clone(),
            is_lost.clone(),
        ));
        let brought = tokio::time::timeout(self.run.longest_pause, self.bring_the_rest()).await;
        prolonging.abort();
        let _ = prolonging.await;
        let end = match brought {
            Err(_) => End::TooLong,
            Ok(Err(error)) => {
                let _ = closed::open(&db, Some(&closed.holder)).await;
                return Err(error.context("writes go on here"));
            }
            Ok(Ok(Some(why))) => End::NotYet(why),
            // Only if the row stood there all the time, whatever the clocks say.
            Ok(Ok(None)) if is_lost.load(Ordering::Acquire) => End::Interrupted,
            Ok(Ok(None)) if closed::prolong(&db, &clock, &closed.holder, None).await? => {
                End::Closed
            }
            Ok(Ok(None)) => End::Interrupted,
        };
        if !matches!(end, End::Closed) {
            closed::open(&db, Some(&closed.holder)).await?;
        }
        Ok(end)
    }

    /// Nobody writes: brings what is left, until both sides are the same; else says why they are not yet.
    async fn bring_the_rest(&mut self) -> anyhow::Result<Option<String>> {
        let source = &self.run.places.source;
        if !settle(source, SETTLING).await? {
            return Ok(Some(format!(
                "a transaction on the database goes on for longer than {} s",
                SETTLING.as_secs()
            )));
        }
        // A server that runs numbers them at once; else the next one does.
        let begun = Instant::now();
        while begun.elapsed() < NUMBERING && has_unnumbered(source).await? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut different = Vec::new();
        for _ in 0..COMPARISONS {
            let pass = self.run.pass().await?;
            self.run.refuse_holes(&pass.missing)?;
            if self.run.verify().await? {
                continue;
            }
            let shown = self.run.shown.clone();
            let checked = self.run.follower.compare(move |progress| {
                shown.tell(|| format!("comparing {}", line(progress)));
            });
            let checked = checked.await?;
            different = checked.different;
            if different.is_empty() {
                say(&format!(
                    "compared: {} rows are the same on both sides",
                    checked.rows
                ))?;
                return Ok(None);
            }
        }
        Ok(Some(format!("the new place differs: {different:?}")))
    }
}

fn after(clock: &Arc<dyn Clock>, time: Duration) -> i64 {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    clock.now_us().saturating_add(micros)
}

/// Keeps the pause from ending by itself. What it could not prolong ends it.
async fn prolong((db, clock): (Db, Arc<dyn Clock>), holder: String, is_lost: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(PROLONG).await;
        let until = Some(after(&clock, UNATTENDED));
        if let Ok(false) = closed::prolong(&db, &clock, &holder, until).await {
            is_lost.store(true, Ordering::Release);
            return;
        }
    }
}

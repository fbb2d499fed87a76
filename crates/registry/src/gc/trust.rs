//! Whether the leases in the database are all that were given.
//!
//! A digest affirmed by `HEAD` is leased in a transaction that does not wait for the disk, because reads must stay
//! cheap. It survives the end of the process, but when the machine fails the last of them may be lost. So after the
//! machine was started anew, unless the process before said that it had ended in order, nothing is collected until
//! every lease that may have been lost would have ended. The row also carries that time over to processes that start
//! meanwhile.
//!
//! A clock that was set while no process looked would end leases early, too. So the time is noted now and then, and when the
//! next process finds that it went back, or on by more than a part of a lease, it waits as well. (While a process runs its
//! time does not follow the wall clock.)
//!
//! On PostgreSQL leases are durable: its server may crash, or a standby take its place, while a node is at work.

use super::{micros, sql};
use crate::{Registry, Result};

/// A shorter absence of the server is never taken for a clock that was set, in microseconds.
const SHORT_ABSENCE: i64 = 60_000_000;

/// Why leases may be missing for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuietBecause {
    /// The machine went down, and the last of them with it.
    MachineWentDown,
    /// The clock was set, by which they end.
    ClockWasSet,
    /// The registry was moved here: what was affirmed elsewhere until then is not known.
    Moved,
}

impl QuietBecause {
    const ALL: [(Self, &'static str); 3] = [
        (Self::MachineWentDown, "down"),
        (Self::ClockWasSet, "clock"),
        (Self::Moved, "moved"),
    ];

    fn as_str(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == self);
        found.map_or("down", |(_, word)| word)
    }

    fn parse(word: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, known)| *known == word);
        found.map(|(reason, _)| reason)
    }
}

/// What the row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trust {
    /// The start of the machine, or of the database server, that the last process saw.
    pub(super) boot: String,
    /// Leases are complete from then on, in microseconds since the epoch.
    pub(super) quiet_until: i64,
    /// Why not before.
    pub(super) because: QuietBecause,
    /// Whether the last process ended in order.
    pub(super) is_clean: bool,
}

impl Trust {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (boot, quiet_until) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        Some(Self {
            boot,
            quiet_until,
            is_clean: words.next() == Some("clean"),
            because: words
                .next()
                .and_then(QuietBecause::parse)
                .unwrap_or(QuietBecause::MachineWentDown),
        })
    }

    pub(super) fn to_text(&self) -> String {
        format!(
            "{} {} {} {}",
            self.boot,
            self.quiet_until,
            if self.is_clean { "clean" } else { "running" },
            self.because.as_str()
        )
    }

    /// What holds for a process that finds `before`. An empty `boot`: the start is not known.
    fn next(before: Option<Self>, boot: &str, now: i64, lease: i64) -> Self {
        let full_wait = now.saturating_add(lease);
        let (quiet_until, because) = match before {
            // Nothing was ever leased.
            None => (now, QuietBecause::MachineWentDown),
            // A wall clock that was set back must not make the wait endless.
            Some(before) if before.is_clean || (!boot.is_empty() && before.boot == boot) => {
                (before.quiet_until.min(full_wait), before.because)
            }
            Some(_) => (full_wait, QuietBecause::MachineWentDown),
        };
        Self {
            boot: boot.to_owned(),
            quiet_until,
            because,
            is_clean: false,
        }
    }
}

/// What this process knows: which start it saw last, and until when nothing may be collected.
#[derive(Debug, Default)]
pub(super) struct Known {
    boot: Option<String>,
    pub(super) quiet_until: i64,
    /// When the time was last noted.
    noted_at: i64,
}

/// Looks whether the machine of the database was started anew since this was last asked.
pub(super) async fn refresh(registry: &Registry, known: &mut Known) -> Result<()> {
    let boot = boot(registry);
    let (now, lease) = (registry.now(), micros(registry.inner.options.lease));
    let is_start = known.boot.is_none();
    if known.boot.as_ref() == Some(&boot) && now - known.noted_at < lease / 8 {
        return Ok(());
    }
    let tx_boot = boot.clone();
    let trust = registry
        .inner
        .db
        .write(move |tx| {
            let mut trust = Trust::next(sql::trust(tx)?, &tx_boot, now, lease);
            let noted = sql::noted_time(tx)?;
            if is_start && noted.is_some_and(|noted| may_have_been_set(noted, now, lease)) {
                trust.quiet_until = now.saturating_add(lease);
                trust.because = QuietBecause::ClockWasSet;
            }
            sql::set_trust(tx, &trust)?;
            sql::note_time(tx, now)?;
            Ok::<_, lazuli_db::Error>(trust)
        })
        .await?;
    *known = Known {
        boot: Some(boot),
        quiet_until: trust.quiet_until,
        noted_at: now,
    };
    Ok(())
}

/// Whether the clock may have been set since the time was noted, so that leases would end too early.
fn may_have_been_set(noted: i64, now: i64, lease: i64) -> bool {
    let most = (lease / 4).max(SHORT_ABSENCE);
    now < noted || now - noted > most
}

/// Names the start of the machine that the database is on; empty if it cannot be told.
fn boot(registry: &Registry) -> String {
    match registry.inner.nodes {
        None => registry.inner.boot.clone(),
        Some(_) => "durable".to_owned(),
    }
}

/// In a place that a registry was moved to: digests may have been affirmed elsewhere until now.
pub(crate) fn keep_quiet(
    tx: &mut lazuli_db::Tx<'_>,
    until: i64,
) -> std::result::Result<(), lazuli_db::Error> {
    let trust = Trust {
        boot: "moved".to_owned(),
        quiet_until: until,
        because: QuietBecause::Moved,
        is_clean: true,
    };
    sql::set_trust(tx, &trust)
}

/// Everything is on the disk.
pub(super) async fn end(registry: &Registry) -> Result<()> {
    let now = registry.now();
    let clean = move |tx: &mut lazuli_db::Tx<'_>| {
        let Some(trust) = sql::trust(tx)? else {
            return Ok(());
        };
        let clean = Trust {
            is_clean: true,
            ..trust
        };
        sql::set_trust(tx, &clean)?;
        sql::note_time(tx, now)
    };
    Ok(registry.inner.db.write(clean).await?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn before(boot: &str, is_clean: bool) -> Trust {
        Trust {
            boot: boot.to_owned(),
            quiet_until: 500,
            because: QuietBecause::Moved,
            is_clean,
        }
    }

    fn quiet_until(before: Option<Trust>, boot: &str, now: i64) -> i64 {
        Trust::next(before, boot, now, 100).quiet_until
    }

    #[test]
    fn only_a_machine_that_went_down_without_warning_makes_the_next_start_wait() {
        assert_eq!(quiet_until(None, "b", 1000), 1000);
        assert_eq!(quiet_until(Some(before("b", false)), "b", 1000), 500);
        assert_eq!(quiet_until(Some(before("a", true)), "b", 1000), 500);
        assert_eq!(quiet_until(Some(before("a", false)), "b", 1000), 1100);
        assert_eq!(quiet_until(Some(before("", false)), "", 1000), 1100);
    }

    #[test]
    fn why_it_waits_is_told_until_there_is_another_reason() {
        let because = |before, boot| Trust::next(Some(before), boot, 450, 100).because;
        assert_eq!(because(before("moved", true), "b"), QuietBecause::Moved);
        assert_eq!(because(before("b", false), "b"), QuietBecause::Moved);
        assert_eq!(
            because(before("a", false), "b"),
            QuietBecause::MachineWentDown
        );
    }

    #[test]
    fn a_wait_under_way_goes_on_after_a_restart_but_never_longer_than_a_lease() {
        assert_eq!(quiet_until(Some(before("b", false)), "b", 450), 500);
        assert_eq!(quiet_until(Some(before("b", false)), "b", 10), 110);
    }

    #[test]
    fn a_clock_that_was_set_is_told_from_a_restart() {
        const DAY: i64 = 86_400_000_000;
        let minute = 60_000_000;
        assert!(!may_have_been_set(DAY, DAY, DAY));
        assert!(!may_have_been_set(DAY, DAY + DAY / 4, DAY));
        assert!(may_have_been_set(DAY, DAY + DAY / 4 + 1, DAY));
        assert!(may_have_been_set(DAY, DAY - 1, DAY));
        assert!(!may_have_been_set(DAY, DAY + minute, 2_000_000));
        assert!(may_have_been_set(DAY, DAY + minute + 1, 2_000_000));
    }

    #[test]
    fn the_text_reads_back() {
        for trust in [before("b", true), before("", false)] {
            assert_eq!(Trust::parse(&trust.to_text()).unwrap(), trust);
        }
        for (because, word) in QuietBecause::ALL {
            let trust = Trust {
                because,
                ..before("b", true)
            };
            assert_eq!(trust.to_text(), format!("b 500 clean {word}"));
            assert_eq!(Trust::parse(&trust.to_text()), Some(trust));
        }
        // As earlier versions wrote it.
        let trust = Trust::parse("b 500 running").unwrap();
        assert_eq!(trust.because, QuietBecause::MachineWentDown);
        assert_eq!(Trust::parse("nonsense"), None);
    }
}

//! Whether the leases in the database are all that were given.
//!
//! A digest affirmed by `HEAD` is leased in a transaction that does not wait for the disk, because reads must stay
//! cheap. It survives the end of the process, but a power failure may take the last of them. So after the machine was
//! started anew, unless the process before said that it had ended in order, nothing is collected until every lease
//! that may have been lost would have ended. The row also carries that time over to processes that start meanwhile.
//!
//! A PostgreSQL server may fail without this machine noticing, so there every start waits.

use super::{micros, sql};
use crate::{Registry, Result};

/// What the row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trust {
    /// The start of the machine that the last process ran in.
    pub(super) boot: String,
    /// Leases are complete from then on, in microseconds since the epoch.
    pub(super) quiet_until: i64,
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
        })
    }

    pub(super) fn to_text(&self) -> String {
        format!(
            "{} {} {}",
            self.boot,
            self.quiet_until,
            if self.is_clean { "clean" } else { "running" }
        )
    }

    /// What holds for a process that starts now and finds `before`.
    fn next(before: Option<Self>, boot: &str, is_embedded: bool, now: i64, lease: i64) -> Self {
        let full_wait = now.saturating_add(lease);
        let quiet_until = match before {
            // Nothing was ever leased.
            None if is_embedded => now,
            Some(before)
                if is_embedded
                    && (before.is_clean || (!boot.is_empty() && before.boot == boot)) =>
            {
                // A wall clock that was set back must not make the wait endless.
                before.quiet_until.min(full_wait)
            }
            _ => full_wait,
        };
        Self {
            boot: boot.to_owned(),
            quiet_until,
            is_clean: false,
        }
    }
}

/// Returns until when nothing may be collected.
pub(super) async fn begin(registry: &Registry) -> Result<i64> {
    let inner = &registry.inner;
    let (boot, lease) = (inner.boot.clone(), micros(inner.options.lease));
    let (is_embedded, now) = (inner.db.engine() == "sqlite", registry.now());
    let trust = inner
        .db
        .write(move |tx| {
            let trust = Trust::next(sql::trust(tx)?, &boot, is_embedded, now, lease);
            sql::set_trust(tx, &trust)?;
            Ok::<_, lazuli_db::Error>(trust)
        })
        .await?;
    Ok(trust.quiet_until)
}

pub(super) async fn end(registry: &Registry) -> Result<()> {
    let clean = |tx: &mut lazuli_db::Tx<'_>| match sql::trust(tx)? {
        Some(trust) => sql::set_trust(
            tx,
            &Trust {
                is_clean: true,
                ..trust
            },
        ),
        None => Ok(()),
    };
    Ok(registry.inner.db.write(clean).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(boot: &str, is_clean: bool) -> Option<Trust> {
        Some(Trust {
            boot: boot.to_owned(),
            quiet_until: 500,
            is_clean,
        })
    }

    #[test]
    fn only_a_machine_that_went_down_without_warning_makes_the_next_start_wait() {
        let wait =
            |before, is_embedded| Trust::next(before, "b", is_embedded, 1000, 100).quiet_until;
        assert_eq!(wait(None, true), 1000);
        assert_eq!(wait(before("b", false), true), 500);
        assert_eq!(wait(before("a", true), true), 500);
        assert_eq!(wait(before("a", false), true), 1100);
        assert_eq!(wait(before("b", true), false), 1100);
        assert_eq!(
            Trust::next(before("", false), "", true, 1000, 100).quiet_until,
            1100
        );
    }

    #[test]
    fn a_wait_under_way_goes_on_after_a_restart_but_never_longer_than_a_lease() {
        assert_eq!(
            Trust::next(before("b", false), "b", true, 450, 100).quiet_until,
            500
        );
        assert_eq!(
            Trust::next(before("b", false), "b", true, 10, 100).quiet_until,
            110
        );
    }

    #[test]
    fn the_text_reads_back() {
        for trust in [before("b", true), before("", false)] {
            assert_eq!(
                Trust::parse(&trust.clone().unwrap_or_else(|| unreachable!()).to_text()),
                trust
            );
        }
        assert_eq!(Trust::parse("nonsense"), None);
    }
}

//! What is remembered of long ago, and for how long: nothing grows for ever.
//!
//! - *Operations* go by age, from the beginning of each origin's log, and never past the place of a reader that is on record
//!   (`log_cursors`). The number of the last one that went is kept: from there on the log has no gap. The newest [`NEWEST`]
//!   stay whatever their age, so that nodes and clocks find where they were.
//! - *Versions of tags* go with the operation that made them. What a tag names now stays.
//! - *Usage* is counted by the hour at first, then summed up by the day and at last by the month, which stays. Intervals in
//!   which a blob was stored go into the sums when they ended so long ago, exactly.
//!
//! Done by garbage collection, in small transactions that check its lease; each finds what is due by an index and leaves
//! nothing half done.

mod calendar;
mod log;
mod sql;
mod usage;

use std::time::Duration;

use lazuli_db::{Error, Tx};

use crate::Result;
use crate::gc::{Phase, Work, lost};
use crate::leases::LeaseError;

pub(crate) use calendar::{DAY as DAY_US, next_month};
pub(crate) use log::kept;
pub use log::{KeptLog, Reader};
pub(crate) use sql::digits;
pub(crate) use usage::{BY_DAY, BY_MONTH};

/// The newest operations of an origin that stay whatever their age.
pub const NEWEST: u32 = 1000;

/// How long what is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Operations, and what tags named before.
    pub operations: Duration,
    /// Usage by the hour, and the intervals in which blobs were stored.
    pub usage_hours: Duration,
    /// Usage by the day.
    pub usage_days: Duration,
    /// The newest operations of an origin that stay.
    pub newest: u32,
}

const DAY: Duration = Duration::from_hours(24);

impl Default for Retention {
    fn default() -> Self {
        Self {
            operations: DAY * 90,
            usage_hours: DAY * 62,
            usage_days: DAY * 762,
            newest: NEWEST,
        }
    }
}

/// A kind of rows that goes by age.
#[derive(Debug, Clone, Copy)]
enum Step {
    Operations,
    Intervals,
    Hours,
    Days,
    StoredDays,
}

impl Step {
    const ALL: [Self; 5] = [
        Self::Operations,
        Self::Intervals,
        Self::Hours,
        Self::Days,
        Self::StoredDays,
    ];

    /// Removes up to `limit` rows that are due, and returns how many.
    fn run(
        self,
        tx: &mut Tx<'_>,
        retention: &Retention,
        now: i64,
        limit: u32,
    ) -> Result<u64, Error> {
        let since = |age: Duration| now.saturating_sub(crate::gc::micros(age));
        let hours = since(retention.usage_hours);
        let days = since(retention.usage_days);
        match self {
            Self::Operations => log::trim(tx, since(retention.operations), retention.newest, limit),
            Self::Intervals => usage::sum_up_intervals(tx, hours, limit),
            Self::Hours => usage::sum_up_hours(tx, hours, limit),
            Self::Days => usage::sum_up_days(tx, days, limit),
            Self::StoredDays => usage::sum_up_stored_days(tx, days, limit),
        }
    }
}

impl Work<'_> {
    /// Everything that is due by its age.
    pub(crate) async fn trim_history(&mut self) -> Result<()> {
        self.enter(Phase::History).await?;
        let (now, batch) = (self.now(), self.inner.options.batch);
        let retention = self.inner.options.retention;
        for step in Step::ALL {
            loop {
                let guard = self.guard();
                let db = &self.inner.registry.inner.db;
                let is_due = db.read(move |tx| sql::is_due(tx, step, &retention, now));
                if !is_due.await? {
                    break;
                }
                let gone = db.write_relaxed(move |tx| {
                    guard.check(tx)?;
                    Ok::<_, LeaseError>(step.run(tx, &retention, now, batch)?)
                });
                let gone = gone.await.map_err(lost)?;
                self.run.history += gone;
                self.pause(gone).await?;
                if gone == 0 {
                    break;
                }
            }
        }
        Ok(())
    }
}

//! Usage, summed up: by the hour, then by the day, then by the month.

use std::collections::BTreeMap;

use lazuli_db::{Error, Tx};

use super::calendar::{DAY, HOURS, month_start};
use super::sql;
use crate::metering::{Interval, Window};

/// The spans of `transfers` and `storage_sums`.
pub(crate) const BY_HOUR: i64 = 0;
pub(crate) const BY_DAY: i64 = 1;
pub(crate) const BY_MONTH: i64 = 2;

/// Days that intervals are spread over in one transaction, but for those of its first interval.
const DAYS: i64 = 2000;

/// The first day that is not summed up yet: days are summed up whole.
pub(super) fn day_of(cutoff: i64) -> i64 {
    cutoff.div_euclid(DAY)
}

/// The first day of the month that a time is in: months are summed up whole.
pub(super) fn month_of(cutoff: i64) -> i64 {
    month_start(day_of(cutoff))
}

/// Spreads intervals that ended before the day of `cutoff` over their days.
pub(super) fn sum_up_intervals(tx: &mut Tx<'_>, cutoff: i64, limit: u32) -> Result<u64, Error> {
    let mut sums: BTreeMap<(i64, i64, i64), i128> = BTreeMap::new();
    let (mut gone, mut days) = (0, 0);
    for closed in sql::closed_intervals(tx, day_of(cutoff) * DAY, limit)? {
        let interval = Interval {
            from: closed.from,
            to: Some(closed.to),
            size: closed.size,
        };
        let (first, last) = (day_of(closed.from), day_of(closed.to - 1));
        if gone > 0 && days + last - first >= DAYS {
            break;
        }
        days += last - first + 1;
        for day in first..=last {
            let window = Window {
                from: day * DAY,
                to: (day + 1) * DAY,
            };
            *sums
                .entry((closed.registry, closed.repository, day))
                .or_default() += interval.byte_microseconds(window);
        }
        gone += sql::remove_interval(tx, &closed)?;
    }
    for ((registry, repository, day), sum) in sums {
        sql::add_stored(tx, registry, repository, (BY_DAY, day), sum)?;
    }
    Ok(gone)
}

/// Sums up transfers of hours before the day of `cutoff`.
pub(super) fn sum_up_hours(tx: &mut Tx<'_>, cutoff: i64, limit: u32) -> Result<u64, Error> {
    let end = day_of(cutoff) * HOURS;
    sum_up_transfers(tx, (BY_HOUR, BY_DAY), end, limit, |hour| {
        hour.div_euclid(HOURS) * HOURS
    })
}

/// Sums up transfers of days before the month of `cutoff`.
pub(super) fn sum_up_days(tx: &mut Tx<'_>, cutoff: i64, limit: u32) -> Result<u64, Error> {
    let end = month_of(cutoff) * HOURS;
    sum_up_transfers(tx, (BY_DAY, BY_MONTH), end, limit, |hour| {
        month_start(hour.div_euclid(HOURS)) * HOURS
    })
}

fn sum_up_transfers(
    tx: &mut Tx<'_>,
    (from, to): (i64, i64),
    end: i64,
    limit: u32,
    start: impl Fn(i64) -> i64,
) -> Result<u64, Error> {
    let mut gone = 0;
    for registry in sql::registries(tx)? {
        let mut sums: BTreeMap<(i64, String, String), (i64, i64)> = BTreeMap::new();
        for count in sql::transfers(tx, registry, from, end, limit)? {
            gone += sql::remove_transfers(tx, registry, from, &count)?;
            let key = (start(count.hour), count.repository, count.meter);
            let sum = sums.entry(key).or_default();
            sum.0 = sum.0.saturating_add(count.events);
            sum.1 = sum.1.saturating_add(count.bytes);
        }
        for ((hour, repository, meter), (events, bytes)) in sums {
            let row = sql::Count {
                hour,
                repository,
                meter,
                events,
                bytes,
            };
            sql::add_transfers(tx, registry, to, &row)?;
        }
    }
    Ok(gone)
}

/// Sums up what was stored on days before the month of `cutoff`.
pub(super) fn sum_up_stored_days(tx: &mut Tx<'_>, cutoff: i64, limit: u32) -> Result<u64, Error> {
    let mut gone = 0;
    for registry in sql::registries(tx)? {
        let mut sums: BTreeMap<(i64, i64), i128> = BTreeMap::new();
        for (day, repository, sum) in sql::stored(tx, registry, BY_DAY, month_of(cutoff), limit)? {
            gone += sql::remove_stored(tx, registry, repository, (BY_DAY, day))?;
            *sums.entry((repository, month_start(day))).or_default() += sum;
        }
        for ((repository, month), sum) in sums {
            sql::add_stored(tx, registry, repository, (BY_MONTH, month), sum)?;
        }
    }
    Ok(gone)
}

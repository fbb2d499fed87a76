//! Days and months since 1970, by the proleptic Gregorian calendar, in UTC.

/// Microseconds of an hour.
pub(super) const HOUR: i64 = 3_600_000_000;
/// Microseconds of a day.
pub(crate) const DAY: i64 = 24 * HOUR;
/// Hours of a day.
pub(super) const HOURS: i64 = 24;

/// The year and month (1 to 12) that a day since 1970 is in, and the day of the month (1 to 31). After Howard Hinnant's
/// `civil_from_days`.
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (
        era * 400 + year + i64::from(month <= 2),
        month,
        day_of_month,
    )
}

/// The first day of the month that a day is in.
pub(crate) fn month_start(day: i64) -> i64 {
    day - civil(day).2 + 1
}

/// The first day of the next month.
pub(crate) fn next_month(day: i64) -> i64 {
    // No month is longer.
    month_start(month_start(day) + 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        // `date -u -d @$((day * 86400))`
        for (day, expected) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (20_780, (2026, 11, 23)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(day), expected);
        }
    }

    #[test]
    fn every_month_begins_where_the_one_before_ends() {
        let mut start = month_start(-1000);
        for day in -1000..60_000 {
            if day >= next_month(start) {
                start = next_month(start);
                assert_eq!(civil(start).2, 1);
            }
            assert_eq!(month_start(day), start);
        }
    }
}

//! Times as the data plane writes them: `2021-04-13T15:10:46.8574221Z`, seven digits after the point.

use std::fmt;

/// A time in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

const DAY: i64 = 86_400 * 1_000_000;

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}0Z"
        )
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Year, month and day of a day since the epoch, in the Gregorian calendar. Years are counted from March on, so that the day
/// that is not always there is the last one.
const fn civil(days: i64) -> (i64, i64, i64) {
    // Days since 0000-03-01, and in their era of 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = month_from_march + if month_from_march < 10 { 3 } else { -9 };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_seven_digits_after_the_point() {
        let text = |micros| Time(micros).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.0000000Z");
        assert_eq!(text(1_618_326_646_857_422), "2021-04-13T15:10:46.8574220Z");
        assert_eq!(text(951_782_400_000_001), "2000-02-29T00:00:00.0000010Z");
        assert_eq!(text(4_107_542_399_999_999), "2100-02-28T23:59:59.9999990Z");
        assert_eq!(text(4_107_542_400_000_000), "2100-03-01T00:00:00.0000000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.9999990Z");
    }
}

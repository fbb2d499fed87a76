//! Dates and times in conditions (RFC 3339).

/// Microseconds since the Unix epoch of `2025-01-31`, `2025-01-31T12:00:00`, with a fraction, with `Z` or an offset.
pub fn parse_time(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let days = days(
        number(date, 0, 4)?,
        number(date, 5, 2)?,
        number(date, 8, 2)?,
    )?;
    if date.as_bytes()[4] != b'-' || date.as_bytes()[7] != b'-' {
        return None;
    }
    let seconds = days * 86_400;
    if rest.is_empty() {
        return seconds.checked_mul(1_000_000);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let (hour, minute, second) = (
        number(clock, 0, 2)?,
        number(clock, 3, 2)?,
        number(clock, 6, 2)?,
    );
    let separated = clock.as_bytes()[2] == b':' && clock.as_bytes()[5] == b':';
    if !separated || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, rest) = fraction(rest)?;
    let offset = offset(rest)?;
    Some((seconds + hour * 3600 + minute * 60 + second - offset) * 1_000_000 + micros)
}

fn number(text: &str, at: usize, length: usize) -> Option<i64> {
    let digits = text.get(at..at + length)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    if length == 0 || length > 9 {
        return None;
    }
    let (digits, rest) = rest.split_at(length);
    let six: String = digits.chars().chain("000000".chars()).take(6).collect();
    Some((six.parse().ok()?, rest))
}

fn offset(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes()[0] {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    if rest.len() != 5 || rest.as_bytes()[2] != b':' {
        return None;
    }
    let (hours, minutes) = (number(rest, 0, 2)?, number(rest, 3, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Hinnant's algorithm).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn times_are_read() {
        assert_eq!(parse_time("1970-01-01"), Some(0));
        assert_eq!(
            parse_time("2000-03-01T00:00:00Z"),
            Some(951_868_800_000_000)
        );
        assert_eq!(
            parse_time("2025-01-31T12:00:00.5Z"),
            Some(1_738_324_800_500_000)
        );
        assert_eq!(
            parse_time("2025-01-31T14:00:00+02:00"),
            parse_time("2025-01-31T12:00:00Z")
        );
        for bad in [
            "",
            "2025",
            "2025-02-29",
            "2025-13-01",
            "2025-01-31T",
            "2025-01-31T25:00:00",
            "2025-01-31T12:00",
            "2025-01-31T12:00:00.Z",
            "2025-01-31T12:00:00+2",
            "2025/01/31",
            "2025-01-31T12:00:00äZ",
            "äääääääääää",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}

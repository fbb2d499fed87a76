#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

const TIB: i64 = 1 << 40;

#[test]
fn an_interval_counts_only_what_falls_into_the_window() {
    let interval = Interval {
        from: 10,
        to: Some(20),
        size: 3,
    };
    let bytes = |from, to| interval.byte_microseconds(Window { from, to });
    assert_eq!(bytes(0, 100), 30);
    assert_eq!(bytes(12, 15), 9);
    assert_eq!((bytes(0, 10), bytes(20, 30), bytes(15, 12)), (0, 0, 0));
    assert_eq!(
        Interval {
            to: None,
            ..interval
        }
        .byte_microseconds(Window { from: 0, to: 100 }),
        270
    );
}

#[test]
fn forty_tebibytes_for_a_month_do_not_overflow() {
    let month = 31 * 86_400 * 1_000_000;
    let interval = Interval {
        from: 0,
        to: None,
        size: 40 * TIB,
    };
    assert_eq!(
        interval.byte_microseconds(Window { from: 0, to: month }),
        i128::from(40 * TIB) * i128::from(month)
    );
}

//! Ranges of reads and of chunks against arithmetic on whole numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use lazuli_wire::oci::{
    ContentRangeError, MAX_SIZE, RangeOutcome, parse_content_range, parse_range,
};
use proptest::prelude::*;

const fn single(start: u64, end_inclusive: u64) -> RangeOutcome {
    RangeOutcome::Single {
        start,
        end_inclusive,
    }
}

#[test]
fn single_ranges_are_clamped_to_what_there_is() {
    assert_eq!(parse_range("bytes=0-0", 10), single(0, 0));
    assert_eq!(parse_range("bytes=2-5", 10), single(2, 5));
    assert_eq!(parse_range("bytes=2-", 10), single(2, 9));
    assert_eq!(parse_range("bytes=2-100", 10), single(2, 9));
    assert_eq!(parse_range("bytes=-3", 10), single(7, 9));
    assert_eq!(parse_range("bytes=-100", 10), single(0, 9));
    assert_eq!(parse_range("Bytes=9-9", 10), single(9, 9));
    assert_eq!(parse_range("bytes= 1-2 ", 10), single(1, 2));
    assert_eq!(parse_range("bytes=0002-05", 10), single(2, 5));
}

#[test]
fn ranges_outside_are_unsatisfiable() {
    for header in [
        "bytes=10-",
        "bytes=10-20",
        "bytes=-0",
        "bytes=18446744073709551616-",
        "bytes=99999999999999999999-",
    ] {
        assert_eq!(
            parse_range(header, 10),
            RangeOutcome::Unsatisfiable,
            "{header}"
        );
    }
    assert_eq!(parse_range("bytes=0-", 0), RangeOutcome::Unsatisfiable);
    assert_eq!(parse_range("bytes=-5", 0), RangeOutcome::Whole);
}

#[test]
fn numbers_beyond_64_bits_are_numbers_still() {
    assert_eq!(
        parse_range("bytes=1-99999999999999999999999", 10),
        single(1, 9)
    );
    assert_eq!(
        parse_range("bytes=-99999999999999999999999", 10),
        single(0, 9)
    );
    assert_eq!(
        parse_range("bytes=99999999999999999999999-99999999999999999999998", 10),
        RangeOutcome::Whole
    );
    assert_eq!(
        parse_range("bytes=18446744073709551615-", u64::MAX),
        RangeOutcome::Unsatisfiable
    );
}

#[test]
fn what_is_no_single_byte_range_is_ignored() {
    for header in [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=1",
        "bytes=0-0,2-2",
        "bytes=0-1,",
        "items=0-1",
        "bytes =0-1",
        "bytes=0 -1",
        "bytes=+1-2",
        "bytes=1-+2",
        "bytes=--1",
        "bytes=1--2",
        "bytes=0x1-2",
        "bytes=١-٢",
        "0-1",
    ] {
        assert_eq!(parse_range(header, 10), RangeOutcome::Whole, "{header}");
    }
}

#[test]
fn chunk_ranges_are_read_in_both_forms() {
    for header in [
        "0-9",
        " 0-9 ",
        "bytes 0-9/*",
        "bytes 0-9/10",
        "bytes 0-9/11",
        "Bytes 0-9/99999999999999999999",
    ] {
        assert_eq!(parse_content_range(header), Ok((0, 9)), "{header}");
    }
    assert_eq!(parse_content_range("5-5"), Ok((5, 5)));
}

#[test]
fn malformed_chunk_ranges_are_refused() {
    for header in [
        "",
        "-",
        "0-",
        "-9",
        "0",
        "a-b",
        "0-9/10",
        "bytes 0-9",
        "bytes 0-9/",
        "bytes 0-9/9",
        "bytes */10",
        "bytes=0-9",
        "items 0-9/10",
        "0 - 9",
        "+0-9",
        "0-9-10",
        "bytes  0-9/10",
        "bytes 0-9/x",
    ] {
        assert_eq!(
            parse_content_range(header),
            Err(ContentRangeError::Malformed),
            "{header}"
        );
    }
    assert_eq!(parse_content_range("9-0"), Err(ContentRangeError::Reversed));
}

#[test]
fn chunk_ranges_end_before_the_largest_size() {
    assert_eq!(
        parse_content_range(&format!("0-{}", MAX_SIZE - 1)),
        Ok((0, MAX_SIZE - 1))
    );
    for end in [
        u128::from(MAX_SIZE),
        u128::from(u64::MAX),
        u128::from(u64::MAX) + 1,
    ] {
        assert_eq!(
            parse_content_range(&format!("0-{end}")),
            Err(ContentRangeError::TooLarge)
        );
    }
}

/// RFC 9110 §14.1.2 on the set of positions.
fn model(first: Option<u128>, last: Option<u128>, size: u64) -> RangeOutcome {
    let size = u128::from(size);
    let wanted = match (first, last) {
        (None, None) => return RangeOutcome::Whole,
        (Some(first), Some(last)) if first > last => return RangeOutcome::Whole,
        (None, Some(0)) => return RangeOutcome::Unsatisfiable,
        (None, Some(_)) if size == 0 => return RangeOutcome::Whole,
        (None, Some(length)) => size.saturating_sub(length)..size,
        (Some(first), None) => first..size,
        (Some(first), Some(last)) => first..size.min(last + 1),
    };
    if wanted.is_empty() {
        return RangeOutcome::Unsatisfiable;
    }
    single(
        u64::try_from(wanted.start).unwrap(),
        u64::try_from(wanted.end - 1).unwrap(),
    )
}

/// Mostly small, sometimes at the edges of 64 bits.
fn number() -> impl Strategy<Value = u128> {
    let edge = u128::from(u64::MAX);
    prop_oneof![4 => 0_u128..20, 1 => edge - 2..edge + 3, 1 => any::<u64>().prop_map(u128::from), 1 => 0..u128::MAX]
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..20, 1 => u64::MAX - 2..=u64::MAX, 1 => any::<u64>()]
}

proptest! {
    #[test]
    fn ranges_agree_with_the_model(first in prop::option::of(number()), last in prop::option::of(number()), size in size(), zeros in "0{0,3}") {
        let text = |number: Option<u128>| number.map(|number| format!("{zeros}{number}")).unwrap_or_default();
        let header = format!("bytes={}-{}", text(first), text(last));
        prop_assert_eq!(parse_range(&header, size), model(first, last, size), "{} of {}", header, size);
    }

    #[test]
    fn served_ranges_are_inside(header in "bytes=[0-9]{0,21}-[0-9]{0,21}|[ -~]{0,20}|(bytes)?=?.{0,8}", size in size()) {
        if let RangeOutcome::Single { start, end_inclusive } = parse_range(&header, size) {
            prop_assert!(start <= end_inclusive && end_inclusive < size);
        }
    }

    #[test]
    fn chunk_ranges_round_trip(start in 0..MAX_SIZE, length in 0..MAX_SIZE) {
        let end = start.saturating_add(length).min(MAX_SIZE - 1);
        prop_assert_eq!(parse_content_range(&format!("{start}-{end}")), Ok((start, end)));
        prop_assert_eq!(parse_content_range(&format!("bytes {start}-{end}/{}", end + 1)), Ok((start, end)));
    }

    #[test]
    fn chunk_ranges_that_are_read_have_a_length(header in "(bytes )?[0-9]{0,21}-[0-9]{0,21}(/[0-9*]{0,21})?|.{0,16}") {
        if let Ok((start, end)) = parse_content_range(&header) {
            prop_assert!(start <= end);
            prop_assert!(end - start < MAX_SIZE);
        }
    }
}

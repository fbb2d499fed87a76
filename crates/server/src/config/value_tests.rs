//! Sizes, durations and texts as people write them.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn size(text: &str) -> Option<u64> {
    Size::from_text(text).ok().map(|s| s.0)
}

fn millis(text: &str) -> Option<u128> {
    Period::from_text(text).ok().map(|p| p.0.as_millis())
}

#[test]
fn sizes_are_read_with_binary_and_decimal_units() {
    assert_eq!(size("4096"), Some(4096));
    assert_eq!(size("4MiB"), Some(4 << 20));
    assert_eq!(size("4 mib"), Some(4 << 20));
    assert_eq!(size("1_000"), Some(1000));
    assert_eq!(size("2GB"), Some(2_000_000_000));
    for bad in [
        "",
        "MiB",
        "4M",
        "-1",
        "4.5MiB",
        "4MiBs",
        "99999999999TiB",
        "_",
    ] {
        assert_eq!(size(bad), None, "{bad:?}");
    }
}

#[test]
fn durations_are_read_with_several_units() {
    assert_eq!(millis("30s"), Some(30_000));
    assert_eq!(millis("1h30m"), Some(5_400_000));
    assert_eq!(millis("7d"), Some(604_800_000));
    assert_eq!(millis("250ms"), Some(250));
    assert_eq!(millis("0"), Some(0));
    for bad in [
        "",
        "30",
        "s",
        "1.5h",
        "-1s",
        "1y",
        "99999999999999999999d",
        "9999999999999d",
    ] {
        assert_eq!(millis(bad), None, "{bad:?}");
    }
}

#[test]
fn a_size_or_duration_written_as_toml_reads_as_itself() {
    for bytes in [
        0,
        1,
        999,
        1000,
        1024,
        4096,
        1_048_577,
        4 << 20,
        5 << 40,
        u64::MAX / 2,
    ] {
        let toml = Size(bytes).to_toml().unwrap();
        assert_eq!(size(toml.trim_matches('"')), Some(bytes), "{toml}");
    }
    for value in [0, 1, 1000, 61_000, 5_400_000, 90_061_001] {
        let toml = Period(Duration::from_millis(value)).to_toml().unwrap();
        assert_eq!(
            millis(toml.trim_matches('"')),
            Some(u128::from(value)),
            "{toml}"
        );
    }
}

#[test]
fn a_quoted_text_is_what_toml_reads_back() {
    for text in [
        "plain",
        "with \"quotes\" and \\",
        "tab\tnew\nline\u{7f}",
        "ünïcode",
    ] {
        let document = format!("key = {}", quoted(text));
        let table: toml::Table = document.parse().unwrap();
        assert_eq!(table["key"].as_str(), Some(text));
    }
}

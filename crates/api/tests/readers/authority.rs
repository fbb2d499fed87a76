//! Host names as clients and proxies write them.

use std::net::{Ipv4Addr, Ipv6Addr};

use lazuli_api::testing::{LONGEST_AUTHORITY, read_authority};
use proptest::prelude::*;

pub(crate) fn hosts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9_-]{1,12}(\\.[A-Za-z0-9_-]{1,12}){0,4}\\.?",
        any::<Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<Ipv6Addr>().prop_map(|address| format!("[{address}]")),
    ]
}

pub(crate) fn authorities() -> impl Strategy<Value = String> {
    (hosts(), prop::option::of(any::<u16>())).prop_map(|(host, port)| written(&host, port))
}

fn written(host: &str, port: Option<u16>) -> String {
    port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Nothing that means something in a header, a URL, a log line or a challenge.
pub(crate) fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.:[]".contains(character)
}

proptest! {
    #[test]
    fn what_is_written_is_read(host in hosts(), port in prop::option::of(any::<u16>())) {
        let text = written(&host, port);
        prop_assert_eq!(read_authority(&text), Some((host.as_str(), port)));
    }

    #[test]
    fn what_is_read_is_plain_and_means_the_same_to_others(
        text in prop_oneof![
            "[a-z0-9.:\\[\\]_+@%-]{0,12}",
            "[a-z.]{1,6}(:[+0-9]{0,7})?",
            "\\[[0-9a-f:.%]{0,12}\\]?(:[+0-9]{0,7})?",
            "\\PC{0,20}",
        ],
    ) {
        if let Some((host, port)) = read_authority(&text) {
            prop_assert!(text.chars().all(is_plain), "{}", text);
            prop_assert!(!host.contains("..") && !host.starts_with('.'), "{}", text);
            let usual = written(host, port);
            prop_assert_eq!(read_authority(&usual), Some((host, port)));
            let other: http::uri::Authority = text.parse().unwrap();
            prop_assert_eq!((other.host(), other.port_u16()), (host, port));
        }
    }

    #[test]
    fn one_foreign_character_spoils_it(
        text in authorities(),
        place in any::<prop::sample::Index>(),
        foreign in any::<char>().prop_filter("plain", |character| !is_plain(*character)),
    ) {
        let mut spoiled = text.clone();
        spoiled.insert(place.index(text.len() + 1), foreign);
        prop_assert_eq!(read_authority(&spoiled), None);
    }

    #[test]
    fn what_is_too_long_is_refused(more in 0_usize..20) {
        let text = "a".repeat(LONGEST_AUTHORITY - 10 + more);
        prop_assert_eq!(read_authority(&text).is_some(), text.len() <= LONGEST_AUTHORITY);
    }
}

//! What proxies say of the requests they hand on, and what clients say in their place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use lazuli_api::testing::{Requests, read_authority};
use lazuli_api::{HostedRegistry, Network, ResolverOptions};
use lazuli_identity::RegistryId;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::authority::{authorities, is_plain};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

fn requests() -> Requests {
    let network = |text| Network::parse(text).unwrap();
    let options = ResolverOptions {
        suffixes: vec!["reg.example".into()],
        trusted_proxies: vec![network("10.0.0.0/8"), network("fd00::/8")],
        ..ResolverOptions::default()
    };
    let registries = [HostedRegistry {
        id: RegistryId::new(2),
        name: "second".into(),
        hosts: vec!["own.example".into()],
    }];
    Requests::new(options, registries, "127.0.0.1:5000".parse().unwrap())
}

fn proxies() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[a, b, c]| Ipv4Addr::new(10, a, b, c).into()),
        any::<[u8; 3]>().prop_map(|[a, b, c]| Ipv4Addr::new(10, a, b, c).to_ipv6_mapped().into()),
        any::<u64>().prop_map(|low| Ipv6Addr::from(0xfd << 120 | u128::from(low)).into()),
    ]
}

fn strangers() -> impl Strategy<Value = IpAddr> {
    let outside = any::<Ipv4Addr>().prop_filter("a proxy", |address| address.octets()[0] != 10);
    prop_oneof![
        outside.prop_map(IpAddr::from),
        any::<u64>().prop_map(|low| Ipv6Addr::from(0x2001 << 112 | u128::from(low)).into()),
    ]
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![proxies(), strangers()]
}

/// Neither an address nor several.
fn junk() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\t'), b' '..=b'+', b'-'..=b'~', 0x80_u8..];
    vec(byte, 0..8).prop_filter("an address", |bytes| {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        text.trim().parse::<IpAddr>().is_err()
    })
}

/// The value of one `X-Forwarded-For`.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let element = prop_oneof![
        3 => addresses().prop_map(|address| address.to_string().into_bytes()),
        1 => junk(),
    ];
    vec(element, 0..4).prop_map(|elements| elements.join(&b", "[..]))
}

fn fields(name: &HeaderName, values: &[Vec<u8>]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

/// What a proxy does: it adds whom it heard from, on the last line or on a new one.
fn hand_on(lines: &[Vec<u8>], heard: &[u8], is_joined: bool) -> Vec<Vec<u8>> {
    let mut lines = lines.to_vec();
    match lines.last_mut().filter(|_| is_joined) {
        Some(last) => last.extend([b",", heard].concat()),
        None => lines.push(heard.to_vec()),
    }
    lines
}

fn client(lines: &[Vec<u8>], remote: IpAddr) -> IpAddr {
    requests().client_address(&fields(&FOR, lines), remote)
}

/// The fields by which a request says whom it is for.
fn heads() -> impl Strategy<Value = HeaderMap> {
    let host = || {
        prop_oneof![
            authorities(),
            Just("Second.reg.example".to_owned()),
            Just("own.example:1".to_owned()),
            "[ -~]{0,12}",
        ]
    };
    let forwarded = vec(host(), 0..3).prop_map(|hosts| hosts.join(", ").into_bytes());
    let scheme = prop_oneof![Just("https".to_owned()), Just("http".into()), "[a-z,]{0,6}"];
    let host = host().prop_map(String::into_bytes);
    let bytes = || vec(prop_oneof![b' '..=b'~', 0x80_u8..], 0..8);
    (
        vec(prop_oneof![9 => host, 1 => bytes()], 0..2),
        vec(prop_oneof![9 => forwarded, 1 => bytes()], 0..3),
        vec(scheme.prop_map(String::into_bytes), 0..2),
    )
        .prop_map(|(host, forwarded, scheme)| {
            let mut headers = fields(&http::header::HOST, &host);
            headers.extend(fields(&HOST, &forwarded));
            headers.extend(fields(&PROTO, &scheme));
            headers
        })
}

proptest! {
    #[test]
    fn a_proxy_adds_nothing_but_whom_it_heard_from(
        lines in vec(line(), 0..4),
        heard in addresses(),
        is_joined: bool,
        proxy in proxies(),
    ) {
        let handed_on = hand_on(&lines, format!(" {heard} ").as_bytes(), is_joined);
        prop_assert_eq!(client(&handed_on, proxy), client(&lines, heard));
    }

    #[test]
    fn what_is_no_address_is_the_end(
        lines in vec(line(), 0..4),
        junk in junk(),
        is_joined: bool,
        proxy in proxies(),
    ) {
        prop_assert_eq!(client(&hand_on(&lines, &junk, is_joined), proxy), proxy);
    }

    #[test]
    fn strangers_speak_for_themselves_only(
        lines in vec(line(), 0..4),
        stranger in strangers(),
        proxy in proxies(),
    ) {
        prop_assert_eq!(client(&lines, stranger), stranger);
        prop_assert_eq!(client(&[], proxy), proxy);
    }

    #[test]
    fn a_stranger_forwards_no_host(head in heads(), stranger in strangers()) {
        let remote = SocketAddr::new(stranger, 9);
        let mut plain = head.clone();
        plain.remove(HOST);
        plain.remove(PROTO);
        prop_assert_eq!(requests().next(&head, remote), requests().next(&plain, remote));
    }

    #[test]
    fn the_login_server_is_what_was_dialled(head in heads(), proxy in proxies()) {
        let text = |name| head.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let host = head.get("host").map_or("127.0.0.1:5000", |_| text("host").unwrap_or_default());
        let dialled = text("x-forwarded-host").map_or(host, |hosts| hosts.split(',').next().unwrap().trim());
        let site = requests().next(&head, SocketAddr::new(proxy, 9));
        prop_assert_eq!(site.is_some(), read_authority(dialled).is_some());
        if let Some(site) = site {
            prop_assert_eq!(&site.login_server, &dialled.to_ascii_lowercase());
            prop_assert!(site.login_server.chars().all(is_plain));
        }
    }

    #[test]
    fn a_request_does_not_depend_on_those_before_it(
        heads in vec(heads(), 1..3),
        order in vec((any::<prop::sample::Index>(), addresses()), 1..6),
    ) {
        let mut connection = requests();
        for (index, remote) in order {
            let (head, remote) = (index.get(&heads), SocketAddr::new(remote, 9));
            prop_assert_eq!(connection.next(head, remote), requests().next(head, remote));
        }
    }

    #[test]
    fn networks_are_prefixes(network in addresses(), bits in 0_u8..=130, flip in 0_u32..128, other in addresses()) {
        let width = if network.is_ipv4() { 32 } else { 128 };
        // Addresses of IPv4 written as IPv6 count as what they are.
        let mapped = if network.to_canonical() == network { 0 } else { 96 };
        let Some(range) = Network::parse(&format!("{network}/{bits}")) else {
            prop_assert!(bits > width || bits < mapped);
            return Ok(());
        };
        prop_assert!((mapped..=width).contains(&bits));
        prop_assert!(range.contains(network));
        let flip = flip % u32::from(width - mapped);
        prop_assert_eq!(range.contains(flipped(network, flip)), flip >= u32::from(bits - mapped));
        if network.to_canonical().is_ipv4() != other.to_canonical().is_ipv4() {
            prop_assert!(!range.contains(other));
        }
    }
}

/// An address with one bit changed, counted from the first of its own kind.
fn flipped(address: IpAddr, bit: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) ^ (1 << 31 >> bit)).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) ^ (1 << 127 >> bit)).into(),
    }
}

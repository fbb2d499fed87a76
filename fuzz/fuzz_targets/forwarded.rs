//! What proxies hand on: `Host`, `X-Forwarded-Host`, `-Proto` and `-For`. Nobody but a trusted proxy is believed, and of
//! what a client wrote nothing counts once a proxy has added whom it heard from.
//!
//! Each line is a request's field: a letter (`h`, `H`, `p`, `f`) and the value. A line `n` is a network to ask.
#![no_main]

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use lazuli_api::testing::{Requests, read_authority};
use lazuli_api::{HostedRegistry, Network, ResolverOptions};
use lazuli_identity::RegistryId;
use libfuzzer_sys::fuzz_target;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

static OPTIONS: LazyLock<ResolverOptions> = LazyLock::new(|| ResolverOptions {
    suffixes: vec!["reg.example".into()],
    trusted_proxies: Network::parse("10.0.0.0/8").into_iter().collect(),
    ..ResolverOptions::default()
});

fn requests() -> Requests {
    let registry = HostedRegistry {
        id: RegistryId::new(2),
        name: "second".into(),
        hosts: vec!["own.example".into(), ":5001".into()],
    };
    let local = SocketAddr::from(([127, 0, 0, 1], 5000));
    Requests::new(OPTIONS.clone(), [registry], local)
}

fn client(headers: &HeaderMap, remote: IpAddr) -> IpAddr {
    requests().client_address(headers, remote)
}

/// What a proxy does, on a line of its own and on the last one.
fn handed_on(headers: &HeaderMap, heard: &str) -> [HeaderMap; 2] {
    let value = |text: &[u8]| HeaderValue::from_bytes(text).expect("it was a value before");
    let mut added = headers.clone();
    added.append(FORWARDED_FOR, value(heard.as_bytes()));
    let mut joined = headers.clone();
    let mut lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().cloned().collect();
    if let Some(last) = lines.last_mut() {
        *last = value(&[last.as_bytes(), b", ", heard.as_bytes()].concat());
    }
    joined.remove(FORWARDED_FOR);
    for line in lines {
        joined.append(FORWARDED_FOR, line);
    }
    [added, joined]
}

fn addresses(headers: &HeaderMap) {
    assert_eq!(client(headers, STRANGER), STRANGER);
    let is_empty = !headers.contains_key(FORWARDED_FOR);
    for heard in [PROXY, STRANGER] {
        let [added, joined] = handed_on(headers, &heard.to_string());
        assert_eq!(client(&added, PROXY), client(headers, heard));
        assert!(is_empty || client(&joined, PROXY) == client(headers, heard));
    }
    let [added, joined] = handed_on(headers, "unknown");
    assert_eq!(client(&added, PROXY), PROXY);
    assert!(is_empty || client(&joined, PROXY) == PROXY);
}

fn sites(headers: &HeaderMap) {
    let mut own = headers.clone();
    own.remove(FORWARDED_HOST);
    own.remove(FORWARDED_PROTO);
    let alone = |headers: &HeaderMap, remote| requests().next(headers, SocketAddr::new(remote, 9));
    assert_eq!(alone(headers, STRANGER), alone(&own, STRANGER));
    let mut connection = requests();
    for (headers, remote) in [
        (headers, STRANGER),
        (headers, PROXY),
        (&own, STRANGER),
        (headers, STRANGER),
    ] {
        let site = connection.next(headers, SocketAddr::new(remote, 9));
        assert_eq!(site, alone(headers, remote));
        if let Some(site) = site {
            assert!(read_authority(&site.login_server).is_some());
            assert_eq!(site.login_server, site.login_server.to_ascii_lowercase());
        }
    }
}

fn network(text: &[u8]) {
    let Some((text, network)) = std::str::from_utf8(text)
        .ok()
        .and_then(|text| Some((text, Network::parse(text)?)))
    else {
        return;
    };
    let address = text.split('/').next().expect("a split has a first part");
    let address: IpAddr = address.parse().expect("a network has an address");
    assert!(network.contains(address) && network.contains(address.to_canonical()));
}

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some((kind, value)) = line.split_first() else {
            continue;
        };
        let name = match kind {
            b'h' => HOST,
            b'H' => FORWARDED_HOST,
            b'p' => FORWARDED_PROTO,
            b'f' => FORWARDED_FOR,
            b'n' => {
                network(value);
                continue;
            }
            _ => continue,
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    addresses(&headers);
    sites(&headers);
});

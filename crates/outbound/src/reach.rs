//! Which addresses requests may go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// Why a destination is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The scheme is neither `https` nor `http`, or there is no host.
    #[error("{0} is no https:// or http:// URL")]
    NoHttp(String),
    /// Plain HTTP to another machine, which was not asked for.
    #[error("{0} is plain http, which is for loopback only unless it is allowed")]
    Plain(String),
    /// The address belongs to this machine or a private network.
    #[error("{host} is {address}, an address of this machine or of a private network")]
    Private {
        /// The host of the URL.
        host: String,
        /// What it resolves to.
        address: IpAddr,
    },
    /// The address is link-local, a group, or no address of a machine: never allowed.
    #[error("{host} is {address}, which no request goes to")]
    Never {
        /// The host of the URL.
        host: String,
        /// What it resolves to.
        address: IpAddr,
    },
    /// A name of this machine that was not named with this port.
    #[error("{0} is this machine, and not what was named")]
    Unnamed(String),
}

/// Where requests may go. At first: to public addresses, by HTTPS.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    private: bool,
    plain: bool,
    named: Vec<(String, u16)>,
}

impl Reach {
    /// Public addresses, by HTTPS.
    pub fn public() -> Self {
        Self::default()
    }

    /// Also private networks and all of this machine. Link-local addresses stay refused: cloud providers hand out
    /// credentials there.
    #[must_use]
    pub fn and_private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Also plain HTTP. To loopback it is allowed anyway.
    #[must_use]
    pub fn and_plain_http(mut self) -> Self {
        self.plain = true;
        self
    }

    /// What the operator named: if that is a loopback address or `localhost`, exactly this host and port are allowed.
    #[must_use]
    pub fn and_named(mut self, url: &Url) -> Self {
        if let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) {
            self.named.push((host.to_owned(), port));
        }
        self
    }

    /// Checks what can be known before a name is looked up.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Refusal> {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(Refusal::NoHttp(shown(url)));
        };
        let address = literal(host);
        let is_here = match address {
            Some(address) => class(address) == Class::Loopback,
            None => is_localhost(host),
        };
        match url.scheme() {
            "https" => {}
            "http" if is_here || self.plain => {}
            "http" => return Err(Refusal::Plain(shown(url))),
            _ => return Err(Refusal::NoHttp(shown(url))),
        }
        if is_here {
            let is_named = self.named.iter().any(|(h, p)| h == host && *p == port);
            return (is_named || self.private)
                .then_some(())
                .ok_or_else(|| Refusal::Unnamed(shown(url)));
        }
        address.map_or(Ok(()), |address| self.check_address(host, address))
    }

    /// Checks what a name resolves to.
    pub(crate) fn check_address(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let host = || host.to_owned();
        match class(address) {
            Class::Public => Ok(()),
            // The port was checked with the URL.
            Class::Loopback if is_localhost(&host()) => Ok(()),
            Class::Loopback | Class::Private if self.private => Ok(()),
            Class::Loopback | Class::Private => Err(Refusal::Private {
                host: host(),
                address,
            }),
            Class::Never => Err(Refusal::Never {
                host: host(),
                address,
            }),
        }
    }
}

/// The URL without what could be secret in it.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// RFC 6761 §6.3
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host == "localhost" || host.ends_with(".localhost")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Public,
    Private,
    Loopback,
    Never,
}

fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

/// The IANA registry of special-purpose addresses (RFC 6890).
#[expect(clippy::match_same_arms, reason = "each line is one kind of address")]
fn class_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        [127, ..] => Class::Loopback,
        [10, ..] | [192, 168, ..] => Class::Private,
        [172, b, ..] if b & 0xf0 == 16 => Class::Private,
        [100, b, ..] if b & 0xc0 == 64 => Class::Private,
        [198, 18 | 19, ..] => Class::Private,
        [0, ..] | [169, 254, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] => Class::Never,
        [198, 51, 100, _] | [203, 0, 113, _] | [224..=255, ..] => Class::Never,
        // Azure's host of platform services answers every virtual machine here.
        [168, 63, 129, 16] => Class::Never,
        _ => Class::Public,
    }
}

#[expect(clippy::match_same_arms, reason = "each line is one kind of address")]
fn class_v6(address: Ipv6Addr) -> Class {
    if address == Ipv6Addr::LOCALHOST {
        return Class::Loopback;
    }
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        class_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Forms of IPv4: mapped, NAT64, 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        // Unique local addresses; among them the EC2 metadata service.
        [0xfd00, 0x0ec2, ..] => Class::Never,
        [first, ..] if first & 0xfe00 == 0xfc00 => Class::Private,
        // Teredo and the rest of the protocol assignments; documentation.
        [0x2001, 0..=0x1ff | 0x0db8, ..] | [0x3fff, 0..=0xfff, ..] => Class::Never,
        [first, ..] if first & 0xe000 == 0x2000 => Class::Public,
        _ => Class::Never,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn addresses_have_their_class() {
        for (class_of, addresses) in [
            (
                Class::Public,
                "1.1.1.1 172.32.0.1 100.128.0.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808",
            ),
            (
                Class::Private,
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 fd12::1 ::ffff:10.0.0.1 2002:a00:1::",
            ),
            (
                Class::Loopback,
                "127.0.0.1 127.9.9.9 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1",
            ),
            (
                Class::Never,
                "169.254.169.254 0.0.0.0 255.255.255.255 224.0.0.1 240.0.0.1 192.0.2.1 168.63.129.16 :: fe80::1 ff02::1 \
                 fd00:ec2::254 2001:db8::1 2001::1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe:: ::7f00:1",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(class(address.parse().unwrap()), class_of, "{address}");
            }
        }
    }

    #[test]
    fn urls_are_checked_before_a_name_is_looked_up() {
        let url = |text: &str| Url::parse(text).unwrap();
        let named = Reach::public().and_named(&url("http://127.0.0.1:5000"));
        let reaches = [
            Reach::public(),
            named,
            Reach::public().and_private(),
            Reach::public().and_plain_http(),
        ];
        for (text, allowed) in [
            ("https://registry.example.com/v2/", [true; 4]),
            (
                "http://registry.example.com/v2/",
                [false, false, false, true],
            ),
            ("http://127.0.0.1:5000/", [false, true, true, false]),
            ("http://127.0.0.1:5001/", [false, false, true, false]),
            // Other spellings of 127.0.0.1.
            ("http://2130706433:5000/", [false, true, true, false]),
            ("http://0x7f.1:5001/", [false, false, true, false]),
            ("http://localhost:5000/", [false, false, true, false]),
            ("https://a.localhost/", [false, false, true, false]),
            ("https://[::ffff:127.0.0.1]/", [false, false, true, false]),
            ("https://10.1.2.3/", [false, false, true, false]),
            ("https://[fd12::1]/", [false, false, true, false]),
            ("http://169.254.169.254/latest", [false; 4]),
            ("https://169.254.169.254/latest", [false; 4]),
            ("https://[fe80::1]/", [false; 4]),
            ("file:///etc/passwd", [false; 4]),
            ("ftp://example.com/", [false; 4]),
        ] {
            for (number, (reach, allowed)) in reaches.iter().zip(allowed).enumerate() {
                assert_eq!(reach.check(&url(text)).is_ok(), allowed, "{text} {number}");
            }
        }
    }

    #[test]
    fn a_name_may_not_resolve_into_a_private_network() {
        let name = "registry.example.com";
        let check = |reach: &Reach, address: &str| {
            reach.check_address(name, address.parse().unwrap()).is_ok()
        };
        let public =
            Reach::public().and_named(&Url::parse("https://registry.example.com").unwrap());
        assert!(check(&public, "1.1.1.1"));
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"] {
            assert!(!check(&public, address), "{address}");
        }
        let private = Reach::public().and_private();
        assert!(check(&private, "10.0.0.1") && check(&private, "127.0.0.1"));
        assert!(!check(&private, "169.254.169.254"));
    }
}

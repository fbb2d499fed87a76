//! Host names as clients write them.

/// The longest `host[:port]`, in bytes.
pub(crate) const LONGEST: usize = 255;

/// `host[:port]`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads `host[:port]` (RFC 3986, section 3.2, without user information and without escapes).
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let end = if text.starts_with('[') {
            text.find(']')? + 1
        } else {
            text.find(':').unwrap_or(text.len())
        };
        let (host, rest) = text.split_at(end);
        let port = if rest.is_empty() {
            None
        } else {
            let digits = rest.strip_prefix(':')?;
            let is_number = digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
            Some(digits.parse().ok().filter(|_| is_number)?)
        };
        is_host(host).then_some(Self { host, port })
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !host.is_empty()
        && host
            .strip_suffix('.')
            .unwrap_or(host)
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(allowed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_and_addresses_with_and_without_port() {
        let cases = [
            ("registry.example.com", "registry.example.com", None),
            ("localhost:5000", "localhost", Some(5000)),
            ("127.0.0.1:443", "127.0.0.1", Some(443)),
            ("[::1]:5000", "[::1]", Some(5000)),
            ("[2001:db8::1]", "[2001:db8::1]", None),
            ("My_Registry-1.", "My_Registry-1.", None),
        ];
        for (text, host, port) in cases {
            assert_eq!(Authority::parse(text), Some(Authority { host, port }));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = "a".repeat(256);
        for text in [
            "",
            ":5000",
            ".",
            "..",
            "a..b",
            ".a",
            "a:",
            "a:x",
            "a:65536",
            "a:-1",
            "a:000001",
            "a b",
            "a/b",
            "a@b",
            "a\"b",
            "a,b",
            "[::1",
            "::1",
            "[::1]5000",
            "[g::1]",
            "a%20b",
            "é.example",
            "http://a",
            &long,
        ] {
            assert_eq!(Authority::parse(text), None, "{text}");
        }
    }
}

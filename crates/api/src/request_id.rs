//! Request identifiers: a UUID made of a random prefix for the process and a counter. Text is made only when needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::{HeaderMap, HeaderValue};

/// The server's own name for a request, on its answer as `X-Ms-Correlation-Request-Id` and in every log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId {
    prefix: [u8; 10],
    number: u64,
}

const LENGTH: usize = 36;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Gives out identifiers.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: [u8; 10],
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        let mut prefix = [0; 10];
        // Without random bytes the identifiers are still unique within the process.
        let _ = getrandom::fill(&mut prefix);
        // The marks of a random UUID (RFC 9562, version 4).
        prefix[6] = prefix[6] & 0x0f | 0x40;
        prefix[8] = prefix[8] & 0x3f | 0x80;
        Self {
            prefix,
            next: AtomicU64::new(1),
        }
    }

    pub(crate) fn next(&self) -> RequestId {
        RequestId {
            prefix: self.prefix,
            number: self.next.fetch_add(1, Relaxed),
        }
    }
}

impl RequestId {
    fn text(self) -> [u8; LENGTH] {
        let mut bytes = [0; 16];
        bytes[..10].copy_from_slice(&self.prefix);
        bytes[10..].copy_from_slice(&self.number.to_be_bytes()[2..]);
        let mut text = [b'-'; LENGTH];
        let mut position = 0;
        for (index, byte) in bytes.into_iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                position += 1;
            }
            text[position] = HEX[usize::from(byte >> 4)];
            text[position + 1] = HEX[usize::from(byte & 0x0f)];
            position += 2;
        }
        text
    }

    /// As a header's value.
    pub(crate) fn header(self) -> HeaderValue {
        // Hexadecimal digits and dashes are always a value.
        HeaderValue::from_bytes(&self.text()).unwrap_or(HeaderValue::from_static(""))
    }

    /// As shared text, for rows and logs.
    pub(crate) fn shared(self) -> Arc<str> {
        std::str::from_utf8(&self.text()).unwrap_or_default().into()
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// The identifier the client or a proxy gave the request, if it is harmless text: it goes to the log beside ours.
pub(crate) fn inbound(headers: &HeaderMap) -> Option<&str> {
    let value = headers
        .get("x-request-id")
        .or_else(|| headers.get("x-ms-client-request-id"))?
        .to_str()
        .ok()?;
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    (!value.is_empty() && value.len() <= 128 && value.bytes().all(harmless)).then_some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use lazuli_wire::oci::UploadId;

    use super::*;

    #[test]
    fn identifiers_are_distinct_uuids() {
        let ids = RequestIds::new();
        let (one, two) = (ids.next(), ids.next());
        assert_ne!(one.to_string(), two.to_string());
        let text = two.to_string();
        assert!(UploadId::parse(&text).is_ok(), "{text}");
        assert_eq!(&text[14..15], "4");
        assert!(text.ends_with("-000000000002"));
        assert_eq!(two.header(), text);
        assert_eq!(&*two.shared(), text);
    }

    #[test]
    fn only_harmless_inbound_identifiers_are_taken() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            inbound(&headers).map(str::to_owned)
        };
        assert_eq!(of("x-request-id", "a-b/1").as_deref(), Some("a-b/1"));
        assert_eq!(of("x-ms-client-request-id", "7").as_deref(), Some("7"));
        for bad in ["", "a b", "a\"b", "é", &"x".repeat(129)] {
            assert_eq!(of("x-request-id", bad), None, "{bad}");
        }
    }
}

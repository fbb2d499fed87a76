//! Percent-encoding (RFC 3986 §2.1).

use std::fmt;

/// Reads the escape at the start of `bytes`, which begins with `%`.
pub(crate) fn escape(bytes: &[u8]) -> Option<u8> {
    let digit = |index: usize| {
        bytes
            .get(index)
            .and_then(|byte| char::from(*byte).to_digit(16))
    };
    Some((digit(1)? << 4 | digit(2)?) as u8)
}

/// Shows a text with everything escaped but the unreserved characters.
pub(crate) struct Encoded<'a>(pub(crate) &'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(position) = rest.bytes().position(|byte| !is_unreserved(byte)) {
            f.write_str(&rest[..position])?;
            let character = rest[position..].chars().next().map_or(1, char::len_utf8);
            for byte in &rest.as_bytes()[position..position + character] {
                write!(f, "%{byte:02X}")?;
            }
            rest = &rest[position + character..];
        }
        f.write_str(rest)
    }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_unreserved_characters_is_escaped() {
        assert_eq!(
            Encoded("library/a b+ü~1.0_x-").to_string(),
            "library%2Fa%20b%2B%C3%BC~1.0_x-"
        );
        assert_eq!(Encoded("").to_string(), "");
    }

    #[test]
    fn an_escape_has_two_hexadecimal_digits() {
        assert_eq!(escape(b"%2f"), Some(b'/'));
        assert_eq!(escape(b"%3Arest"), Some(b':'));
        assert_eq!(escape(b"%3"), None);
        assert_eq!(escape(b"%+1"), None);
        assert_eq!(escape(b"%g0"), None);
    }
}

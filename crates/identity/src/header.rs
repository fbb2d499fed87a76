//! The `Authorization` header (RFC 9110 §11.6.2), read strictly and without allocation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lazuli_wire::token::TOKEN_USERNAME;

use crate::jwt::MAX_TOKEN;

/// The longest header value that is looked at, in bytes: a token of the greatest length as the password of
/// [`TOKEN_USERNAME`], in base64, and the scheme.
pub const MAX_HEADER: usize = (TOKEN_USERNAME.len() + 1 + MAX_TOKEN).div_ceil(3) * 4 + 6;

/// The header cannot be read. Says nothing about what it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Authorization header cannot be read")]
pub struct Malformed;

/// What the header holds.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Authorization<'a> {
    /// RFC 6750.
    Bearer(&'a str),
    /// RFC 7617.
    Basic { user: &'a str, password: &'a str },
}

/// Bytes needed to decode a header of this length.
pub(crate) const fn decoded_length(header: usize) -> usize {
    header / 4 * 3 + 3
}

/// The token of a `Bearer` header, unchecked: good for comparing with tokens that were verified.
pub(crate) fn bearer_bytes(header: &[u8]) -> Option<&[u8]> {
    let (scheme, value) = header.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(value)
}

/// Reads a header value. Base64 is decoded into `buffer`, which [`decoded_length`] makes large enough.
pub(crate) fn parse<'a>(
    header: &'a [u8],
    buffer: &'a mut [u8],
) -> Result<Authorization<'a>, Malformed> {
    if header.len() > MAX_HEADER {
        return Err(Malformed);
    }
    let text = std::str::from_utf8(header).map_err(|_| Malformed)?;
    let (scheme, rest) = text.split_once(' ').ok_or(Malformed)?;
    let value = rest.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return bearer(value);
    }
    if scheme.eq_ignore_ascii_case("basic") {
        return basic(value, buffer);
    }
    Err(Malformed)
}

fn bearer(value: &str) -> Result<Authorization<'_>, Malformed> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!value.is_empty() && value.len() <= MAX_TOKEN && value.bytes().all(is_token))
        .then_some(Authorization::Bearer(value))
        .ok_or(Malformed)
}

fn basic<'a>(value: &str, buffer: &'a mut [u8]) -> Result<Authorization<'a>, Malformed> {
    let length = STANDARD
        .decode_slice(value, buffer)
        .map_err(|_| Malformed)?;
    let text = std::str::from_utf8(&buffer[..length]).map_err(|_| Malformed)?;
    if text.chars().any(char::is_control) {
        return Err(Malformed);
    }
    let (user, password) = text.split_once(':').ok_or(Malformed)?;
    Ok(Authorization::Basic { user, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str, check: impl FnOnce(Result<Authorization<'_>, Malformed>)) {
        let mut buffer = vec![0; decoded_length(header.len())];
        check(parse(header.as_bytes(), &mut buffer));
    }

    fn basic_header(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn schemes_are_read_in_any_case() {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            read(&format!("{scheme} a.b.c"), |got| {
                assert_eq!(got, Ok(Authorization::Bearer("a.b.c")));
            });
        }
        let expected = Authorization::Basic {
            user: "u",
            password: "p",
        };
        for scheme in ["Basic", "basic", "BASIC"] {
            read(&format!("{scheme} dTpw"), |got| {
                assert_eq!(got, Ok(expected));
            });
        }
        read("Bearer   a.b.c", |got| {
            assert_eq!(got, Ok(Authorization::Bearer("a.b.c")));
        });
    }

    #[test]
    fn the_password_begins_after_the_first_colon() {
        read(&basic_header("user:pa:ss:"), |got| {
            assert_eq!(
                got,
                Ok(Authorization::Basic {
                    user: "user",
                    password: "pa:ss:"
                })
            );
        });
        read(&basic_header("üser:pässwörd"), |got| {
            assert_eq!(
                got,
                Ok(Authorization::Basic {
                    user: "üser",
                    password: "pässwörd"
                })
            );
        });
    }

    #[test]
    fn a_token_of_the_greatest_length_is_read_both_ways() {
        let token = "x".repeat(MAX_TOKEN);
        read(&format!("Bearer {token}"), |got| {
            assert_eq!(got, Ok(Authorization::Bearer(&token)));
        });
        let header = basic_header(&format!("{TOKEN_USERNAME}:{token}"));
        assert!(header.len() <= MAX_HEADER);
        read(&header, |got| {
            assert_eq!(
                got,
                Ok(Authorization::Basic {
                    user: TOKEN_USERNAME,
                    password: &token
                })
            );
        });
    }

    #[test]
    fn anything_else_is_refused() {
        let too_long = format!("Bearer {}", "x".repeat(MAX_TOKEN + 1));
        let far_too_long = format!("Basic {}", "A".repeat(MAX_HEADER));
        let control = basic_header("user:pass\u{7}word");
        let no_colon = basic_header("user");
        for header in [
            "",
            " ",
            "Bearer",
            "Bearer ",
            "Basic",
            "Basic ",
            "Bearer a b",
            "Bearer a,b",
            "Bearer a.b.c=",
            "Bearer a\u{e4}",
            "Digest username=\"x\"",
            "Bearera.b.c",
            "Basic dTpw=",
            "Basic dTp",
            "Basic !!!!",
            "Basic dTpw dTpw",
            "Basic /w==",
            "\tBearer a.b.c",
            " Bearer a.b.c",
            "Bearer\ta.b.c",
            &too_long,
            &far_too_long,
            &control,
            &no_colon,
        ] {
            read(header, |got| {
                assert_eq!(got, Err(Malformed), "{header:.40}");
            });
        }
        let mut buffer = [0; 64];
        assert_eq!(parse(b"Bearer \xff\xfe", &mut buffer), Err(Malformed));
    }
}

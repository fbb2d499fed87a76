//! GUIDs: the names of tenants, objects, roles and subscriptions.

use std::fmt;

/// A GUID, in the byte order of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

/// The text is no GUID of the form 8-4-4-4-12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID such as 00000000-0000-0000-0000-000000000000")]
pub struct NotGuid;

/// Where the hyphens are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl Guid {
    /// All zeros.
    pub const ZERO: Self = Self([0; 16]);

    /// From bytes in the order of the text.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes in the order of the text.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the form 8-4-4-4-12, in any case, without braces.
    pub const fn parse(text: &str) -> Result<Self, NotGuid> {
        let text = text.as_bytes();
        if text.len() != 36 {
            return Err(NotGuid);
        }
        let mut bytes = [0; 16];
        let (mut position, mut index) = (0, 0);
        while position < 36 {
            if is_hyphen(position) {
                if text[position] != b'-' {
                    return Err(NotGuid);
                }
                position += 1;
                continue;
            }
            let (Some(high), Some(low)) = (digit(text[position]), digit(text[position + 1])) else {
                return Err(NotGuid);
            };
            bytes[index] = high << 4 | low;
            index += 1;
            position += 2;
        }
        Ok(Self(bytes))
    }
}

const fn is_hyphen(position: usize) -> bool {
    position == HYPHENS[0]
        || position == HYPHENS[1]
        || position == HYPHENS[2]
        || position == HYPHENS[3]
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Lower case.
impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut position = 0;
        for byte in self.0 {
            if is_hyphen(position) {
                position += 1;
            }
            text[position] = DIGITS[usize::from(byte >> 4)];
            text[position + 1] = DIGITS[usize::from(byte & 15)];
            position += 2;
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

textual!(Guid, NotGuid, "a GUID");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_guid_is_read_in_any_case_and_shown_in_lower_case() {
        let text = "04B07795-8DDB-461a-bbee-02f9e1bf7b46";
        let guid = Guid::parse(text).unwrap();
        assert_eq!(guid.to_string(), text.to_ascii_lowercase());
        assert_eq!(guid.as_bytes()[..2], [0x04, 0xb0]);
        let json = serde_json::to_string(&guid).unwrap();
        assert_eq!(serde_json::from_str::<Guid>(&json).unwrap(), guid);
        assert_eq!(
            Guid::ZERO.to_string(),
            "00000000-0000-0000-0000-000000000000"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "04b077958ddb461abbee02f9e1bf7b46",
            "{04b07795-8ddb-461a-bbee-02f9e1bf7b46}",
            "04b07795-8ddb-461a-bbee-02f9e1bf7b4",
            "04b07795-8ddb-461a-bbee-02f9e1bf7b4g",
            "04b07795-8ddb-461a-bbee-02f9e1bf7b466",
            "04b0779-58ddb-461a-bbee-02f9e1bf7b46",
            "04b07795-8ddb-461a-bbee-02f9e1bf7béa",
            "04b07795-8ddb-461a-bbee-+2f9e1bf7b46",
        ] {
            assert_eq!(Guid::parse(text), Err(NotGuid), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_bytes_say_the_same(bytes: [u8; 16]) {
            let guid = Guid::from_bytes(bytes);
            prop_assert_eq!(Guid::parse(&guid.to_string()), Ok(guid));
            prop_assert_eq!(Guid::parse(&guid.to_string().to_uppercase()), Ok(guid));
        }

        #[test]
        fn foreign_text_never_panics(text in ".{0,48}") {
            if let Ok(guid) = Guid::parse(&text) {
                prop_assert_eq!(guid.to_string(), text.to_ascii_lowercase());
            }
        }
    }
}

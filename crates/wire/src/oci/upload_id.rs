//! Identifiers of upload sessions.

use std::fmt;

/// An upload session's identifier, a UUID (distribution-spec, "Pushing a blob in chunks": the location carries a unique id).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId([u8; 16]);

/// The text is no UUID in its 36 character form. Clients see `BLOB_UPLOAD_UNKNOWN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an upload identifier")]
pub struct UploadIdError;

const LENGTH: usize = 36;
const DASHES: [usize; 4] = [8, 13, 18, 23];

impl UploadId {
    /// An identifier from random bytes, marked as a random UUID (RFC 9562, version 4).
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// An identifier from its stored bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The stored bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the 36 character form, in either case.
    pub fn parse(text: &str) -> Result<Self, UploadIdError> {
        let text: &[u8; LENGTH] = text.as_bytes().try_into().map_err(|_| UploadIdError)?;
        let mut nibbles = 0;
        let mut bytes = [0; 16];
        for (position, byte) in text.iter().enumerate() {
            if DASHES.contains(&position) {
                if *byte != b'-' {
                    return Err(UploadIdError);
                }
                continue;
            }
            let digit = char::from(*byte).to_digit(16).ok_or(UploadIdError)? as u8;
            bytes[nibbles / 2] = bytes[nibbles / 2] << 4 | digit;
            nibbles += 1;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            value >> 96,
            value >> 80 & 0xffff,
            value >> 64 & 0xffff,
            value >> 48 & 0xffff,
            value & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

textual!(UploadId, UploadIdError, "a UUID");

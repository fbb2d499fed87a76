//! Places of blobs.

use std::fmt;

use lazuli_wire::oci::{Algorithm, Digest, UploadId};

/// A blob's place in a store, such as `1/sha256/6c/6c3c…-0123456789ab`: prefix, algorithm, first byte of the hash, hash
/// and a suffix from the upload that made it. In an object store the suffix of a large blob is the upload's whole
/// identifier, which names its bytes.
///
/// The text is stored in the database. It can only name a file below the store's root: every part is checked when it
/// is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location(Box<str>);

/// The text is no location, or the prefix cannot be part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a blob location")]
pub struct LocationError;

/// Bytes of the upload's identifier that make the suffix. All of them are random in every version of UUID in use.
const SUFFIX: std::ops::Range<usize> = 10..16;
const SUFFIX_LENGTH: usize = 12;
/// Digits of a whole identifier.
const UPLOAD_LENGTH: usize = 32;
const MAX_PREFIX: usize = 64;

impl Location {
    /// The place of the blob that an upload becomes. `prefix` is 1 to 64 letters, digits, `-` or `_`.
    pub fn new(prefix: &str, digest: &Digest, upload: UploadId) -> Result<Self, LocationError> {
        Self::with_suffix(prefix, digest, &upload.as_bytes()[SUFFIX])
    }

    /// The same for a blob whose bytes are named after the upload.
    pub(crate) fn pointing(
        prefix: &str,
        digest: &Digest,
        upload: UploadId,
    ) -> Result<Self, LocationError> {
        Self::with_suffix(prefix, digest, upload.as_bytes())
    }

    fn with_suffix(prefix: &str, digest: &Digest, suffix: &[u8]) -> Result<Self, LocationError> {
        if !is_prefix(prefix) {
            return Err(LocationError);
        }
        let hex = digest.to_hex();
        let mut text = String::with_capacity(prefix.len() + hex.len() + 48);
        for part in [
            prefix,
            "/",
            digest.algorithm().as_str(),
            "/",
            &hex[..2],
            "/",
            &hex,
            "-",
        ] {
            text.push_str(part);
        }
        text.push_str(&self::hex(suffix));
        Ok(Self(text.into_boxed_str()))
    }

    /// Reads a stored location.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let mut parts = text.split('/');
        let (Some(prefix), Some(algorithm), Some(fan), Some(name), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(LocationError);
        };
        let algorithm = Algorithm::parse(algorithm).ok_or(LocationError)?;
        parse_name(algorithm, name).ok_or(LocationError)?;
        if !is_prefix(prefix) || !name.starts_with(fan) || fan.len() != 2 {
            return Err(LocationError);
        }
        Ok(Self(text.into()))
    }

    /// The text, as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digest the name carries.
    pub fn digest(&self) -> Option<Digest> {
        let mut parts = self.0.split('/').skip(1);
        let algorithm = Algorithm::parse(parts.next()?)?;
        parse_name(algorithm, parts.nth(1)?).map(|(digest, _)| digest)
    }

    /// Whether it is one that this upload could become.
    pub fn is_of(&self, upload: UploadId) -> bool {
        let id = upload.as_bytes();
        let suffix = self.0.rsplit_once('-').map(|(_, suffix)| suffix);
        suffix.is_some_and(|suffix| suffix == hex(&id[SUFFIX]) || suffix == hex(id))
    }

    /// The upload that the bytes are named after, if they are.
    pub(crate) fn upload(&self) -> Option<UploadId> {
        let (_, suffix) = self.0.rsplit_once('-')?;
        read_upload(suffix)
    }

    /// The directory part, `prefix/algorithm/xx`.
    pub(crate) fn directory(&self) -> &str {
        self.0
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether a text may be the first part of a location.
pub(crate) fn is_prefix(text: &str) -> bool {
    (1..=MAX_PREFIX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Reads the last part of a location: hash and suffix, all in lower-case hexadecimal.
fn parse_name(algorithm: Algorithm, name: &str) -> Option<(Digest, &str)> {
    let (hex, suffix) = name.split_once('-')?;
    let is_suffix = matches!(suffix.len(), SUFFIX_LENGTH | UPLOAD_LENGTH);
    if !is_suffix || !is_hex(suffix) {
        return None;
    }
    let digest = Digest::parse(&format!("{}:{hex}", algorithm.as_str())).ok()?;
    Some((digest, suffix))
}

fn is_hex(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    digits.map(hex_digit).collect()
}

/// An upload's identifier from its thirty-two digits.
pub(crate) fn read_upload(text: &str) -> Option<UploadId> {
    if text.len() != UPLOAD_LENGTH || !is_hex(text) {
        return None;
    }
    u128::from_str_radix(text, 16)
        .ok()
        .map(|number| UploadId::from_bytes(number.to_be_bytes()))
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

//! Content digests (image-spec, "Digests").

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::Digest as _;

/// A hash algorithm this registry computes. The codes are stored, so they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Algorithm {
    /// SHA-256, the default of every client.
    Sha256 = 1,
    /// SHA-512.
    Sha512 = 2,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Reads the name of a supported algorithm.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
    }

    /// The name used in digests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of a hash in bytes.
    pub const fn hash_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The byte this algorithm is stored as.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The algorithm stored as this byte.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Sha256),
            2 => Some(Self::Sha512),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

const MAX_HASH: usize = 64;

/// A digest of a supported algorithm, such as `sha256:6c3c…`. Held inline, so it is copied without allocation.
///
/// Digests order as their texts do: by algorithm, then by hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    /// Bytes after the algorithm's length are zero.
    hash: [u8; MAX_HASH],
}

/// Why a text is no digest this registry can use. Clients see `DIGEST_INVALID`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The text does not follow the digest grammar, or the hash has not the form its algorithm prescribes.
    #[error("malformed digest")]
    Malformed,
    /// A well-formed digest of an algorithm this registry does not compute.
    #[error("digest algorithm '{algorithm}' is not supported; use sha256 or sha512")]
    Unsupported {
        /// The algorithm's name.
        algorithm: Box<str>,
    },
}

impl Digest {
    /// The longest text taken for a digest of an unknown algorithm, in bytes.
    const MAX_TEXT: usize = 512;

    /// The longest text of a supported digest, in bytes.
    pub const MAX_LENGTH: usize = "sha512:".len() + 2 * MAX_HASH;

    /// Reads a digest.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let Some((name, encoded)) = text.split_once(':') else {
            return Err(DigestError::Malformed);
        };
        let Some(algorithm) = Algorithm::parse(name) else {
            return Err(unsupported_or_malformed(text, name, encoded));
        };
        if encoded.len() != 2 * algorithm.hash_len() {
            return Err(DigestError::Malformed);
        }
        let mut hash = [0; MAX_HASH];
        let mut invalid = 0;
        for (byte, pair) in hash.iter_mut().zip(encoded.as_bytes().chunks_exact(2)) {
            let (high, low) = (NIBBLES[pair[0] as usize], NIBBLES[pair[1] as usize]);
            invalid |= high | low;
            *byte = high << 4 | low;
        }
        // Only the marker of a foreign character has high bits.
        if invalid > 0x0f {
            Err(DigestError::Malformed)
        } else {
            Ok(Self { algorithm, hash })
        }
    }

    /// Computes the digest of content held in memory.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hash = [0; MAX_HASH];
        match algorithm {
            Algorithm::Sha256 => hash[..32].copy_from_slice(&sha2::Sha256::digest(content)),
            Algorithm::Sha512 => hash.copy_from_slice(&sha2::Sha512::digest(content)),
        }
        Self { algorithm, hash }
    }

    /// A digest from a raw hash; `None` when its length is not the algorithm's.
    pub fn from_hash(algorithm: Algorithm, raw: &[u8]) -> Option<Self> {
        if raw.len() != algorithm.hash_len() {
            return None;
        }
        let mut hash = [0; MAX_HASH];
        hash[..raw.len()].copy_from_slice(raw);
        Some(Self { algorithm, hash })
    }

    /// The stored form: the algorithm's code and the raw hash.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.hash().len());
        bytes.push(self.algorithm.code());
        bytes.extend_from_slice(self.hash());
        bytes
    }

    /// Reads the stored form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (code, hash) = bytes.split_first()?;
        Self::from_hash(Algorithm::from_code(*code)?, hash)
    }

    /// The algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw hash.
    pub fn hash(&self) -> &[u8] {
        &self.hash[..self.algorithm.hash_len()]
    }

    /// The hash in lower-case hexadecimal.
    pub fn to_hex(&self) -> String {
        let mut buffer = [0; Self::MAX_LENGTH];
        let text = self.encode(&mut buffer);
        text[text.len() - 2 * self.algorithm.hash_len()..].to_owned()
    }

    /// Writes the text into a buffer, for where an allocation would be one too many.
    pub fn encode<'a>(&self, buffer: &'a mut [u8; Self::MAX_LENGTH]) -> &'a str {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let name = self.algorithm.as_str().as_bytes();
        let (head, hash) = buffer.split_at_mut(name.len() + 1);
        head[..name.len()].copy_from_slice(name);
        head[name.len()] = b':';
        for (pair, byte) in hash.chunks_exact_mut(2).zip(self.hash()) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 0x0f)];
        }
        let length = name.len() + 1 + 2 * self.algorithm.hash_len();
        // All of it is ASCII, so there is text to be had.
        std::str::from_utf8(&buffer[..length]).unwrap_or_default()
    }
}

const FOREIGN: u8 = 0x80;

/// The value of each lower-case hexadecimal digit, [`FOREIGN`] for every other byte.
const NIBBLES: [u8; 256] = {
    let mut table = [FOREIGN; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit as usize] as usize] = digit;
        digit += 1;
    }
    table
};

#[cold]
fn unsupported_or_malformed(text: &str, name: &str, encoded: &str) -> DigestError {
    let component = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let well_formed = text.len() <= Digest::MAX_TEXT
        && name.split(['+', '.', '_', '-']).all(component)
        && !encoded.is_empty()
        && encoded
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-'))
        && (name != "blake3" || is_lower_hex(encoded, 64));
    if well_formed {
        DigestError::Unsupported {
            algorithm: name.into(),
        }
    } else {
        DigestError::Malformed
    }
}

fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| NIBBLES[byte as usize] != FOREIGN)
}

/// Hashes are uniform already, so only the significant bytes are fed, once.
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.hash[..self.algorithm.hash_len()]);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.encode(&mut [0; Self::MAX_LENGTH]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

textual!(Digest, DigestError, "a digest");

//! A running hash that can be saved between requests and carried on by another process.

use lazuli_wire::oci::{Algorithm, Digest};
use sha2::Digest as _;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

/// The hash of the bytes of an upload so far.
#[derive(Clone)]
pub struct Hasher {
    state: State,
    length: u64,
}

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

/// A saved state cannot be carried on; the bytes have to be hashed again from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a saved hash state")]
pub struct StateError;

/// First byte of a saved state. The rest follows the sha2 crate's layout, which the known states in the tests pin; a
/// change there has to count this up.
const VERSION: u8 = 1;
/// Version, algorithm, and the number of bytes hashed (big-endian).
const HEADER: usize = 1 + 1 + 8;
/// Most bytes hashed by a state that is carried on. SHA-256 counts bits in 64 bits, so it ends at 2^61 bytes.
const LONGEST: u64 = 1 << 60;

impl Hasher {
    /// The hash of no bytes.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        };
        Self { state, length: 0 }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        match self.state {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Number of bytes hashed.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether no byte was hashed yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Hashes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        match &mut self.state {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of all bytes.
    pub fn finish(self) -> Digest {
        let algorithm = self.algorithm();
        let hash = match self.state {
            State::Sha256(hash) => Digest::from_hash(algorithm, &hash.finalize()),
            State::Sha512(hash) => Digest::from_hash(algorithm, &hash.finalize()),
        };
        // The lengths agree by construction.
        hash.unwrap_or_else(|| Digest::of(algorithm, &[]))
    }

    /// The running state: 114 bytes for SHA-256, 218 for SHA-512. It holds up to one block of the content.
    pub fn save(&self) -> Vec<u8> {
        let mut saved = vec![VERSION, self.algorithm().code()];
        saved.extend_from_slice(&self.length.to_be_bytes());
        match &self.state {
            State::Sha256(hash) => saved.extend_from_slice(&hash.serialize()),
            State::Sha512(hash) => saved.extend_from_slice(&hash.serialize()),
        }
        saved
    }

    /// Carries on from a saved state.
    pub fn restore(saved: &[u8]) -> Result<Self, StateError> {
        let (header, state) = saved.split_at_checked(HEADER).ok_or(StateError)?;
        let (Some(&VERSION), Some(&code), Some(length)) =
            (header.first(), header.get(1), header.get(2..))
        else {
            return Err(StateError);
        };
        let length = u64::from_be_bytes(length.try_into().map_err(|_| StateError)?);
        if length > LONGEST {
            return Err(StateError);
        }
        let state = match Algorithm::from_code(code).ok_or(StateError)? {
            Algorithm::Sha256 => State::Sha256(restore_state(state, length, 32)?),
            Algorithm::Sha512 => State::Sha512(restore_state(state, length, 64)?),
        };
        Ok(Self { state, length })
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The state is content in part, so it stays out of logs.
        write!(f, "Hasher({}, {} bytes)", self.algorithm(), self.length)
    }
}

/// Reads the crate's layout: chaining value, number of blocks (as wide as a quarter of the value, little-endian), the
/// number of bytes waiting for a full block, those bytes.
fn restore_state<H: SerializableState>(
    saved: &[u8],
    length: u64,
    value: usize,
) -> Result<H, StateError> {
    let (blocks_length, block) = (value / 4, value as u64 * 2);
    let counted = saved.get(value..=value + blocks_length).ok_or(StateError)?;
    let (waiting, blocks) = counted.split_last().ok_or(StateError)?;
    let mut wide = [0; 16];
    wide[..blocks.len()].copy_from_slice(blocks);
    // A state whose counters disagree with its length would carry on to a wrong digest.
    if u128::from_le_bytes(wide) != u128::from(length / block)
        || u64::from(*waiting) != length % block
    {
        return Err(StateError);
    }
    let saved = SerializedState::<H>::try_from(saved).map_err(|_| StateError)?;
    H::deserialize(&saved).map_err(|_| StateError)
}

//! The readers of upload states and of journals by themselves, for property tests and fuzzing, and polls on demand. Never part of a product build.

use lazuli_wire::oci::{Algorithm, RepositoryName, UploadId};

use crate::Registry;
use crate::sessions::{FRESH_US, Owner, Sessions};

/// Reads lines as those of a journal's record with a true last line; how many follow its head.
pub fn journal_record(lines: &[u8]) -> Option<usize> {
    crate::journal::testing::read(lines)
}

/// Waits for a poll of other nodes' changes that begins after this call; false: it failed, or this node is alone.
pub async fn catch_up(registry: &Registry) -> bool {
    match &registry.inner.nodes {
        Some(nodes) => nodes.catch_up().await,
        None => false,
    }
}

/// How long a state is good for, in microseconds.
pub const STATE_LIFE_US: i64 = FRESH_US;

/// Whose upload a state is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateOf<'a> {
    /// The registry's number.
    pub registry: i64,
    /// The repository.
    pub repository: &'a RepositoryName,
    /// The principal's name.
    pub principal: &'a str,
    /// The session.
    pub id: UploadId,
}

impl StateOf<'_> {
    fn owner(&self) -> Owner<'_> {
        Owner {
            registry: self.registry,
            repository: self.repository,
            principal: self.principal,
        }
    }
}

/// The states of upload sessions that hold nothing yet (`_state` in their address).
pub struct UploadStates(Sessions);

impl UploadStates {
    /// States authenticated by a key.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Sessions::new(key, false))
    }

    /// The state of a session begun at a time (microseconds since the Unix epoch).
    pub fn make(&self, of: &StateOf<'_>, algorithm: Algorithm, now: i64) -> String {
        self.0.fresh_state(&of.owner(), of.id, algorithm, now)
    }

    /// Reads a state as a request's is read: when the session was begun, and its algorithm.
    pub fn read(&self, of: &StateOf<'_>, state: &str, now: i64) -> Option<(i64, Algorithm)> {
        self.0.read_fresh_state(&of.owner(), of.id, state, now)
    }
}

impl std::fmt::Debug for UploadStates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UploadStates")
    }
}

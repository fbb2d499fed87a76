//! Which blobs were read already, in little memory.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use super::sql::Placed;

/// Most that a pass remembers; two passes take some 150 MiB. What is beyond is read again.
const MOST: usize = 4 << 20;

/// Blobs that were read in their places. Only a hash of each is kept: that among a million one passes for another has a chance
/// below one in a million.
#[derive(Debug, Default)]
pub(super) struct Seen {
    hashes: RandomState,
    /// As of the pass before.
    before: HashSet<u64>,
    /// Those that this pass met: what is gone is forgotten at its end.
    now: HashSet<u64>,
}

impl Seen {
    /// A pass over all blobs begins.
    pub(super) fn begin(&mut self) {
        // After one that was broken off both count.
        self.before.extend(self.now.drain());
    }

    /// Whether it was read before; then it is remembered.
    pub(super) fn knows(&mut self, blob: &Placed) -> bool {
        let hash = self.hashes.hash_one(blob);
        let is_known = self.before.contains(&hash);
        if is_known {
            self.keep(hash);
        }
        is_known
    }

    /// It was read now.
    pub(super) fn remember(&mut self, blob: &Placed) {
        self.keep(self.hashes.hash_one(blob));
    }

    /// The pass met everything.
    pub(super) fn end(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    fn keep(&mut self, hash: u64) {
        if self.now.len() < MOST {
            self.now.insert(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use lazuli_wire::oci::{Algorithm, Digest};

    use super::*;

    #[test]
    fn what_a_pass_did_not_meet_is_forgotten() {
        let blob = |place: &str| {
            let digest = Digest::of(Algorithm::Sha256, b"x");
            (1, digest, Some(place.to_owned()))
        };
        let mut seen = Seen::default();
        seen.begin();
        assert!(!seen.knows(&blob("a")) && !seen.knows(&blob("b")));
        seen.remember(&blob("a"));
        seen.remember(&blob("b"));
        seen.end();
        seen.begin();
        assert!(seen.knows(&blob("a")) && !seen.knows(&blob("c")));
        // Broken off: both passes count.
        seen.begin();
        assert!(seen.knows(&blob("a")) && seen.knows(&blob("b")));
        seen.end();
        seen.begin();
        assert!(seen.knows(&blob("b")));
        seen.end();
        seen.begin();
        assert!(!seen.knows(&blob("a")), "it was not met");
    }
}

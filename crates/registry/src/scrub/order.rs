//! The order of a pass, and how much of it is due at a time.
//!
//! Digests are evenly spread, so the space of digests is a clock face: a pass goes through it from the first to the last
//! slice, in each slice through every registry, and at each time everything before a point that moves with the time is
//! due. So nothing has to be counted beforehand, the work is even, and a blob has its turn at the same time of each pass,
//! whatever came or went meanwhile. Manifests are few bytes and come last, by repository.

use lazuli_wire::oci::Algorithm;

/// Slices of the space of digests.
pub(super) const SLICES: i64 = 1024;
/// After the last slice of blobs: the manifests.
pub(super) const MANIFESTS: i64 = SLICES;
/// Bits of the slice in the first eight bytes of a hash.
const WIDTH: u128 = 1 << 54;
/// The part of a pass's time that is for blobs.
pub(super) const BLOBS_PART: f64 = 0.95;

const FIRST: u8 = Algorithm::Sha256.code();
const LAST: u8 = Algorithm::Sha512.code();

/// How far a pass has come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    pub(super) slice: i64,
    /// The registry, or the repository of a manifest.
    pub(super) owner: i64,
    /// The last digest that it came past, as in rows; empty: none of this owner.
    pub(super) digest: Vec<u8>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Blobs of a registry after one key and before another.
    Blobs {
        registry: i64,
        after: Vec<u8>,
        before: Vec<u8>,
        /// Where the pass is when they are done.
        then: Cursor,
        /// Whether that is all that is due.
        is_last: bool,
    },
    /// Manifests after the cursor.
    Manifests,
    /// Nothing yet.
    NotDue,
}

impl Cursor {
    pub(super) fn start() -> Self {
        Self::at(0)
    }

    fn at(slice: i64) -> Self {
        Self {
            slice,
            owner: i64::MIN,
            digest: Vec::new(),
        }
    }

    /// What comes next in a registry of these registries, in ascending order, when `due` of the pass is due (1: all).
    pub(super) fn next(&self, registries: &[i64], due: f64) -> Segment {
        let mut cursor = self.clone();
        let index = registries.partition_point(|id| *id < cursor.owner);
        let registry = match registries.get(index) {
            Some(registry) if cursor.slice < SLICES => *registry,
            _ => return self.next_slice(registries, due),
        };
        let slices = (due / BLOBS_PART).min(1.0) * SLICES as f64;
        let part = (slices - cursor.slice as f64) * registries.len() as f64 - index as f64;
        let is_whole = part >= 1.0;
        let from = cursor.slice as u128 * WIDTH;
        let to = match part {
            part if part <= 0.0 => return Segment::NotDue,
            _ if is_whole => from + WIDTH,
            part => from + (part * WIDTH as f64) as u128,
        };
        if registry != cursor.owner || cursor.digest.is_empty() {
            cursor.owner = registry;
            cursor.digest = key(FIRST, from);
        }
        let algorithm = cursor.digest[0];
        let before = key(algorithm, to);
        if before <= cursor.digest && !is_whole {
            return Segment::NotDue;
        }
        let then = if !is_whole {
            Self {
                digest: before.clone(),
                ..cursor.clone()
            }
        } else if algorithm < LAST {
            Self {
                digest: key(algorithm + 1, from),
                ..cursor.clone()
            }
        } else {
            Self {
                slice: cursor.slice,
                owner: registry.saturating_add(1),
                digest: Vec::new(),
            }
        };
        Segment::Blobs {
            registry,
            after: cursor.digest,
            before,
            then,
            is_last: !is_whole,
        }
    }

    fn next_slice(&self, registries: &[i64], due: f64) -> Segment {
        if self.slice >= MANIFESTS || registries.is_empty() || self.slice + 1 == MANIFESTS {
            return if due >= BLOBS_PART {
                Segment::Manifests
            } else {
                Segment::NotDue
            };
        }
        Self::at(self.slice + 1).next(registries, due)
    }

    /// Where manifests begin, unless the pass is among them.
    pub(super) fn among_manifests(&self) -> Self {
        if self.slice < MANIFESTS {
            Self::at(MANIFESTS)
        } else {
            self.clone()
        }
    }

    /// The part of the pass that is done, between 0 and 1, by whole slices.
    pub(super) fn progress(&self) -> f64 {
        self.slice.min(SLICES) as f64 / SLICES as f64 * BLOBS_PART
    }
}

/// A bound between digests of an algorithm, by the first eight bytes of their hash: shorter than any of them.
fn key(algorithm: u8, at: u128) -> Vec<u8> {
    let Ok(at) = u64::try_from(at) else {
        return vec![algorithm + 1];
    };
    let mut key = vec![algorithm];
    key.extend_from_slice(&at.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// Goes through what is due as a pass does: everything that is due is come past, in one order.
    fn go(
        mut cursor: Cursor,
        registries: &[i64],
        due: f64,
        met: &mut Vec<(i64, Vec<u8>)>,
        keys: &[(i64, Vec<u8>)],
    ) -> Cursor {
        loop {
            match cursor.next(registries, due) {
                Segment::Blobs {
                    registry,
                    after,
                    before,
                    then,
                    is_last,
                } => {
                    let mut found: Vec<_> = keys
                        .iter()
                        .filter(|(of, key)| *of == registry && *key > after && *key < before)
                        .cloned()
                        .collect();
                    found.sort();
                    met.extend(found);
                    assert!(then != cursor, "it moves on");
                    cursor = then;
                    if is_last {
                        return cursor;
                    }
                }
                _ => return cursor,
            }
        }
    }

    fn digest(byte: u8, at: u64, is_long: bool) -> Vec<u8> {
        let mut key = vec![if is_long { LAST } else { FIRST }];
        key.extend_from_slice(&at.to_be_bytes());
        key.resize(if is_long { 65 } else { 33 }, byte);
        key
    }

    proptest! {
        /// However the time comes in steps, every key is met once, none before its time.
        #[test]
        fn every_digest_is_met_once(
            keys in prop::collection::btree_set((0..3_i64, any::<u8>(), any::<u64>(), any::<bool>()), 0..60),
            mut times in prop::collection::vec(0.0..1.0_f64, 0..6),
        ) {
            let keys: Vec<_> = keys.into_iter().map(|(of, byte, at, is_long)| (of * 7, digest(byte, at, is_long))).collect();
            times.sort_by(f64::total_cmp);
            times.push(1.0);
            let (mut cursor, mut met) = (Cursor::start(), Vec::new());
            let mut last = -1.0;
            for due in times {
                let before = met.len();
                cursor = go(cursor, &[0, 7, 14], due, &mut met, &keys);
                prop_assert!(cursor.progress() >= last);
                last = cursor.progress();
                for (_, key) in &met[before..] {
                    let at = u64::from_be_bytes(key[1..9].try_into().unwrap()) as f64 / 2_f64.powi(64);
                    prop_assert!(at <= due / BLOBS_PART + 1.0 / SLICES as f64);
                }
            }
            let (mut met, mut keys) = (met, keys);
            met.sort();
            keys.sort();
            prop_assert_eq!(met, keys);
            prop_assert_eq!(cursor.next(&[0, 7, 14], 1.0), Segment::Manifests);
        }
    }

    #[test]
    fn manifests_have_their_time() {
        let end = Cursor::at(MANIFESTS);
        assert_eq!(end.next(&[1], 0.9), Segment::NotDue);
        assert_eq!(end.next(&[1], 0.95), Segment::Manifests);
        assert_eq!(Cursor::start().next(&[], 0.5), Segment::NotDue);
        assert_eq!(Cursor::start().next(&[], 1.0), Segment::Manifests);
        assert!(Cursor::start().progress() < f64::EPSILON);
    }
}

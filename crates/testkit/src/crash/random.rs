//! Decisions and content that a seed repeats.

/// A generator of numbers (splitmix64): small, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator for one place in a run: the same seed and place give the same numbers.
    pub fn new(seed: u64, place: &[u64]) -> Self {
        let mut random = Self(seed);
        for part in place {
            random.0 = random.number() ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        }
        random
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number().checked_rem(limit).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of the items; `None` if there are none. A number is drawn in any case, so that the draws after this one do not
    /// depend on what there was to choose from.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let number = self.number();
        items.get(number.checked_rem(items.len() as u64)? as usize)
    }

    /// One of the kinds, as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, kinds: &[(u64, T)]) -> Option<T> {
        let total = kinds.iter().map(|(weight, _)| weight).sum();
        let mut number = self.below(total);
        for (weight, kind) in kinds {
            if number < *weight {
                return Some(*kind);
            }
            number -= weight;
        }
        None
    }
}

/// The bytes that belong to a number.
pub fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.number().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_repeats_its_numbers_and_no_other_has_them() {
        let draw = |place: &[u64]| Random::new(7, place).number();
        assert_eq!(draw(&[1, 2]), draw(&[1, 2]));
        assert_ne!(draw(&[1, 2]), draw(&[2, 1]));
        assert_ne!(draw(&[1, 2]), Random::new(8, &[1, 2]).number());
    }

    #[test]
    fn content_has_its_size() {
        assert_eq!(content(1, 13).len(), 13);
        assert!(content(1, 0).is_empty());
        assert_ne!(content(1, 100), content(2, 100));
    }

    #[test]
    fn choices_are_within_bounds() {
        let mut random = Random::new(1, &[]);
        for _ in 0..1000 {
            assert!((3..=5).contains(&random.between(3, 5)));
            assert_eq!(random.weighted(&[(0, 'a'), (1, 'b')]), Some('b'));
        }
        assert_eq!(random.pick::<u8>(&[]), None);
        assert_eq!(random.below(0), 0);
    }
}

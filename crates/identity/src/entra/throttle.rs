//! Wrong guesses cost time: each further one for the same name from the same place doubles the wait.
//!
//! What is counted is a name together with an address, so that nobody can lock somebody else out from elsewhere; and, with
//! more patience, an address by itself, for those who try one password on many names.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fair::Origin;

/// Wrong guesses without a wait, for one name from one address.
const FREE: u32 = 5;

/// Wrong guesses without a wait from one address.
const FREE_OF_ORIGIN: u32 = 100;

/// The longest wait, in seconds.
const LONGEST: u32 = 900;

/// Microseconds after which guesses are forgotten.
const FORGOTTEN: i64 = 3_600_000_000;

/// Most names and addresses remembered at once.
const MOST: usize = 65_536;

#[derive(Debug, Clone, Copy)]
struct Guesses {
    wrong: u32,
    /// Microseconds.
    last: i64,
}

/// Wrong guesses, counted.
#[derive(Debug)]
pub(crate) struct Throttle {
    hasher: RandomState,
    /// By a keyed hash: a collision makes two share, which nobody can arrange.
    guesses: Mutex<HashMap<u64, Guesses>>,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            guesses: Mutex::default(),
        }
    }

    fn keys(&self, name: &str, from: Origin) -> [(u64, u32); 2] {
        [
            (self.hasher.hash_one((1, name.to_lowercase(), from)), FREE),
            (self.hasher.hash_one((2, from)), FREE_OF_ORIGIN),
        ]
    }

    /// The seconds somebody has to wait before the next guess.
    pub(crate) fn check(&self, name: &str, from: Origin, now: i64) -> Result<(), u32> {
        let guesses = lock(&self.guesses);
        let mut longest = 0;
        for (key, free) in self.keys(name, from) {
            if let Some(known) = guesses.get(&key) {
                let until = known.last + i64::from(wait(known.wrong, free)) * 1_000_000;
                let left = (until - now).max(0);
                longest =
                    longest.max(u32::try_from((left + 999_999) / 1_000_000).unwrap_or(LONGEST));
            }
        }
        if longest == 0 { Ok(()) } else { Err(longest) }
    }

    /// Counts a wrong guess.
    pub(crate) fn wrong(&self, name: &str, from: Origin, now: i64) {
        let mut guesses = lock(&self.guesses);
        for (key, _) in self.keys(name, from) {
            if guesses.len() >= MOST && !guesses.contains_key(&key) {
                forget(&mut guesses, now);
            }
            let known = guesses.entry(key).or_insert(Guesses {
                wrong: 0,
                last: now,
            });
            if now - known.last > FORGOTTEN {
                known.wrong = 0;
            }
            known.wrong = known.wrong.saturating_add(1);
            known.last = now;
        }
    }

    /// Forgets the wrong guesses for a name: this one was right.
    pub(crate) fn right(&self, name: &str, from: Origin) {
        let [(key, _), _] = self.keys(name, from);
        lock(&self.guesses).remove(&key);
    }
}

fn wait(wrong: u32, free: u32) -> u32 {
    match wrong.checked_sub(free) {
        None | Some(0) => 0,
        Some(over) => 1_u32
            .checked_shl(over.min(31))
            .unwrap_or(LONGEST)
            .min(LONGEST),
    }
}

fn forget(guesses: &mut HashMap<u64, Guesses>, now: i64) {
    guesses.retain(|_, known| now - known.last < FORGOTTEN);
    if guesses.len() >= MOST {
        // Those who guessed least go first: who fills this table does so with single guesses.
        let mut counts: Vec<u32> = guesses.values().map(|known| known.wrong).collect();
        counts.sort_unstable();
        let median = counts[counts.len() / 2];
        guesses.retain(|_, known| known.wrong > median);
    }
}

fn lock(guesses: &Mutex<HashMap<u64, Guesses>>) -> MutexGuard<'_, HashMap<u64, Guesses>> {
    guesses.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_concern_one_name_from_one_address() {
        let throttle = Throttle::new();
        let (here, elsewhere) = (Origin::LOCAL, Origin::of("10.0.0.1".parse().unwrap()));
        let mut now = 1_000_000;
        for _ in 0..FREE {
            assert_eq!(throttle.check("Anna", here, now), Ok(()));
            throttle.wrong("Anna", here, now);
        }
        assert_eq!(throttle.check("anna", here, now), Ok(()));
        throttle.wrong("anna", here, now);
        assert_eq!(throttle.check("ANNA", here, now), Err(2));
        assert_eq!(throttle.check("anna", elsewhere, now), Ok(()));
        assert_eq!(throttle.check("berta", here, now), Ok(()));
        now += 2_000_000;
        assert_eq!(throttle.check("anna", here, now), Ok(()));
        throttle.wrong("anna", here, now);
        assert_eq!(throttle.check("anna", here, now), Err(4));
        throttle.right("anna", here);
        assert_eq!(throttle.check("anna", here, now), Ok(()));
        for _ in 0..100 {
            throttle.wrong("anna", here, now);
        }
        assert_eq!(throttle.check("anna", here, now), Err(LONGEST));
        assert_eq!(throttle.check("anna", here, now + FORGOTTEN), Ok(()));
    }

    #[test]
    fn one_password_on_many_names_is_noticed() {
        let throttle = Throttle::new();
        for number in 0..=FREE_OF_ORIGIN {
            throttle.wrong(&number.to_string(), Origin::LOCAL, 0);
        }
        assert!(throttle.check("another", Origin::LOCAL, 0).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::new();
        for number in 0..MOST as u32 + 1000 {
            let from = Origin::of(std::net::Ipv4Addr::from(number).into());
            throttle.wrong("anna", from, i64::from(number));
        }
        assert!(lock(&throttle.guesses).len() <= MOST);
    }
}

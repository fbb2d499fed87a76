//! Who among the write transactions of this process runs alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::Duration;

use crate::clock::instant;

/// How long anybody waits for another one. A transaction can hang for long, on a lock of another node or a connection that is
/// dead: then the others go on beside it. Whatever they do, the database keeps them apart; this only saves attempts.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often it is looked.
const LOOK: Duration = Duration::from_micros(500);

/// Held by all write transactions while they run: by one that keeps colliding, alone.
#[derive(Debug, Default)]
pub(super) struct Turn {
    lock: RwLock<()>,
    /// Those who wait to be alone: nobody else begins meanwhile.
    waiting: AtomicU32,
}

/// Ends with the transaction.
#[derive(Debug)]
#[allow(dead_code, reason = "held, not looked at")]
pub(super) enum Held<'a> {
    Together(RwLockReadGuard<'a, ()>),
    Alone(RwLockWriteGuard<'a, ()>),
    /// Waited long enough.
    Beside,
}

impl Turn {
    pub(super) fn together(&self) -> Held<'_> {
        let free = || self.waiting.load(Ordering::Acquire) == 0;
        wait(|| free().then(|| got(self.lock.try_read())).flatten())
            .map_or(Held::Beside, Held::Together)
    }

    pub(super) fn alone(&self) -> Held<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let held = wait(|| got(self.lock.try_write()));
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        held.map_or(Held::Beside, Held::Alone)
    }
}

fn got<T>(outcome: Result<T, TryLockError<T>>) -> Option<T> {
    match outcome {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn wait<T>(attempt: impl Fn() -> Option<T>) -> Option<T> {
    if let Some(held) = attempt() {
        return Some(held);
    }
    let begun = instant();
    while begun.elapsed() < PATIENCE {
        std::thread::sleep(LOOK);
        if let Some(held) = attempt() {
            return Some(held);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_alone_and_the_others_are_together() {
        let turn = Turn::default();
        {
            let held = [turn.together(), turn.together()];
            assert!(held.iter().all(|held| matches!(held, Held::Together(_))));
        }
        assert!(matches!(turn.alone(), Held::Alone(_)));
        assert!(matches!(turn.together(), Held::Together(_)));
    }

    #[test]
    fn who_waits_to_be_alone_comes_before_those_who_begin_later() {
        let turn = Turn::default();
        std::thread::scope(|scope| {
            let first = turn.together();
            let alone = scope.spawn(|| matches!(turn.alone(), Held::Alone(_)));
            while turn.waiting.load(Ordering::Acquire) == 0 {
                std::thread::yield_now();
            }
            assert!(got(turn.lock.try_write()).is_none());
            drop(first);
            assert!(alone.join().is_ok_and(|was_alone| was_alone));
        });
    }

    /// A transaction that hangs, alone or not, does not stop the others.
    #[test]
    fn nobody_waits_forever() {
        let turn = Turn::default();
        let stuck = turn.alone();
        assert!(matches!(turn.together(), Held::Beside));
        assert!(matches!(turn.alone(), Held::Beside));
        drop(stuck);
        let stuck = turn.together();
        assert!(matches!(turn.alone(), Held::Beside));
        assert!(matches!(turn.together(), Held::Together(_)));
        drop(stuck);
    }
}

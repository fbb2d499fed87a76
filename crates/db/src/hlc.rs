//! Hybrid logical clock: timestamps that order operations of several nodes and stay close to real time.
//!
//! A timestamp is milliseconds since the Unix epoch, shifted left by 16, plus a counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// How far a timestamp of another node may be ahead of our clock.
pub const MAX_DRIFT: Duration = Duration::from_mins(5);

const COUNTER_BITS: u32 = 16;

/// A timestamp of another node is too far ahead of our clock: its clock or ours is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a timestamp is {ahead_ms} ms ahead of this node's clock")]
pub struct TooFarAhead {
    /// How far, in milliseconds.
    pub ahead_ms: i64,
}

/// The generator of a node's timestamps.
pub struct Hlc {
    clock: Arc<dyn Clock>,
    last: AtomicI64,
}

impl Hlc {
    /// A generator that follows `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last: AtomicI64::new(0),
        }
    }

    /// A new timestamp: greater than every one this generator has given or observed, and greater than `after` (for
    /// example the stored version that the operation replaces).
    pub fn tick(&self, after: Option<i64>) -> i64 {
        let floor = self.now();
        let after = after.unwrap_or(0);
        let next = |last: i64| floor.max(last.max(after).saturating_add(1));
        // The closure never refuses, so both arms hold the value that was replaced.
        let (Ok(last) | Err(last)) =
            self.last
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        next(last)
    }

    /// Takes note of another node's timestamp, so that later ones of ours are greater.
    pub fn observe(&self, timestamp: i64) -> Result<(), TooFarAhead> {
        let ahead_ms = milliseconds(timestamp).saturating_sub(milliseconds(self.now()));
        if i128::from(ahead_ms) > MAX_DRIFT.as_millis().cast_signed() {
            return Err(TooFarAhead { ahead_ms });
        }
        self.last.fetch_max(timestamp, Ordering::AcqRel);
        Ok(())
    }

    fn now(&self) -> i64 {
        from_milliseconds(self.clock.now_us() / 1000)
    }
}

/// The milliseconds since the Unix epoch of a timestamp.
pub fn milliseconds(timestamp: i64) -> i64 {
    timestamp >> COUNTER_BITS
}

/// The smallest timestamp of a millisecond since the Unix epoch.
pub fn from_milliseconds(milliseconds: i64) -> i64 {
    milliseconds << COUNTER_BITS
}

//! Time, injected: the only place that reads the system's clocks for what the program decides or stores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A source of time. Durations and expiries must use it, never the system's clock, so that tests can move it and a
/// wall clock that jumps back cannot shorten a lease or revive a token.
pub trait Clock: Send + Sync {
    /// Microseconds since the Unix epoch. Never goes back within a process.
    fn now_us(&self) -> i64;

    /// Time since an arbitrary fixed point. Never goes back.
    fn monotonic(&self) -> Duration;

    /// How far the wall clock is ahead of this clock now, in microseconds; negative: behind. Not zero when somebody set the
    /// wall clock: this one does not follow.
    fn wall_ahead_us(&self) -> i64 {
        0
    }
}

/// The system's time: the wall clock read once at the start, moved on by a clock that never goes back and goes on while
/// the machine is suspended.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    wall_us: i64,
    start: Duration,
}

impl SystemClock {
    /// Reads the wall clock.
    pub fn new() -> Self {
        Self::at(wall_us())
    }

    /// Begins at this time, in microseconds since the Unix epoch, instead of the wall clock's.
    pub fn at(now_us: i64) -> Self {
        Self {
            wall_us: now_us,
            start: since_boot(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        self.wall_us.saturating_add(micros(self.monotonic()))
    }

    fn monotonic(&self) -> Duration {
        since_boot().saturating_sub(self.start)
    }

    fn wall_ahead_us(&self) -> i64 {
        wall_us().saturating_sub(self.now_us())
    }
}

/// Microseconds since the Unix epoch by the wall clock.
#[expect(clippy::disallowed_methods, reason = "the clock's own reading")]
fn wall_us() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    micros(wall.unwrap_or_default())
}

/// Time since the machine was started, suspended or not.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// A clock for tests: it moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    now_us: AtomicI64,
    monotonic: Mutex<Duration>,
}

impl ManualClock {
    /// A clock that shows `now_us` microseconds since the Unix epoch.
    pub fn new(now_us: i64) -> Self {
        Self {
            now_us: AtomicI64::new(now_us),
            monotonic: Mutex::new(Duration::ZERO),
        }
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        self.now_us.fetch_add(micros(by), Ordering::SeqCst);
        *self
            .monotonic
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) += by;
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        *self
            .monotonic
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// For measuring how long something takes in this crate.
#[expect(clippy::disallowed_methods, reason = "the clock's own reading")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "compared with the clock")]
    fn the_system_clock_is_near_the_wall_clock_and_never_goes_back() {
        let clock = SystemClock::new();
        let wall = micros(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        );
        assert!((clock.now_us() - wall).abs() < 60_000_000);
        let (mut before, mut monotonic) = (clock.now_us(), clock.monotonic());
        for _ in 0..10_000 {
            assert!(clock.now_us() >= before && clock.monotonic() >= monotonic);
            (before, monotonic) = (clock.now_us(), clock.monotonic());
        }
    }

    #[test]
    fn the_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(5);
        assert_eq!((clock.now_us(), clock.monotonic()), (5, Duration::ZERO));
        clock.advance(Duration::from_millis(2));
        assert_eq!(
            (clock.now_us(), clock.monotonic()),
            (2005, Duration::from_millis(2))
        );
    }
}

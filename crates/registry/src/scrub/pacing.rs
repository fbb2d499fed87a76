//! How fast bytes are read.

use std::time::Duration;

/// Charged for each blob and manifest besides its bytes: reading many small ones costs as well.
pub(super) const ITEM_COST: u64 = 4096;
/// The least and the most that is read at once.
const PORTIONS: (u64, u64) = (64 << 10, 4 << 20);

/// Bounds the bytes read in the long run, by the monotonic clock.
#[derive(Debug)]
pub(super) struct Pacing {
    /// Bytes in a second.
    rate: u64,
    /// When what was read is paid for.
    free_at: Duration,
}

impl Pacing {
    pub(super) fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            free_at: Duration::ZERO,
        }
    }

    /// Bytes to be read before the next rest.
    pub(super) fn portion(&self) -> u64 {
        (self.rate / 8).clamp(PORTIONS.0, PORTIONS.1)
    }

    /// Something was read.
    pub(super) fn charge(&mut self, now: Duration, bytes: u64) {
        let cost = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        self.free_at = self.free_at.max(now) + cost;
    }

    /// How long nothing may be read.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.free_at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_paid_for_and_rest_is_not_saved_up() {
        let mut pacing = Pacing::new(1 << 20);
        let second = Duration::from_secs(1);
        assert_eq!(pacing.wait(second), Duration::ZERO);
        pacing.charge(10 * second, 2 << 20);
        assert_eq!(pacing.wait(11 * second), second);
        pacing.charge(11 * second, 1 << 20);
        assert_eq!(pacing.wait(11 * second), 2 * second);
        pacing.charge(100 * second, 1 << 20);
        assert_eq!(pacing.wait(100 * second), second);
        assert_eq!(pacing.portion(), 128 << 10);
        assert_eq!(Pacing::new(1).portion(), 64 << 10);
    }
}

//! Token buckets by identity and by address. Off unless configured; then one map look-up per request.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use lazuli_identity::Origin;
use tokio::time::Instant;

use crate::limits::{Rate, TryLater};

/// Who is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Caller<'a> {
    /// A verified identity of a registry: by its stable key, so that all its connections share.
    Identity(i64, &'a str),
    /// Nobody in particular, from somewhere.
    Origin(Origin),
    /// Everybody in a registry.
    Registry(i64),
}

/// Most callers remembered at once. When full, those who could not be limited anyway are forgotten first.
const MOST: usize = 65_536;

/// Buckets of tokens, one for each caller.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    rate: Rate,
    hasher: RandomState,
    /// By hash of the caller: a collision makes two callers share, which the random key keeps from being arranged.
    buckets: Mutex<HashMap<u64, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl RateLimiter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate: Rate {
                per_second: rate.per_second.max(0.001),
                burst: rate.burst.max(1.0),
            },
            hasher: RandomState::new(),
            buckets: Mutex::default(),
        }
    }

    /// Takes one token of the caller's bucket.
    pub(crate) fn take(&self, caller: Caller<'_>) -> Result<(), TryLater> {
        self.take_at(caller, Instant::now())
    }

    fn take_at(&self, caller: Caller<'_>, now: Instant) -> Result<(), TryLater> {
        let key = self.hasher.hash_one(caller);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST && !buckets.contains_key(&key) {
            self.forget(&mut buckets, now);
        }
        let bucket = buckets.entry(key).or_insert(Bucket {
            tokens: self.rate.burst,
            at: now,
        });
        bucket.tokens = self.tokens(bucket, now);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let seconds = (1.0 - bucket.tokens) / self.rate.per_second;
        Err(TryLater {
            after: seconds.ceil().clamp(1.0, 3600.0) as u32,
        })
    }

    fn tokens(&self, bucket: &Bucket, now: Instant) -> f64 {
        let gained = now.duration_since(bucket.at).as_secs_f64() * self.rate.per_second;
        (bucket.tokens + gained).min(self.rate.burst)
    }

    fn forget(&self, buckets: &mut HashMap<u64, Bucket>, now: Instant) {
        buckets.retain(|_, bucket| self.tokens(bucket, now) < self.rate.burst);
        if buckets.len() >= MOST {
            // Everybody is busy: better to start over than to grow or to refuse newcomers.
            buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::time::Duration;

    use super::*;

    fn limiter() -> RateLimiter {
        RateLimiter::new(Rate {
            per_second: 2.0,
            burst: 3.0,
        })
    }

    #[test]
    fn a_burst_then_the_rate() {
        let limiter = limiter();
        let caller = Caller::Identity(1, "admin");
        let start = Instant::now();
        for _ in 0..3 {
            assert!(limiter.take_at(caller, start).is_ok());
        }
        assert_eq!(limiter.take_at(caller, start), Err(TryLater { after: 1 }));
        assert!(limiter.take_at(Caller::Identity(2, "admin"), start).is_ok());
        let later = start + Duration::from_millis(500);
        assert!(limiter.take_at(caller, later).is_ok());
        assert!(limiter.take_at(caller, later).is_err());
    }

    #[test]
    fn addresses_of_one_network_share() {
        let limiter = limiter();
        let now = Instant::now();
        let caller = |text: &str| Caller::Origin(Origin::of(text.parse().unwrap()));
        for address in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
            assert!(limiter.take_at(caller(address), now).is_ok());
        }
        assert!(limiter.take_at(caller("2001:db8::4"), now).is_err());
        assert!(limiter.take_at(caller("2001:db8:0:1::4"), now).is_ok());
        for _ in 0..3 {
            assert!(limiter.take_at(caller("10.0.0.1"), now).is_ok());
        }
        assert!(limiter.take_at(caller("::ffff:10.0.0.1"), now).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = limiter();
        let now = Instant::now();
        for address in 0..MOST as u32 + 100 {
            let caller = Caller::Origin(Origin::of(std::net::Ipv4Addr::from(address).into()));
            // Each comes a little later, so earlier ones have a full bucket again when room is needed.
            let at = now + Duration::from_micros(u64::from(address));
            limiter.take_at(caller, at).unwrap();
        }
        assert!(limiter.buckets.lock().unwrap().len() <= MOST);
    }
}

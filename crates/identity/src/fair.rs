//! Sharing something scarce between clients that do not know of each other, so that one cannot keep the others out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where requests come from: addresses that are counted as one client. One IPv4 address, or a /64 of IPv6, which one
/// client commonly has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// This machine.
    pub const LOCAL: Self = Self(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    /// Where requests from this address come from.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// How a [`FairShare`] is divided.
#[derive(Debug, Clone, Copy)]
pub struct Division {
    /// How much there is, in units.
    pub all: u32,
    /// The most one origin has at a time, in units.
    pub each: u32,
    /// Requests of one origin that have some or wait for it; further ones are turned away at once.
    pub queue: usize,
    /// How long a request waits at most.
    pub patience: Duration,
}

/// A number of units that requests take for a while. Those of one origin wait for each other, and every origin gets its
/// turn: as none has more than [`Division::each`], a flood from one never takes everything.
#[derive(Debug)]
pub struct FairShare {
    division: Division,
    all: Arc<Semaphore>,
    origins: Arc<Origins>,
}

/// The origins that have something or wait for it; bounded by the number of requests under way.
type Origins = Mutex<HashMap<Origin, Queue>>;

#[derive(Debug)]
struct Queue {
    share: Arc<Semaphore>,
    requests: usize,
}

/// Units taken from a [`FairShare`], given back when dropped.
#[derive(Debug)]
pub struct Share {
    // Dropped in this order: the next request of this origin is let on when there may be something for it.
    _of_all: OwnedSemaphorePermit,
    _of_origin: OwnedSemaphorePermit,
    _place: Place,
}

/// Nothing was free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests at the same time")]
pub struct Crowded;

impl FairShare {
    /// Everything is free.
    pub fn new(division: Division) -> Self {
        let all = division.all.max(1);
        let each = division.each.clamp(1, all);
        Self {
            division: Division {
                all,
                each,
                ..division
            },
            all: Arc::new(Semaphore::new(all as usize)),
            origins: Arc::default(),
        }
    }

    /// Takes units, or as many as one origin may have. Waits as long as the division says.
    pub async fn take(&self, origin: Origin, units: u32) -> Result<Share, Crowded> {
        let units = units.clamp(1, self.division.each);
        let (place, share) = self.line_up(origin)?;
        let taken = async {
            // Its own turn first: so each origin waits for the rest with one request, more or less.
            let of_origin = share.acquire_many_owned(units).await.map_err(|_| Crowded)?;
            let of_all = self.all.clone().acquire_many_owned(units).await;
            Ok(Share {
                _of_all: of_all.map_err(|_| Crowded)?,
                _of_origin: of_origin,
                _place: place,
            })
        };
        let taken = tokio::time::timeout(self.division.patience, taken).await;
        taken.unwrap_or(Err(Crowded))
    }

    fn line_up(&self, origin: Origin) -> Result<(Place, Arc<Semaphore>), Crowded> {
        let mut origins = lock(&self.origins);
        let queue = origins.entry(origin).or_insert_with(|| Queue {
            share: Arc::new(Semaphore::new(self.division.each as usize)),
            requests: 0,
        });
        if queue.requests >= self.division.queue {
            return Err(Crowded);
        }
        queue.requests += 1;
        let place = Place {
            origins: self.origins.clone(),
            origin,
        };
        Ok((place, queue.share.clone()))
    }
}

/// A request's place in the queue of its origin.
#[derive(Debug)]
struct Place {
    origins: Arc<Origins>,
    origin: Origin,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut origins = lock(&self.origins);
        if let Some(queue) = origins.get_mut(&self.origin) {
            queue.requests -= 1;
            if queue.requests == 0 {
                origins.remove(&self.origin);
            }
        }
    }
}

fn lock(origins: &Origins) -> MutexGuard<'_, HashMap<Origin, Queue>> {
    origins.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::of(text.parse().unwrap())
    }

    fn share() -> FairShare {
        FairShare::new(Division {
            all: 4,
            each: 2,
            queue: 3,
            patience: Duration::from_millis(100),
        })
    }

    #[test]
    fn addresses_of_one_origin_are_one_client() {
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:10.0.0.1"), origin("10.0.0.1"));
        assert_ne!(origin("10.0.0.1"), origin("10.0.0.2"));
    }

    #[tokio::test]
    async fn one_origin_never_has_everything() {
        let share = share();
        let (one, other) = (origin("10.0.0.1"), origin("10.0.0.2"));
        let first = share.take(one, 1).await.unwrap();
        let _second = share.take(one, 1).await.unwrap();
        assert_eq!(share.take(one, 1).await.unwrap_err(), Crowded);
        // More than its part: its part.
        let _others = share.take(other, 100).await.unwrap();
        drop(first);
        assert!(share.take(one, 1).await.is_ok());
    }

    #[tokio::test]
    async fn a_queue_is_short_and_forgotten_when_it_is_empty() {
        let share = Arc::new(share());
        let one = origin("10.0.0.1");
        let all = share.take(one, 2).await.unwrap();
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let share = share.clone();
                tokio::spawn(async move { share.take(one, 1).await.is_ok() })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(all);
        let mut served = 0;
        for task in waiting {
            served += usize::from(task.await.unwrap());
        }
        assert_eq!(served, 2, "the queue had room for three with the holder");
        assert!(lock(&share.origins).is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let share = share();
        let one = origin("10.0.0.1");
        let all = share.take(one, 2).await.unwrap();
        assert!(share.take(one, 1).await.is_err());
        let mut waiting = Box::pin(share.take(one, 1));
        assert!(
            tokio::time::timeout(Duration::from_millis(1), &mut waiting)
                .await
                .is_err()
        );
        drop(waiting);
        drop(all);
        assert!(lock(&share.origins).is_empty());
        assert_eq!(share.all.available_permits(), 4);
    }
}

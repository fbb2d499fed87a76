//! Every bound of the HTTP server in one place, and the counters behind those that are shared between requests.

use std::time::Duration;

use lazuli_identity::{Division, FairShare, Origin, Share};

use crate::quotas::Quotas;

/// Bounds on what clients may take. The defaults suit one machine with a few thousand clients.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections; further ones are answered 503 and closed.
    pub max_connections: usize,
    /// Request line and header fields together, in bytes; more is answered 431.
    pub max_header_bytes: usize,
    /// Path and query, in bytes; more is answered 414.
    pub max_target_bytes: usize,
    /// From the first byte of a request to the end of its header fields. A new connection has to begin in this time.
    pub header_timeout: Duration,
    /// The whole TLS handshake.
    pub handshake_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub keep_alive: Duration,
    /// How long the server waits for the next bytes of a request body, and the period over which
    /// [`body_minimum`](Self::body_minimum) has to arrive.
    pub body_stall: Duration,
    /// Least bytes that have to arrive in each [`body_stall`](Self::body_stall) spent waiting for the client.
    pub body_minimum: u64,
    /// How long a client may take no byte of a response.
    pub write_stall: Duration,
    /// After an early answer: how long bytes the client still sends are thrown away before the connection is closed.
    pub linger: Duration,
    /// A manifest's size, in bytes; more is answered 413.
    pub max_manifest_bytes: u64,
    /// A blob's size, in bytes; more is answered 413.
    pub max_blob_bytes: u64,
    /// A form's size on the token endpoints, in bytes.
    pub max_form_bytes: u64,
    /// Request bodies held in memory at once (manifests, forms), in bytes; further ones wait briefly, then get 503.
    pub buffered_bodies: usize,
    /// Requests that write blobs at once; further ones are answered 429.
    pub max_uploads: usize,
    /// Requests per second of one identity or address; `None` for no bound.
    pub rate: Option<Rate>,
    /// Requests a minute by kind.
    pub quotas: Quotas,
    /// How long a shutdown waits for requests under way.
    pub shutdown_grace: Duration,
}

/// A rate that may be exceeded in bursts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Requests per second in the long run.
    pub per_second: f64,
    /// Requests at once after a pause.
    pub burst: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_header_bytes: 32 << 10,
            max_target_bytes: 8 << 10,
            header_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(90),
            body_stall: Duration::from_mins(1),
            body_minimum: 4 << 10,
            write_stall: Duration::from_mins(2),
            linger: Duration::from_secs(5),
            max_manifest_bytes: 4 << 20,
            max_blob_bytes: 200 << 30,
            max_form_bytes: 64 << 10,
            buffered_bodies: 32 << 20,
            max_uploads: 256,
            rate: None,
            quotas: Quotas::default(),
            shutdown_grace: Duration::from_mins(1),
        }
    }
}

impl Limits {
    /// How often deadlines are looked at: often enough for the shortest of them.
    pub(crate) fn sweep_period(&self) -> Duration {
        let shortest = [
            self.header_timeout,
            self.handshake_timeout,
            self.keep_alive,
            self.body_stall,
            self.write_stall,
            self.linger,
        ]
        .into_iter()
        .min()
        .unwrap_or_default();
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_millis(500))
    }
}

/// Why a request is turned away for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TryLater {
    /// Seconds for `Retry-After`.
    pub(crate) after: u32,
}

/// What one origin may have of what there is so much of: never all, so that others are served.
pub(crate) fn part_of_one(count: usize) -> usize {
    count - count / 4
}

/// A number of things that may be under way at once.
#[derive(Debug)]
pub(crate) struct Slots(FairShare);

impl Slots {
    /// So many, of which one origin has three quarters.
    pub(crate) fn new(count: usize) -> Self {
        let all = u32::try_from(count).unwrap_or(u32::MAX);
        Self(FairShare::new(Division {
            all,
            each: part_of_one(count).try_into().unwrap_or(u32::MAX),
            queue: count,
            patience: Duration::ZERO,
        }))
    }

    /// A slot, given back when dropped; never waits.
    pub(crate) async fn take(&self, from: Origin) -> Result<Share, TryLater> {
        let share = self.0.take(from, 1).await;
        share.map_err(|_| TryLater { after: 1 })
    }
}

/// Memory that request bodies may fill at once. One origin has a part of it, so that senders who take their time
/// keep nobody else out.
#[derive(Debug)]
pub(crate) struct BodyMemory(FairShare);

/// What [`BodyMemory`] is counted in, in bytes.
const UNIT: u64 = 1024;

/// Longest wait for memory to be given back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bodies of one origin that are in memory or wait for it.
const QUEUE: usize = 1024;

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl BodyMemory {
    /// So many bytes, of which one origin has a quarter, and in any case enough for its `largest` body.
    pub(crate) fn new(bytes: usize, largest: u64) -> Self {
        let all = units(bytes as u64);
        Self(FairShare::new(Division {
            all,
            each: (all / 4).max(units(largest)),
            queue: QUEUE,
            patience: PATIENCE,
        }))
    }

    /// Memory for a body of up to `bytes`, given back when dropped. Waits a little while others hold it.
    pub(crate) async fn take(&self, from: Origin, bytes: u64) -> Result<Share, TryLater> {
        let share = self.0.take(from, units(bytes)).await;
        share.map_err(|_| TryLater { after: 2 })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn slots_are_limited_and_come_back_and_one_origin_never_has_all() {
        let slots = Slots::new(4);
        let here = Origin::LOCAL;
        let one = slots.take(here).await.unwrap();
        let _two = slots.take(here).await.unwrap();
        let _three = slots.take(here).await.unwrap();
        assert_eq!(slots.take(here).await.unwrap_err().after, 1);
        let elsewhere = Origin::of("10.0.0.1".parse().unwrap());
        let other = slots.take(elsewhere).await.unwrap();
        assert!(slots.take(elsewhere).await.is_err());
        drop(one);
        assert!(slots.take(here).await.is_ok());
        drop(other);
        assert!(slots.take(elsewhere).await.is_ok());
    }

    #[tokio::test]
    async fn body_memory_waits_for_its_return() {
        let memory = Arc::new(BodyMemory::new(40 << 10, 5 << 10));
        let most = memory.take(Origin::LOCAL, 9 << 10).await.unwrap();
        let waiting = tokio::spawn({
            let memory = memory.clone();
            async move { memory.take(Origin::LOCAL, 4 << 10).await.is_ok() }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        // Others have theirs meanwhile.
        let other = Origin::of("10.0.0.1".parse().unwrap());
        assert!(memory.take(other, 10 << 10).await.is_ok());
        drop(most);
        assert!(waiting.await.unwrap());
        // More than there is: all that one may have, rather than never.
        assert!(memory.take(Origin::LOCAL, 1 << 40).await.is_ok());
    }

    #[test]
    fn sweeps_are_frequent_enough_for_the_shortest_deadline() {
        assert_eq!(Limits::default().sweep_period(), Duration::from_millis(500));
        let short = Limits {
            linger: Duration::from_millis(200),
            ..Limits::default()
        };
        assert_eq!(short.sweep_period(), Duration::from_millis(50));
    }
}

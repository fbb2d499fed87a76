//! Clocks that are wrong: a node's that is ahead of the others', and one machine's that was set between two starts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use lazuli_db::clock::{Clock, ManualClock};
use lazuli_registry::Registry;
use lazuli_registry::gc::{self, Gc};
use lazuli_registry::leases::{Lease, LeaseError};
use lazuli_wire::oci::Digest;

const TTL: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_hours(24);
const YEARS: Duration = Duration::from_hours(10 * 365 * 24);

fn set_to(now_us: i64) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(now_us))
}

/// The same data, opened by a process that begins at that time.
async fn started(f: &Fixture, clock: &Arc<ManualClock>) -> (Registry, Gc) {
    let registry = Registry::open(f.db.clone(), f.store.clone(), clock.clone(), options())
        .await
        .unwrap();
    let gc = Gc::open(&registry, gc::Options::new(options().lease))
        .await
        .unwrap();
    (registry, gc)
}

async fn has(registry: &Registry, digest: &Digest) -> bool {
    registry.blob(&pull("a"), digest).await.is_ok()
}

/// Work beside requests does not wait for years because a node whose clock is ahead died with the lease; and two nodes
/// that disagree about the time take the lease from each other, but never both do the work.
async fn a_holder_whose_clock_is_ahead_keeps_the_lease_from_nobody(f: Fixture) {
    for ahead in [2 * HOUR, DAY, YEARS] {
        let right: Arc<dyn Clock> = f.clock.clone();
        let wrong: Arc<dyn Clock> =
            set_to(f.clock.now_us() + i64::try_from(ahead.as_micros()).unwrap());
        let name = format!("work {ahead:?}");
        let take = async |clock: &Arc<dyn Clock>, holder: &str| {
            let lease = Lease::acquire(&f.db, clock, &name, holder, TTL).await;
            lease.unwrap()
        };
        let first = take(&wrong, "ahead").await.unwrap();
        let second = take(&right, "right")
            .await
            .expect("the lease ends in years");
        assert!(second.fence() > first.fence());
        let guard = first.guard();
        let late = f.db.write(move |tx| guard.check(tx)).await;
        assert!(matches!(late, Err(LeaseError::Lost)));
        assert!(take(&right, "third").await.is_none(), "it is held");
        let again = take(&wrong, "ahead").await.unwrap();
        let guard = second.guard();
        let late = f.db.write(move |tx| guard.check(tx)).await;
        assert!(matches!(late, Err(LeaseError::Lost)));
        again.release().await.unwrap();
    }
}

/// A clock that was set on while no process looked ends no lease and no wait of garbage collection early.
async fn a_clock_set_on_before_a_start_ends_nothing_early(f: Fixture) {
    let (registry, gc) = started(&f, &f.clock).await;
    let affirmed = push_blob(&registry, "a", &[1; 1000]).await;
    let condemned = push_blob(&registry, "b", &[2; 1000]).await;
    f.clock.advance(3 * HOUR);
    registry.affirm_blob(&pull("a"), &affirmed).await.unwrap();
    gc.run_once().await.unwrap().unwrap();
    assert!(registry.blob(&pull("b"), &condemned).await.is_err());
    let stored = async || {
        let count = "SELECT COUNT(*) FROM blobs";
        let rows =
            f.db.read(move |tx| tx.query_one(count, &[], |row| row.get_i64(0)));
        rows.await.unwrap().unwrap()
    };
    assert_eq!(stored().await, 2, "one of them is condemned");
    for ahead in [HOUR, DAY, YEARS] {
        let clock = set_to(f.clock.now_us() + i64::try_from(ahead.as_micros()).unwrap());
        let (registry, gc) = started(&f, &clock).await;
        for _ in 0..3 {
            clock.advance(options().lease / 4);
            gc.run_once().await.unwrap().unwrap();
            assert!(has(&registry, &affirmed).await, "{ahead:?} on");
            assert_eq!(stored().await, 2, "{ahead:?} on");
        }
        f.clock.advance(ahead + options().lease);
    }
    let (_, gc) = started(&f, &f.clock).await;
    for _ in 0..3 {
        f.clock.advance(2 * HOUR);
        gc.run_once().await.unwrap().unwrap();
    }
    assert_eq!(stored().await, 0, "the leases did end");
}

/// What was affirmed while the clock was years behind keeps its lease when the clock is right again.
async fn a_lease_given_in_1970_is_kept_when_the_clock_is_right_again(f: Fixture) {
    drop(started(&f, &f.clock).await);
    let behind = set_to(86_400_000_000);
    let (registry, gc) = started(&f, &behind).await;
    let affirmed = push_blob(&registry, "a", &[1; 1000]).await;
    gc.run_once().await.unwrap().unwrap();
    let (registry, gc) = started(&f, &f.clock).await;
    for _ in 0..3 {
        f.clock.advance(options().lease / 4);
        gc.run_once().await.unwrap().unwrap();
        assert!(has(&registry, &affirmed).await);
    }
    for _ in 0..3 {
        f.clock.advance(2 * HOUR);
        gc.run_once().await.unwrap().unwrap();
    }
    assert!(!has(&registry, &affirmed).await, "the lease did end");
}

on_both_engines!(
    a_holder_whose_clock_is_ahead_keeps_the_lease_from_nobody,
    a_clock_set_on_before_a_start_ends_nothing_early,
    a_lease_given_in_1970_is_kept_when_the_clock_is_right_again,
);

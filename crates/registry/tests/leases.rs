//! Leases: one holder at a time, and a fence against those that come too late.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use lazuli_db::clock::Clock;
use lazuli_registry::leases::{Guard, Lease, LeaseError};

const TTL: Duration = Duration::from_secs(10);

async fn acquire(f: &Fixture, holder: &str) -> Option<Lease> {
    let clock: Arc<dyn Clock> = f.clock.clone();
    Lease::acquire(&f.db, &clock, "work", holder, TTL)
        .await
        .unwrap()
}

/// A transaction under the lease.
async fn work(f: &Fixture, guard: Guard) -> Result<(), LeaseError> {
    f.db.write(move |tx| {
        guard.check(tx)?;
        tx.execute(
            "INSERT INTO settings (name, value) VALUES ('work', 'done') ON CONFLICT (name) DO UPDATE SET value = 'again'",
            &[],
        )?;
        Ok(())
    })
    .await
}

async fn one_holder_at_a_time(f: Fixture) {
    let first = acquire(&f, "a").await.unwrap();
    assert!(acquire(&f, "b").await.is_none());
    assert!(
        acquire(&f, "a").await.is_none(),
        "a holder's second worker waits too"
    );
    work(&f, first.guard()).await.unwrap();
    first.release().await.unwrap();
    assert!(acquire(&f, "b").await.is_some());
}

async fn an_expired_lease_is_taken_over_and_its_holder_is_fenced_off(f: Fixture) {
    let mut first = acquire(&f, "a").await.unwrap();
    f.clock.advance(TTL);
    assert_eq!(first.remaining(), Duration::ZERO);
    let second = acquire(&f, "b").await.unwrap();
    assert!(second.fence() > first.fence());
    assert!(matches!(
        work(&f, first.guard()).await,
        Err(LeaseError::Lost)
    ));
    assert!(matches!(first.renew().await, Err(LeaseError::Lost)));
    work(&f, second.guard()).await.unwrap();
    first.release().await.unwrap();
    work(&f, second.guard()).await.unwrap();
    assert!(
        acquire(&f, "c").await.is_none(),
        "a release by the former holder frees nothing"
    );
}

async fn a_renewed_lease_stays(f: Fixture) {
    let mut lease = acquire(&f, "a").await.unwrap();
    for _ in 0..5 {
        f.clock.advance(TTL * 3 / 4);
        lease.renew().await.unwrap();
        assert_eq!(lease.remaining(), TTL);
        assert!(acquire(&f, "b").await.is_none());
    }
}

async fn an_expired_lease_that_nobody_took_can_be_renewed(f: Fixture) {
    let mut lease = acquire(&f, "a").await.unwrap();
    f.clock.advance(TTL * 2);
    work(&f, lease.guard()).await.unwrap();
    lease.renew().await.unwrap();
    assert!(acquire(&f, "b").await.is_none());
}

async fn fences_grow_over_release_and_takeover(f: Fixture) {
    let mut last = 0;
    for round in 0..6 {
        let lease = acquire(&f, &format!("holder {round}")).await.unwrap();
        assert!(lease.fence() > last);
        last = lease.fence();
        if round % 2 == 0 {
            lease.release().await.unwrap();
        } else {
            f.clock.advance(TTL);
        }
    }
}

async fn of_many_at_once_one_gets_it(f: Fixture) {
    let f = Arc::new(f);
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let f = f.clone();
            tokio::spawn(async move { acquire(&f, &format!("holder {n}")).await.is_some() })
        })
        .collect();
    let mut holders = 0;
    for task in tasks {
        holders += u32::from(task.await.unwrap());
    }
    assert_eq!(holders, 1);
}

on_both_engines!(
    one_holder_at_a_time,
    an_expired_lease_is_taken_over_and_its_holder_is_fenced_off,
    a_renewed_lease_stays,
    an_expired_lease_that_nobody_took_can_be_renewed,
    fences_grow_over_release_and_takeover,
    of_many_at_once_one_gets_it,
);

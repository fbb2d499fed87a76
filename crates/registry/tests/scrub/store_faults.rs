//! What is damage, and what is not.

use std::sync::Arc;

use super::faulty::{Fault, Faulty};
use super::*;
use crate::on_both_engines;

/// A registry with one image over a store that fails when told to.
async fn faulty(f: &mut Fixture) -> (Faulty, Digest) {
    let store = Faulty::on(&f.store);
    let shared: Arc<dyn BlobStore> = Arc::new(store.clone());
    f.registry = Registry::open(f.db.clone(), shared, f.clock.clone(), options())
        .await
        .unwrap();
    let (_, layer) = push_image(&f.registry, "a", "v1", "x").await;
    (store, layer)
}

async fn a_store_that_is_away_is_no_damage(mut f: Fixture) {
    let (store, layer) = faulty(&mut f).await;
    let scrub = scrub(&f.registry).await;
    store.fail(Fault::Away, u32::MAX);
    Scrub::request(&f.registry).await.unwrap();
    let mut waited = Duration::ZERO;
    while waited < 10 * MINUTE {
        let wait = scrub.step().await.unwrap();
        waited += wait;
        f.clock.advance(wait);
    }
    let status = Scrub::status(&f.registry, &thirty_days()).await.unwrap();
    let pass = status.pass.unwrap();
    assert_eq!((pass.damaged, pass.skipped), (0, 0));
    let tries = scrub.counters().unavailable();
    assert!(
        (2..=5).contains(&tries),
        "tried {tries} times in ten minutes"
    );
    store.heal();
    assert!(is_served(&f.registry, "a", &layer).await);
    let pass = to_the_end(&f, &scrub).await;
    assert_eq!((pass.items, pass.damaged, pass.skipped), (3, 0, 0));
}

async fn an_object_that_is_never_given_does_not_hold_up_the_others(mut f: Fixture) {
    let (store, layer) = faulty(&mut f).await;
    let scrub = scrub(&f.registry).await;
    store.fail(Fault::TooManyFiles, u32::MAX);
    let pass = whole_pass(&f, &scrub).await;
    assert_eq!((pass.items, pass.damaged, pass.skipped), (2, 0, 1));
    assert!(pass.findings[0].contains(&layer.to_string()), "{pass:?}");
    store.heal();
    assert!(is_served(&f.registry, "a", &layer).await);
    let pass = whole_pass(&f, &scrub).await;
    assert_eq!((pass.items, pass.damaged, pass.skipped), (3, 0, 0));
}

async fn bytes_that_cannot_be_read_are_put_aside_and_taken_back_when_they_can(mut f: Fixture) {
    let (store, layer) = faulty(&mut f).await;
    let place = location(&f).await;
    let scrub = scrub(&f.registry).await;
    store.fail(Fault::BadSector, u32::MAX);
    let pass = whole_pass(&f, &scrub).await;
    assert_eq!((pass.damaged, pass.skipped), (1, 0));
    assert!(!is_served(&f.registry, "a", &layer).await);
    let waiting = whole_pass(&f, &scrub).await;
    assert_eq!((waiting.damaged, waiting.waiting), (0, 1));
    // A cable was loose.
    store.heal();
    let pass = whole_pass(&f, &scrub).await;
    assert_eq!((pass.damaged, pass.replaced, pass.waiting), (0, 1, 0));
    assert_eq!(location(&f).await, place);
    assert!(is_served(&f.registry, "a", &layer).await);
    assert_eq!(count(&f, "SELECT COUNT(*) FROM quarantine").await, 0);
}

async fn what_can_be_read_the_second_time_is_no_damage(mut f: Fixture) {
    let (store, layer) = faulty(&mut f).await;
    let scrub = scrub(&f.registry).await;
    store.fail(Fault::BadSector, 1);
    assert_eq!(whole_pass(&f, &scrub).await.damaged, 0);
    assert!(is_served(&f.registry, "a", &layer).await);
}

async fn a_blob_deleted_while_it_is_looked_at_is_no_damage(mut f: Fixture) {
    let (store, layer) = faulty(&mut f).await;
    let scrub = scrub(&f.registry).await;
    let (registry, db, files) = (f.registry.clone(), f.db.clone(), f.store.clone());
    let place = location(&f).await;
    store.before_next_open(Box::new(move || {
        Box::pin(async move {
            let request = "r".into();
            registry
                .delete_blob(&delete("a"), &layer, &request)
                .await
                .unwrap();
            db.write(|tx| tx.execute("DELETE FROM blobs WHERE location IS NOT NULL", &[]))
                .await
                .unwrap();
            files.remove(&place).await.unwrap();
        })
    }));
    let pass = whole_pass(&f, &scrub).await;
    assert_eq!((pass.damaged, pass.findings.len()), (0, 0));
    assert_eq!(scrub.counters().damaged(), 0);
}

async fn a_blob_healed_while_it_is_looked_at_is_no_damage(mut f: Fixture) {
    let (store, layer) = faulty(&mut f).await;
    let mut bytes = layer_bytes();
    bytes[3] ^= 1;
    exchange(&f, 7, &layer, &bytes).await;
    let scrub = scrub(&f.registry).await;
    let registry = f.registry.clone();
    store.before_next_open(Box::new(move || {
        Box::pin(async move {
            push_blob(&registry, "a", &layer_bytes()).await;
        })
    }));
    let pass = whole_pass(&f, &scrub).await;
    assert_eq!(pass.damaged, 0);
    assert!(is_served(&f.registry, "a", &layer).await);
    assert_eq!(count(&f, "SELECT COUNT(*) FROM quarantine").await, 0);
}

/// A blob that takes longer to read than the lease lasts, twice: nobody else takes the pass over meanwhile.
async fn a_large_damaged_blob_on_a_slow_store_is_settled(mut f: Fixture) {
    let (store, layer) = faulty(&mut f).await;
    let bytes = vec![5; 40 << 20];
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let mut wrong = bytes.clone();
    wrong[39 << 20] ^= 1;
    f.db.write(|tx| tx.execute("DELETE FROM blobs WHERE location IS NOT NULL", &[]))
        .await
        .unwrap();
    push_blob(&f.registry, "a", &bytes).await;
    exchange(&f, 7, &digest, &wrong).await;
    let other = f.node().await;
    let (mine, theirs) = (scrub(&f.registry).await, scrub(&other).await);
    store.slow_down(&f.clock, Duration::from_secs(40));
    Scrub::request(&f.registry).await.unwrap();
    mine.step().await.unwrap();
    let waiting = theirs.clone();
    let waiting = tokio::spawn(async move {
        loop {
            waiting.step().await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    for _ in 0..200 {
        let wait = mine.step().await.unwrap();
        if mine.counters().damaged() > 0 {
            break;
        }
        f.clock.advance(wait);
    }
    waiting.abort();
    assert_eq!(
        (mine.counters().damaged(), theirs.counters().bytes()),
        (1, 0)
    );
    assert!(!is_served(&f.registry, "a", &digest).await);
    assert!(!is_served(&f.registry, "a", &layer).await);
}

on_both_engines!(
    a_large_damaged_blob_on_a_slow_store_is_settled,
    a_store_that_is_away_is_no_damage,
    an_object_that_is_never_given_does_not_hold_up_the_others,
    bytes_that_cannot_be_read_are_put_aside_and_taken_back_when_they_can,
    what_can_be_read_the_second_time_is_no_damage,
    a_blob_deleted_while_it_is_looked_at_is_no_damage,
    a_blob_healed_while_it_is_looked_at_is_no_damage,
);

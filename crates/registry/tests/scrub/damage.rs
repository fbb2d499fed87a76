//! Damage is found, put aside, and healed.

use super::*;
use crate::on_both_engines;

async fn a_turned_bit_is_found_within_a_pass_and_a_push_heals_it_everywhere(f: Fixture) {
    let (_, layer) = push_image(&f.registry, "a", "v1", "x").await;
    push_image(&f.registry, "b", "v1", "x").await;
    let scrub = scrub(&f.registry).await;
    let sound = whole_pass(&f, &scrub).await;
    // Two small blobs are one, like their layers; each repository has its manifest.
    assert_eq!((sound.items, sound.damaged), (4, 0));
    let mut bytes = layer_bytes();
    bytes[17] ^= 1;
    let wrong = exchange(&f, 7, &layer, &bytes).await;
    let other = f.node().await;
    assert!(
        is_served(&f.registry, "a", &layer).await,
        "nobody knows yet"
    );
    assert!(is_served(&other, "b", &layer).await);
    let found = whole_pass(&f, &scrub).await;
    assert_eq!((found.items, found.damaged, found.waiting), (4, 1, 0));
    assert!(found.findings[0].contains(&layer.to_string()), "{found:?}");
    assert!(found.findings[0].contains("a, b"), "{found:?}");
    assert_eq!(scrub.counters().damaged(), 1);
    for name in ["a", "b"] {
        assert!(!is_served(&f.registry, name, &layer).await);
        assert!(!is_served(&other, name, &layer).await);
    }
    assert!(
        f.store.open(&wrong, bytes.len() as u64).await.is_ok(),
        "kept"
    );
    let aside = f.db.read(|tx| {
        tx.query_one("SELECT location FROM quarantine", &[], |row| {
            row.get_string(0)
        })
    });
    assert_eq!(aside.await.unwrap(), Some(wrong.to_string()));
    // Nor may a manifest name it.
    let body = f.registry.manifest(&pull("a"), &tag("v1")).await.unwrap();
    let body = String::from_utf8(body.body.to_vec()).unwrap();
    let refused = put(&f.registry, "a", "v2", OCI, &body).await;
    assert!(matches!(refused, Err(Error::ManifestBlobUnknown(blobs)) if blobs == [layer]));
    // It is not reported again, only counted.
    let waiting = whole_pass(&f, &scrub).await;
    assert_eq!((waiting.damaged, waiting.waiting), (0, 1));
    assert_eq!(count(&f, "SELECT COUNT(*) FROM quarantine").await, 1);
    push_blob(&f.registry, "a", &layer_bytes()).await;
    put(&f.registry, "a", "v2", OCI, &body).await.unwrap();
    for name in ["a", "b"] {
        assert!(is_served(&f.registry, name, &layer).await);
        assert!(is_served(&other, name, &layer).await);
    }
    let healed = whole_pass(&f, &scrub).await;
    assert_eq!((healed.damaged, healed.waiting), (0, 0));
}

async fn a_missing_file_is_reported_and_loses_nothing_if_it_comes_back(f: Fixture) {
    let (_, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let place = exchange(&f, 7, &layer, &layer_bytes()).await;
    f.store.remove(&place).await.unwrap();
    let scrub = scrub(&f.registry).await;
    let found = whole_pass(&f, &scrub).await;
    assert_eq!(found.damaged, 1);
    assert!(found.findings[0].contains("missing"), "{found:?}");
    assert!(!is_served(&f.restarted().await, "a", &layer).await);
    // A disk that was not mounted.
    assert_eq!(file(&f, 7, &layer, &layer_bytes()).await, place);
    assert!(is_served(&f.registry, "a", &layer).await);
    assert_eq!(whole_pass(&f, &scrub).await.damaged, 0);
    f.store.remove(&place).await.unwrap();
    assert_eq!(whole_pass(&f, &scrub).await.damaged, 1);
    push_blob(&f.registry, "a", &layer_bytes()).await;
    assert!(is_served(&f.registry, "a", &layer).await);
    assert_eq!(whole_pass(&f, &scrub).await.damaged, 0);
}

async fn a_file_that_was_cut_is_put_aside(f: Fixture) {
    let (_, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let cut = exchange(&f, 7, &layer, &layer_bytes()[..50]).await;
    let scrub = scrub(&f.registry).await;
    assert_eq!(whole_pass(&f, &scrub).await.damaged, 1);
    assert!(!is_served(&f.registry, "a", &layer).await);
    push_blob(&f.registry, "a", &layer_bytes()).await;
    assert!(is_served(&f.registry, "a", &layer).await);
    assert!(f.store.open(&cut, 50).await.is_ok(), "kept");
}

async fn a_small_blob_with_wrong_bytes_is_put_aside_and_a_push_heals_it(f: Fixture) {
    push_image(&f.registry, "a", "v1", "x").await;
    push_image(&f.registry, "b", "v1", "x").await;
    let config = Digest::of(Algorithm::Sha256, b"config x");
    execute(
        &f,
        "UPDATE blobs SET content = CAST('config y' AS {bytes}) WHERE size = 8",
    )
    .await;
    let scrub = scrub(&f.registry).await;
    assert_eq!(whole_pass(&f, &scrub).await.damaged, 1);
    assert!(!is_served(&f.registry, "a", &config).await);
    assert_eq!(
        count(
            &f,
            "SELECT COUNT(*) FROM quarantine WHERE content = CAST('config y' AS {bytes})"
        )
        .await,
        1
    );
    push_blob(&f.registry, "b", b"config x").await;
    for name in ["a", "b"] {
        assert!(is_served(&f.registry, name, &config).await);
    }
    assert_eq!(whole_pass(&f, &scrub).await.damaged, 0);
}

async fn a_blob_that_was_put_aside_can_be_pushed_larger_or_smaller_than_inline(f: Fixture) {
    // Small ones that were kept in the store, and the other way round.
    let bytes = b"small";
    let digest = push_blob(&f.registry, "a", bytes).await;
    execute(&f, "UPDATE blobs SET content = NULL WHERE size = 5").await;
    assert!(!is_served(&f.restarted().await, "a", &digest).await);
    push_blob(&f.registry, "a", bytes).await;
    assert!(is_served(&f.registry, "a", &digest).await);
    assert_eq!(whole_pass(&f, &scrub(&f.registry).await).await.waiting, 0);
}

async fn a_damaged_manifest_is_put_aside_and_a_push_heals_it(f: Fixture) {
    let (manifest, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let other = f.node().await;
    let body = f.registry.manifest(&pull("a"), &tag("v1")).await.unwrap();
    let body = String::from_utf8(body.body.to_vec()).unwrap();
    execute(&f, "UPDATE manifests SET body = CAST('{}' AS {bytes})").await;
    let scrub = scrub(&f.registry).await;
    let found = whole_pass(&f, &scrub).await;
    assert_eq!((found.items, found.damaged), (3, 1));
    for registry in [&f.registry, &other] {
        assert!(matches!(
            registry.manifest(&pull("a"), &tag("v1")).await,
            Err(Error::ManifestUnknown)
        ));
    }
    assert!(is_served(&f.registry, "a", &layer).await);
    assert_eq!(count(&f, "SELECT COUNT(*) FROM quarantine").await, 1);
    put(&f.registry, "a", "v1", OCI, &body).await.unwrap();
    let healed = f.registry.manifest(&pull("a"), &tag("v1")).await.unwrap();
    assert_eq!(healed.digest, manifest);
    assert_eq!(whole_pass(&f, &scrub).await.damaged, 0);
}

async fn a_good_copy_takes_the_place_of_a_damaged_file(f: Fixture) {
    let (_, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let mut bytes = layer_bytes();
    bytes[0] ^= 1;
    let wrong = exchange(&f, 7, &layer, &bytes).await;
    let copy = file(&f, 8, &layer, &layer_bytes()).await;
    let scrub = scrub(&f.registry).await;
    let found = whole_pass(&f, &scrub).await;
    assert_eq!((found.damaged, found.replaced, found.waiting), (1, 1, 0));
    assert_eq!(location(&f).await, copy);
    assert!(is_served(&f.registry, "a", &layer).await);
    assert!(
        f.store.open(&wrong, bytes.len() as u64).await.is_ok(),
        "kept"
    );
    assert_eq!(whole_pass(&f, &scrub).await.damaged, 0);
}

async fn a_copy_is_not_taken_from_under_garbage_collection(f: Fixture) {
    let (_, layer) = push_image(&f.registry, "a", "v1", "x").await;
    let place = location(&f).await;
    f.store.remove(&place).await.unwrap();
    let copy = file(&f, 8, &layer, &layer_bytes()).await;
    let clock = f.clock.clone() as std::sync::Arc<dyn lazuli_db::clock::Clock>;
    let collecting = lazuli_registry::leases::Lease::acquire(&f.db, &clock, "gc", "x", HOUR);
    let collecting = collecting.await.unwrap().unwrap();
    let scrub = scrub(&f.registry).await;
    let found = whole_pass(&f, &scrub).await;
    assert_eq!((found.damaged, found.replaced), (1, 0));
    assert_eq!(location(&f).await, place);
    collecting.release().await.unwrap();
    let found = whole_pass(&f, &scrub).await;
    assert_eq!((found.damaged, found.replaced), (1, 1));
    assert_eq!(location(&f).await, copy);
    assert!(is_served(&f.registry, "a", &layer).await);
}

on_both_engines!(
    a_turned_bit_is_found_within_a_pass_and_a_push_heals_it_everywhere,
    a_missing_file_is_reported_and_loses_nothing_if_it_comes_back,
    a_file_that_was_cut_is_put_aside,
    a_small_blob_with_wrong_bytes_is_put_aside_and_a_push_heals_it,
    a_blob_that_was_put_aside_can_be_pushed_larger_or_smaller_than_inline,
    a_damaged_manifest_is_put_aside_and_a_push_heals_it,
    a_good_copy_takes_the_place_of_a_damaged_file,
    a_copy_is_not_taken_from_under_garbage_collection,
);

//! Blobs: mounts, leases and damage.

use lazuli_registry::Error;
use lazuli_wire::oci::RepositoryName;

use crate::common::*;
use crate::on_both_engines;

async fn a_mount_needs_a_source_that_holds_the_blob(f: Fixture) {
    let digest = push_blob(&f.registry, "a", &[7; 1000]).await;
    assert!(
        !f.registry
            .mount_blob(&push("b"), &pull("c"), &digest)
            .await
            .unwrap()
    );
    assert!(matches!(
        f.registry.blob(&pull("b"), &digest).await,
        Err(Error::NameUnknown)
    ));
    assert_eq!(
        f.registry
            .mount_candidates(&push("b"), &digest)
            .await
            .unwrap(),
        [RepositoryName::parse("a").unwrap()]
    );
    assert!(
        f.registry
            .mount_blob(&push("b"), &pull("a"), &digest)
            .await
            .unwrap()
    );
    assert!(f.registry.blob(&pull("b"), &digest).await.is_ok());
    f.registry
        .delete_blob(&delete("a"), &digest, &"r".into())
        .await
        .unwrap();
    assert!(matches!(
        f.registry.blob(&pull("a"), &digest).await,
        Err(Error::BlobUnknown)
    ));
    assert!(
        f.registry.blob(&pull("b"), &digest).await.is_ok(),
        "the other repository keeps its blob"
    );
    assert!(matches!(
        f.registry
            .delete_blob(&delete("a"), &digest, &"r".into())
            .await,
        Err(Error::BlobUnknown)
    ));
}

async fn a_head_renews_the_lease_once_per_half_lease(f: Fixture) {
    let digest = push_blob(&f.registry, "a", &[7; 1000]).await;
    let before = f.db.stats().transactions;
    f.registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    assert_eq!(
        f.db.stats().transactions,
        before,
        "a fresh lease is not written again"
    );
    f.clock.advance(HOUR * 3 / 4);
    f.registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    f.registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    assert_eq!(f.db.stats().transactions, before + 1);
}

async fn a_blob_whose_bytes_are_gone_is_not_mounted(f: Fixture) {
    use lazuli_blobs::BlobStore as _;
    let digest = push_blob(&f.registry, "a", &[5; 9000]).await;
    let mut lister = f.store.list();
    while let Some(batch) = lister.next().await.unwrap() {
        for entry in batch {
            if let lazuli_blobs::Listed::Blob(entry) = entry {
                f.store.remove(&entry.location).await.unwrap();
            }
        }
    }
    let registry = f.restarted().await;
    assert!(
        !registry
            .mount_blob(&push("b"), &pull("a"), &digest)
            .await
            .unwrap()
    );
}

async fn a_blob_whose_bytes_are_gone_is_unknown_until_a_push_heals_it(f: Fixture) {
    use lazuli_blobs::BlobStore as _;
    let bytes = vec![3; 9000];
    let digest = push_blob(&f.registry, "a", &bytes).await;
    let mut lister = f.store.list();
    while let Some(batch) = lister.next().await.unwrap() {
        for entry in batch {
            if let lazuli_blobs::Listed::Blob(entry) = entry {
                f.store.remove(&entry.location).await.unwrap();
            }
        }
    }
    let registry = f.restarted().await;
    assert!(matches!(
        registry.affirm_blob(&pull("a"), &digest).await,
        Err(Error::BlobUnknown)
    ));
    let blob = registry.blob(&pull("a"), &digest).await.unwrap();
    assert!(matches!(
        registry.blob_bytes(&blob).await,
        Err(Error::Damaged)
    ));
    push_blob(&registry, "a", &bytes).await;
    let blob = registry.affirm_blob(&pull("a"), &digest).await.unwrap();
    assert!(registry.blob_bytes(&blob).await.is_ok());
}

on_both_engines! {
    a_mount_needs_a_source_that_holds_the_blob,
    a_head_renews_the_lease_once_per_half_lease,
    a_blob_whose_bytes_are_gone_is_not_mounted,
    a_blob_whose_bytes_are_gone_is_unknown_until_a_push_heals_it,
}

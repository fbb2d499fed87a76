//! What other nodes are not told of: blobs that garbage collection took, or that a push healed.

use std::time::Duration;

use lazuli_db::Value;
use lazuli_registry::Error;
use lazuli_registry::blobs::BlobBytes;

use crate::common::*;

fn large() -> Vec<u8> {
    b"a layer ".repeat(40)
}

#[tokio::test]
async fn a_collected_blob_is_forgotten_within_a_minute() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let node = f.node().await;
    let digest = push_blob(&f.registry, "a", b"small").await;
    node.blob(&pull("a"), &digest).await.unwrap();
    f.db.write(|tx| tx.execute("DELETE FROM repository_blobs", &[]))
        .await
        .unwrap();
    f.clock.advance(Duration::from_secs(59));
    assert!(node.blob(&pull("a"), &digest).await.is_ok());
    f.clock.advance(Duration::from_secs(1));
    let asked = node.blob(&pull("a"), &digest).await;
    assert!(matches!(asked, Err(Error::BlobUnknown)), "{asked:?}");
}

/// Before the minute is over, the bytes may be gone: that is an unknown blob, not a damaged one.
#[tokio::test]
async fn a_blob_whose_bytes_were_collected_is_unknown() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let node = f.node().await;
    let digest = push_blob(&f.registry, "a", &large()).await;
    node.blob(&pull("a"), &digest).await.unwrap();
    f.db.write(|tx| tx.execute("DELETE FROM repository_blobs", &[]))
        .await
        .unwrap();
    empty_store(&f).await;
    let opened = node.open_blob(&pull("a"), &digest).await;
    assert!(matches!(opened, Err(Error::BlobUnknown)), "{opened:?}");
    let affirmed = node.affirm_blob(&pull("a"), &digest).await;
    assert!(matches!(affirmed, Err(Error::BlobUnknown)), "{affirmed:?}");
    let mounted = node.mount_blob(&push("b"), &pull("a"), &digest).await;
    assert!(!mounted.unwrap());
}

#[tokio::test]
async fn a_blob_that_was_healed_by_another_node_is_found_at_its_new_place() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let node = f.node().await;
    let digest = push_blob(&f.registry, "a", &large()).await;
    node.blob(&pull("a"), &digest).await.unwrap();
    empty_store(&f).await;
    let opened = node.open_blob(&pull("a"), &digest).await;
    assert!(matches!(opened, Err(Error::Damaged)), "{opened:?}");
    node.blob(&pull("a"), &digest).await.unwrap();
    assert_eq!(push_blob(&f.registry, "a", &large()).await, digest);
    let (_, bytes) = node.open_blob(&pull("a"), &digest).await.unwrap();
    assert!(matches!(bytes, BlobBytes::File(_)));
    assert!(node.affirm_blob(&pull("a"), &digest).await.is_ok());
}

/// What a node promised, garbage collection on another one keeps, and a lower lease given elsewhere does not take back.
#[tokio::test]
async fn a_lease_holds_on_every_node() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let node = f.node().await;
    let digest = push_blob(&f.registry, "a", &large()).await;
    node.blob(&pull("a"), &digest).await.unwrap();
    f.clock.advance(Duration::from_secs(3599));
    node.affirm_blob(&pull("a"), &digest).await.unwrap();
    let promised = f.clock_now() + 2400 * 1_000_000;
    // A node whose clock is behind leases it too.
    let behind = std::sync::Arc::new(lazuli_db::clock::ManualClock::new(
        f.clock_now() - 600_000_000,
    ));
    let slow = f.node_with(behind, options()).await;
    push_blob(&slow, "a", &large()).await;
    let leased =
        f.db.read(|tx| {
            tx.query_one(
                "SELECT leased_until FROM repository_blobs WHERE size > ?1",
                &[Value::I64(0)],
                |row| row.get_i64(0),
            )
        })
        .await
        .unwrap();
    assert!(leased.unwrap() >= promised);
}

async fn empty_store(f: &Fixture) {
    let locations =
        f.db.read(|tx| {
            tx.query(
                "SELECT location FROM blobs WHERE location IS NOT NULL",
                &[],
                |row| row.get_string(0),
            )
        })
        .await
        .unwrap();
    for location in locations {
        let location = lazuli_blobs::Location::parse(&location).unwrap();
        lazuli_blobs::BlobStore::remove(&*f.store, &location)
            .await
            .unwrap();
    }
}

impl Fixture {
    fn clock_now(&self) -> i64 {
        lazuli_db::clock::Clock::now_us(&*self.clock)
    }
}

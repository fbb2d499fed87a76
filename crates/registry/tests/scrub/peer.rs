//! Another registry has what is damaged here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use lazuli_registry::scrub::{Peer, PeerError};
use lazuli_wire::oci::{Reference, RepositoryName};

use super::*;
use crate::on_both_engines;

/// What another registry holds, perhaps not quite.
struct Other {
    registry: Registry,
    layer: Vec<u8>,
    asked: AtomicU64,
    is_away: AtomicBool,
}

impl Other {
    async fn with(layer: &[u8]) -> (Arc<Self>, Fixture) {
        let f = Fixture::new().await;
        push_image(&f.registry, "b", "v1", "x").await;
        let other = Self {
            registry: f.registry.clone(),
            layer: layer.to_vec(),
            asked: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
        };
        (Arc::new(other), f)
    }
}

impl Peer for Other {
    fn blob(
        &self,
        repository: RepositoryName,
        _: Digest,
        _: u64,
    ) -> BoxStream<'static, Result<Bytes, PeerError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if repository.as_str() == "a" {
            // It has the image in one of the two repositories only.
            return stream::iter([Err("404".into())]).boxed();
        }
        let pieces: Vec<_> = self
            .layer
            .chunks(7)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        stream::iter(pieces).boxed()
    }

    fn manifest(
        &self,
        _: RepositoryName,
        digest: Digest,
    ) -> BoxFuture<'_, Result<Option<Bytes>, PeerError>> {
        Box::pin(async move {
            if self.is_away.load(Ordering::SeqCst) {
                return Err("no route to host".into());
            }
            let (access, reference) = (pull("b"), Reference::Digest(digest));
            let found = self.registry.manifest(&access, &reference).await?;
            Ok(Some(found.body.clone()))
        })
    }
}

async fn scrub_with(f: &Fixture, peer: &Arc<Other>) -> Scrub {
    let peer: Arc<dyn Peer> = peer.clone();
    let scrub = Scrub::open_with(&f.registry, thirty_days(), Some(peer)).await;
    scrub.unwrap()
}

async fn damaged_content_is_fetched_from_the_peer(f: Fixture) {
    let (manifest, layer) = push_image(&f.registry, "a", "v1", "x").await;
    push_image(&f.registry, "b", "v1", "x").await;
    let mut bytes = layer_bytes();
    bytes[17] ^= 1;
    let wrong = exchange(&f, 7, &layer, &bytes).await;
    execute(&f, "UPDATE manifests SET body = CAST('{}' AS {bytes})").await;
    execute(
        &f,
        "UPDATE blobs SET content = CAST('config y' AS {bytes}) WHERE size = 8",
    )
    .await;
    // The small blob is not what the peer gives for every blob: that one stays damaged.
    let (other, _keep) = Other::with(&layer_bytes()).await;
    let scrub = scrub_with(&f, &other).await;
    let node = f.node().await;
    let found = whole_pass(&f, &scrub).await;
    assert_eq!((found.damaged, found.replaced), (4, 3), "{found:?}");
    for name in ["a", "b"] {
        for registry in [&f.registry, &node] {
            assert!(is_served(registry, name, &layer).await);
            let served = registry.manifest(&pull(name), &tag("v1")).await.unwrap();
            assert_eq!(Digest::of(Algorithm::Sha256, &served.body), manifest);
        }
    }
    assert!(
        f.store.open(&wrong, bytes.len() as u64).await.is_ok(),
        "kept"
    );
    assert_eq!(whole_pass(&f, &scrub).await.damaged, 0);
}

async fn what_is_missing_is_fetched_too(f: Fixture) {
    let (_, layer) = push_image(&f.registry, "b", "v1", "x").await;
    let place = location(&f).await;
    f.store.remove(&place).await.unwrap();
    let (other, _keep) = Other::with(&layer_bytes()).await;
    let scrub = scrub_with(&f, &other).await;
    let found = whole_pass(&f, &scrub).await;
    assert_eq!((found.damaged, found.replaced), (1, 1));
    assert!(is_served(&f.registry, "b", &layer).await);
    assert_eq!(other.asked.load(Ordering::SeqCst), 1);
    assert_eq!(whole_pass(&f, &scrub).await.damaged, 0);
    assert_eq!(other.asked.load(Ordering::SeqCst), 1, "nothing is damaged");
}

async fn wrong_bytes_of_a_peer_are_not_taken(f: Fixture) {
    let (_, layer) = push_image(&f.registry, "b", "v1", "x").await;
    let mut bytes = layer_bytes();
    bytes[17] ^= 1;
    exchange(&f, 7, &layer, &bytes).await;
    bytes[18] ^= 1;
    for wrong in [
        &bytes[..],
        &bytes[..20],
        &[],
        &[bytes.clone(), bytes.clone()].concat(),
    ] {
        let (other, _keep) = Other::with(wrong).await;
        let scrub = scrub_with(&f, &other).await;
        let found = whole_pass(&f, &scrub).await;
        assert_eq!((found.damaged + found.waiting, found.replaced), (1, 0));
        assert!(!is_served(&f.registry, "b", &layer).await);
        assert_eq!(other.asked.load(Ordering::SeqCst), 1);
    }
    let (other, _keep) = Other::with(&layer_bytes()).await;
    let found = whole_pass(&f, &scrub_with(&f, &other).await).await;
    assert_eq!((found.waiting, found.replaced), (0, 1));
    assert!(is_served(&f.registry, "b", &layer).await);
}

async fn a_peer_that_is_away_costs_no_tag(f: Fixture) {
    let (manifest, _) = push_image(&f.registry, "b", "v1", "x").await;
    execute(&f, "UPDATE manifests SET body = CAST('{}' AS {bytes})").await;
    let (other, _keep) = Other::with(&layer_bytes()).await;
    other.is_away.store(true, Ordering::SeqCst);
    let scrub = scrub_with(&f, &other).await;
    let found = whole_pass(&f, &scrub).await;
    assert_eq!((found.damaged, found.skipped), (0, 1), "{found:?}");
    other.is_away.store(false, Ordering::SeqCst);
    let found = whole_pass(&f, &scrub).await;
    assert_eq!((found.damaged, found.replaced), (1, 1), "{found:?}");
    let served = f.registry.manifest(&pull("b"), &tag("v1")).await.unwrap();
    assert_eq!(Digest::of(Algorithm::Sha256, &served.body), manifest);
}

async fn a_copy_of_the_peer_is_taken_while_garbage_is_collected(f: Fixture) {
    let (_, layer) = push_image(&f.registry, "b", "v1", "x").await;
    exchange(&f, 7, &layer, &[1; 160]).await;
    let clock = f.clock.clone() as Arc<dyn lazuli_db::clock::Clock>;
    let collecting = lazuli_registry::leases::Lease::acquire(&f.db, &clock, "gc", "x", 10 * DAY);
    let _collecting = collecting.await.unwrap().unwrap();
    let (other, _keep) = Other::with(&layer_bytes()).await;
    let found = whole_pass(&f, &scrub_with(&f, &other).await).await;
    assert_eq!((found.damaged, found.replaced), (1, 1), "{found:?}");
    assert!(is_served(&f.registry, "b", &layer).await);
}

on_both_engines!(
    a_peer_that_is_away_costs_no_tag,
    a_copy_of_the_peer_is_taken_while_garbage_is_collected,
    damaged_content_is_fetched_from_the_peer,
    what_is_missing_is_fetched_too,
    wrong_bytes_of_a_peer_are_not_taken,
);

//! `cluster.staleness`: memory is asked without waiting, and is never older than that.

use std::sync::Arc;
use std::time::Duration;

use lazuli_blobs::MemoryStore;
use lazuli_db::clock::{Clock, ManualClock, SystemClock};
use lazuli_db::{Db, PostgresOptions};
use lazuli_registry::{Options, Registry};
use lazuli_testkit::postgres::Node;

use crate::common::*;

const STALENESS: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_at_most_that_old() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let clock = Arc::new(SystemClock::new());
    let options = Options {
        staleness: STALENESS,
        ..options()
    };
    let node = f.node_with(clock.clone(), options).await;
    let (access, latest) = (pull("a"), tag("latest"));
    let mut from_memory = 0;
    for seed in ["u", "v", "w", "x", "y", "z"] {
        let (digest, _) = push_image(&f.registry, "a", "latest", seed).await;
        let acknowledged = clock.monotonic();
        loop {
            let asked = clock.monotonic();
            let found = match node.cached_manifest(&access, &latest) {
                Some(found) => {
                    from_memory += 1;
                    found
                }
                None => node.manifest(&access, &latest).await.unwrap(),
            };
            if asked > acknowledged + STALENESS {
                assert_eq!(found.digest, digest);
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(from_memory > 0, "without waiting");
}

/// A node that cannot ask any more does not go on answering from memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_outlive_the_database() {
    let Some(mut server) = Node::start() else {
        return;
    };
    let options = Options {
        staleness: STALENESS,
        ..options()
    };
    let clock = Arc::new(ManualClock::new(1_800_000_000_000_000));
    let db = Db::open_postgres(PostgresOptions::new(server.url("postgres"))).unwrap();
    let store = Arc::new(MemoryStore::new());
    let node = Registry::open(db, store, clock.clone(), options);
    let node = node.await.unwrap();
    push_image(&node, "a", "latest", "x").await;
    while node.cached_manifest(&pull("a"), &tag("latest")).is_none() {
        node.manifest(&pull("a"), &tag("latest")).await.unwrap();
    }
    let server = tokio::task::spawn_blocking(move || {
        server.kill();
        server
    });
    let _server = server.await.unwrap();
    clock.advance(STALENESS);
    assert!(node.cached_manifest(&pull("a"), &tag("latest")).is_none());
    assert!(node.manifest(&pull("a"), &tag("latest")).await.is_err());
}

//! Nodes that were away for longer than the log goes back.

use std::sync::Arc;

use lazuli_registry::gc::{Gc, Hurried, Options};
use lazuli_registry::operations::sequencer::{self, Sequencer};
use lazuli_registry::retention::Retention;

use crate::common::*;

/// Everything that may go by its age does; one operation stays.
async fn trim(f: &Fixture) {
    let registry = &f.registry;
    let mut sequencer = Sequencer::new(registry.log(), "s", sequencer::Options::default());
    sequencer.drain().await.unwrap();
    f.clock.advance(HOUR * 24 * 100);
    let options = Options {
        pace: Arc::new(Hurried),
        retention: Retention {
            newest: 1,
            ..Retention::default()
        },
        ..Options::new(HOUR)
    };
    let gc = Gc::open(registry, options).await.unwrap();
    assert!(gc.run_once().await.unwrap().unwrap().history > 0);
    let left =
        f.db.read(|tx| tx.query_one("SELECT COUNT(*) FROM operations", &[], |row| row.get_i64(0)));
    assert_eq!(left.await.unwrap(), Some(1));
}

/// The clock stands still between, so what the node kept is not too old by itself.
async fn reads_what_is_now(f: &Fixture, node: &lazuli_registry::Registry) {
    let now = f.registry.manifest(&pull("a"), &tag("v")).await.unwrap();
    let seen = node.manifest(&pull("a"), &tag("v")).await.unwrap();
    assert_eq!(seen.digest, now.digest);
}

#[tokio::test]
async fn a_node_forgets_everything_after_the_log_was_trimmed_past_it() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    push_image(&f.registry, "a", "v", "1").await;
    let node = f.node().await;
    reads_what_is_now(&f, &node).await;
    // What tells of the move is trimmed; the operation that stays is of another repository.
    push_image(&f.registry, "a", "v", "2").await;
    push_image(&f.registry, "b", "v", "3").await;
    trim(&f).await;
    reads_what_is_now(&f, &node).await;
}

async fn tags(node: &lazuli_registry::Registry) -> usize {
    let request = lazuli_registry::listing::PageRequest {
        last: None,
        limit: 10,
        ..lazuli_registry::listing::PageRequest::default()
    };
    node.tags(&pull("a"), request).await.unwrap().names.len()
}

#[tokio::test]
async fn so_does_one_that_came_before_the_first_operation() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let node = f.node().await;
    push_blob(&f.registry, "a", b"a blob without an operation").await;
    assert_eq!(tags(&node).await, 0);
    push_image(&f.registry, "a", "v", "1").await;
    push_image(&f.registry, "b", "v", "2").await;
    trim(&f).await;
    assert_eq!(tags(&node).await, 1, "not what it kept");
}

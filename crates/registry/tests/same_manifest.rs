//! Many tags of one manifest at the same time: its row of who keeps it alive is replaced by each push.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;

use common::*;

const CLIENTS: usize = 32;
const TAGS: usize = 20;

async fn tags_of_one_manifest_hardly_collide(f: Fixture) {
    let blob = push_blob(&f.registry, "a", b"{}").await;
    let body = Arc::new(image(&blob, 2, &[], ""));
    put(&f.registry, "a", "first", OCI, &body).await.unwrap();
    let before = f.db.stats();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (registry, body) = (f.registry.clone(), body.clone());
            tokio::spawn(async move {
                for tag in 0..TAGS {
                    let tag = format!("v{client}-{tag}");
                    put(&registry, "a", &tag, OCI, &body).await.unwrap();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let after = f.db.stats();
    let (all, again) = (
        after.transactions - before.transactions,
        after.retries - before.retries,
    );
    println!(
        "{} pushes: {all} transactions, {again} repeated",
        CLIENTS * TAGS
    );
    assert!(
        again * 10 < all,
        "{again} of {all} transactions were repeated"
    );
}

on_both_engines!(tags_of_one_manifest_hardly_collide);

//! Garbage collection: what stays, what goes, and when.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod collecting;
mod deleted;
mod janitor;
mod passes;
mod registries;
mod restarts;
mod stubborn;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::*;
use lazuli_blobs::{
    BlobLister, BlobStore, BoxFuture, Hasher, Listed, Location, MemoryStore, Opened, UploadLister,
    UploadWriter,
};
use lazuli_registry::blobs::BlobBytes;
use lazuli_registry::gc::{Gc, Hurried, Moment, Options, Pace, Run};
use lazuli_registry::{Error, Registry};
use lazuli_wire::oci::{Algorithm, Digest, Reference, UploadId};

const MINUTE: Duration = Duration::from_mins(1);

fn hurried() -> Options {
    Options {
        batch: 3,
        pace: Arc::new(Hurried),
        ..Options::new(HOUR)
    }
}

async fn gc(f: &Fixture) -> Gc {
    Gc::open(&f.registry, hurried()).await.unwrap()
}

async fn run(gc: &Gc) -> Run {
    gc.run_once().await.unwrap().expect("nobody else is at it")
}

async fn has_blob(registry: &Registry, name: &str, digest: &Digest) -> bool {
    match registry.blob(&pull(name), digest).await {
        Ok(blob) => {
            registry.blob_bytes(&blob).await.unwrap();
            true
        }
        Err(Error::BlobUnknown | Error::NameUnknown) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn files(store: &MemoryStore) -> usize {
    let (mut lister, mut count) = (store.list(), 0);
    while let Some(batch) = lister.next().await.unwrap() {
        count += batch
            .iter()
            .filter(|listed| matches!(listed, Listed::Blob(_)))
            .count();
    }
    count
}

async fn count(f: &Fixture, sql: &'static str) -> i64 {
    f.db.read(move |tx| tx.query_one(sql, &[], |row| row.get_i64(0)))
        .await
        .unwrap()
        .unwrap()
}

fn large(seed: &str) -> Vec<u8> {
    format!("large {seed} ").repeat(50).into_bytes()
}

//! The scrub: damage is found within a pass and healed by a push; nothing else is taken for damage; passes are done once,
//! survive restarts, and keep their rate and their time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod coverage;
mod damage;
mod faulty;
mod passes;
mod peer;
mod store_faults;

use std::time::Duration;

use common::*;
use lazuli_blobs::{BlobStore, Hasher, Location};
use lazuli_registry::scrub::{Options, Pass, Scrub};
use lazuli_registry::{Error, Registry};
use lazuli_wire::oci::{Algorithm, Digest, UploadId};

const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);
const MIB: u64 = 1 << 20;

fn thirty_days() -> Options {
    Options::new(30 * DAY, 32 * MIB)
}

async fn scrub(registry: &Registry) -> Scrub {
    Scrub::open(registry, thirty_days()).await.unwrap()
}

/// A pass that somebody asked for, from begin to end.
async fn whole_pass(f: &Fixture, scrub: &Scrub) -> Pass {
    Scrub::request(&f.registry).await.unwrap();
    to_the_end(f, scrub).await
}

async fn to_the_end(f: &Fixture, scrub: &Scrub) -> Pass {
    for _ in 0..10_000 {
        let wait = scrub.step().await.unwrap();
        f.clock.advance(wait);
        let status = Scrub::status(&f.registry, &thirty_days()).await.unwrap();
        if status.pass.is_none() && !status.is_requested {
            return status.last.unwrap();
        }
    }
    panic!("the pass does not end");
}

async fn execute(f: &Fixture, sql: &'static str) {
    let changed = f.db.write(move |tx| tx.execute(sql, &[])).await.unwrap();
    assert!(changed > 0, "{sql}");
}

async fn count(f: &Fixture, sql: &'static str) -> i64 {
    let count =
        f.db.read(move |tx| tx.query_one(sql, &[], |row| row.get_i64(0)));
    count.await.unwrap().unwrap()
}

/// Puts a file into the store.
async fn file(f: &Fixture, seed: u8, digest: &Digest, bytes: &[u8]) -> Location {
    let upload = UploadId::from_bytes([seed; 16]);
    let hasher = Hasher::new(Algorithm::Sha256);
    let mut writer = f.store.writer(upload, 0, hasher).await.unwrap();
    writer.write(bytes.to_vec().into()).await.unwrap();
    writer.finish().await.unwrap();
    let size = bytes.len() as u64;
    f.store.finish(upload, "1", digest, size).await.unwrap()
}

/// Exchanges the file of the only stored blob; the one before is removed.
async fn exchange(f: &Fixture, seed: u8, digest: &Digest, bytes: &[u8]) -> Location {
    let old = location(f).await;
    let new = file(f, seed, digest, bytes).await;
    let text = new.to_string();
    f.db.write(move |tx| {
        tx.execute(
            "UPDATE blobs SET location = ?1 WHERE location IS NOT NULL",
            &[(&text).into()],
        )
    })
    .await
    .unwrap();
    f.store.remove(&old).await.unwrap();
    new
}

async fn location(f: &Fixture) -> Location {
    let text = f.db.read(|tx| {
        tx.query_one(
            "SELECT location FROM blobs WHERE location IS NOT NULL",
            &[],
            |row| row.get_string(0),
        )
    });
    Location::parse(&text.await.unwrap().unwrap()).unwrap()
}

fn layer_bytes() -> Vec<u8> {
    "layer x ".repeat(20).into_bytes()
}

async fn is_served(registry: &Registry, name: &str, digest: &Digest) -> bool {
    let told = match registry.affirm_blob(&pull(name), digest).await {
        Ok(_) => true,
        Err(Error::BlobUnknown) => false,
        Err(error) => panic!("{error}"),
    };
    let read = registry.open_blob(&pull(name), digest).await;
    assert_eq!(told, read.is_ok(), "what is told of can be read");
    told
}

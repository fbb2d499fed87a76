//! Clients and garbage collection truly at the same time: shared content, real threads, both engines.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::*;
use lazuli_db::clock::{Clock, ManualClock};
use lazuli_registry::blobs::BlobBytes;
use lazuli_registry::gc::{Gc, Hurried, Options};
use lazuli_registry::{Error, Registry, fsck};
use lazuli_wire::oci::{Algorithm, Digest, Reference};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Images that a client does not delete: so many that others need few of the contents.
const KEPT: usize = 3;
const LEASE_US: i64 = 2_400_000_000;

fn content(index: u64) -> Vec<u8> {
    format!("content {index} ")
        .repeat(if index.is_multiple_of(2) { 1 } else { 20 })
        .into_bytes()
}

struct Client {
    registry: Registry,
    clock: Arc<ManualClock>,
    name: &'static str,
    number: usize,
    random: u64,
    relied: Arc<AtomicU64>,
    /// Rounds of all clients: they push the same contents at about the same time, whoever is slower.
    rounds: Arc<AtomicU64>,
    /// Manifests that were not deleted at once, the oldest first.
    kept: VecDeque<Digest>,
}

impl Client {
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    /// Gets a content into the repository, by a push or, if another repository has it, by a mount. Returns until when
    /// it is leased.
    async fn obtain(&mut self, index: u64) -> i64 {
        let until = self.clock.now_us() + LEASE_US;
        let digest = Digest::of(Algorithm::Sha256, &content(index));
        if self.below(2) == 0 {
            let source = NAMES[self.below(4) as usize];
            if self
                .registry
                .mount_blob(&push(self.name), &pull(source), &digest)
                .await
                .unwrap()
            {
                return until;
            }
        }
        push_blob(&self.registry, self.name, &content(index)).await;
        until
    }

    /// Pushes an image, reads it back, and perhaps deletes it.
    async fn round(&mut self) {
        // What is pushed often now, again and again when it may be gone, is left alone later.
        let oldest = self.rounds.fetch_add(1, Ordering::Relaxed) / 16 * 2;
        let first = oldest + 2 * self.below(12);
        let second = oldest + 2 * self.below(12) + 1;
        let until = self.obtain(first).await.min(self.obtain(second).await);
        let digests = [first, second].map(|index| {
            (
                Digest::of(Algorithm::Sha256, &content(index)),
                content(index).len(),
            )
        });
        // Two clients share each repository; their manifests are their own.
        let own = format!(r#","annotations":{{"client":"{}"}}"#, self.number);
        let body = image(&digests[0].0, digests[0].1, &[digests[1]], &own);
        let stored = put(&self.registry, self.name, "latest", OCI, &body).await;
        let stored = match stored {
            Ok(stored) => stored,
            Err(Error::ManifestBlobUnknown(missing)) => {
                assert!(
                    self.clock.now_us() >= until,
                    "{}: {missing:?} was leased",
                    self.name
                );
                return;
            }
            Err(error) => panic!("{error}"),
        };
        self.relied.fetch_add(1, Ordering::Relaxed);
        for index in [first, second] {
            self.read(index).await;
        }
        self.kept.retain(|kept| *kept != stored.digest);
        let leaving = if self.below(20) > 0 {
            Some(stored.digest)
        } else {
            self.kept.push_back(stored.digest);
            (self.kept.len() > KEPT)
                .then(|| self.kept.pop_front())
                .flatten()
        };
        if let Some(digest) = leaving {
            self.registry
                .delete_manifest(&delete(self.name), &digest, &"r".into())
                .await
                .unwrap();
        }
        if leaving != Some(stored.digest) {
            self.registry
                .manifest(&pull(self.name), &Reference::Digest(stored.digest))
                .await
                .unwrap();
        }
    }

    async fn read(&self, index: u64) {
        let digest = Digest::of(Algorithm::Sha256, &content(index));
        let opened = self.registry.open_blob(&pull(self.name), &digest).await;
        match opened.unwrap().1 {
            BlobBytes::Memory(bytes) => assert_eq!(bytes, content(index)),
            BlobBytes::File(file) => assert_eq!(file.size, content(index).len() as u64),
            BlobBytes::Object(_) => unreachable!("the store has files"),
        }
    }
}

/// What each client does at least, and so long as collection deletes nothing, at most.
const ROUNDS: u64 = 60;
const MOST_ROUNDS: u64 = 6000;
/// Blobs that have to be deleted while clients push.
const ENOUGH: u64 = 20;

async fn pushes_and_collection_do_not_hurt_one_another(f: Fixture) {
    let options = Options {
        batch: 4,
        pace: Arc::new(Hurried),
        ..Options::new(HOUR)
    };
    let gc = Gc::open(&f.registry, options).await.unwrap();
    let (over, relied) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let meanwhile = Arc::new(AtomicU64::new(0));
    let collector = {
        let (gc, over, meanwhile) = (gc.clone(), over.clone(), meanwhile.clone());
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let run = gc.run_once().await.unwrap().unwrap();
                meanwhile.fetch_add(run.deleted, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    // A lease lasts some fifty milliseconds: some clients are too slow for it, most are not.
    let clock = f.clock.clone();
    let ticker = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            clock.advance(Duration::from_secs(70));
        }
    });
    let rounds = Arc::new(AtomicU64::new(0));
    // Half of the clients push to another node than the one that collects.
    let nodes = [f.registry.clone(), f.node().await];
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let mut client = Client {
                registry: nodes[number / 4].clone(),
                clock: f.clock.clone(),
                name: NAMES[number % 4],
                number,
                random: number as u64 + 1,
                relied: relied.clone(),
                rounds: rounds.clone(),
                kept: VecDeque::new(),
            };
            let meanwhile = meanwhile.clone();
            tokio::spawn(async move {
                for round in 0..MOST_ROUNDS {
                    if round >= ROUNDS && meanwhile.load(Ordering::Relaxed) >= ENOUGH {
                        break;
                    }
                    client.round().await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    ticker.abort();
    collector.await.unwrap();
    let meanwhile = meanwhile.load(Ordering::Relaxed);
    let mut deleted = meanwhile;
    for _ in 0..4 {
        f.clock.advance(2 * HOUR);
        deleted += gc.run_once().await.unwrap().unwrap().deleted;
    }
    println!(
        "{} images, {meanwhile} blobs deleted meanwhile, {deleted} in all, {:?}",
        relied.load(Ordering::Relaxed),
        f.db.stats()
    );
    assert!(relied.load(Ordering::Relaxed) > 100 && meanwhile >= ENOUGH && deleted > meanwhile);
    let mut findings = Vec::new();
    let options = fsck::Options {
        verify: true,
        repair: false,
    };
    let summary = fsck::check(&f.registry, options, &mut |finding, _| {
        findings.push(finding.to_string());
    })
    .await
    .unwrap();
    assert!(summary.is_sound() && summary.notes == 0, "{findings:#?}");
}

on_both_engines!(pushes_and_collection_do_not_hurt_one_another);

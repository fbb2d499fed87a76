//! Garbage collection raced by clients at every moment of its work, from a seed.
//!
//! Clients push, mount, ask, delete and untag; they also act between garbage collection's look at the rows and its
//! transaction, and between the deletion of rows and that of files. An oracle knows what was promised: content that a
//! manifest names, and digests affirmed less than a lease ago. Nothing promised may ever be missing, and in the end
//! everything else must be gone.
//!
//! `LAZULI_GC_SEEDS` sets the number of schedules, `LAZULI_GC_SEED` the first seed.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use lazuli_blobs::{BlobStore, BoxFuture, Listed};
use lazuli_db::clock::Clock;
use lazuli_registry::blobs::BlobBytes;
use lazuli_registry::gc::{Gc, Hurried, Moment, Options, Pace};
use lazuli_registry::{Error, Registry, fsck};
use lazuli_wire::oci::{Algorithm, Digest, Reference};
use tokio::sync::Mutex;

use world::{Random, World, content, digest};

/// Clients act at each moment of garbage collection.
struct Interleaved(Arc<Mutex<World>>);

impl Pace for Interleaved {
    fn at(&self, moment: Moment) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut world = self.0.lock().await;
            let steps = if moment == Moment::Rest {
                world.random.below(2)
            } else {
                world.random.below(4)
            };
            for _ in 0..steps {
                world.step().await;
            }
        })
    }
}

async fn simulate(f: Fixture, seed: u64, rounds: usize) -> (u64, u64, u64, u64) {
    let world = Arc::new(Mutex::new(World {
        registry: f.registry.clone(),
        clock: f.clock.clone(),
        random: Random(seed),
        leases: BTreeMap::new(),
        manifests: BTreeMap::new(),
        steps: 0,
        checked: 0,
        relied: 0,
    }));
    let options = Options {
        batch: 2,
        lease: 1000 * HOUR,
        ..Options::new(HOUR)
    };
    let interleaved = Options {
        pace: Arc::new(Interleaved(world.clone())),
        ..options.clone()
    };
    let mut gc = Gc::open(&f.registry, interleaved.clone()).await.unwrap();
    let mut deleted = 0;
    for _ in 0..rounds {
        let (steps, is_restarted) = {
            let mut world = world.lock().await;
            (world.random.below(8), world.random.below(10) == 0)
        };
        for _ in 0..steps {
            world.lock().await.step().await;
        }
        if is_restarted {
            // The process ends at any time; the next goes on.
            let registry = f.restarted().await;
            world.lock().await.registry = registry.clone();
            gc = Gc::open(&registry, interleaved.clone()).await.unwrap();
        }
        deleted += gc.run_once().await.unwrap().unwrap().deleted;
    }
    let mut world = world.lock().await;
    let registry = world.registry.clone();
    // Everybody is gone, and all leases end.
    let last = Gc::open(
        &registry,
        Options {
            pace: Arc::new(Hurried),
            ..options
        },
    )
    .await
    .unwrap();
    for _ in 0..4 {
        f.clock.advance(2 * HOUR);
        deleted += last.run_once().await.unwrap().unwrap().deleted;
    }
    world.check().await;
    check_nothing_is_left(&f, &world).await;
    check_consistent(&registry).await;
    (world.steps, world.checked, world.relied, deleted)
}

/// What is stored is exactly what manifests name.
async fn check_nothing_is_left(f: &Fixture, world: &World) {
    let named: BTreeSet<usize> = world.manifests.values().flatten().copied().collect();
    let stored =
        f.db.read(|tx| {
            tx.query("SELECT digest FROM blobs ORDER BY digest", &[], |row| {
                row.get_bytes(0)
            })
        })
        .await
        .unwrap();
    let mut expected: Vec<_> = named
        .iter()
        .map(|index| digest(*index).to_bytes())
        .collect();
    expected.sort();
    assert_eq!(stored, expected);
    let (mut lister, mut files) = (f.store.list(), 0);
    while let Some(batch) = lister.next().await.unwrap() {
        files += batch
            .iter()
            .filter(|listed| matches!(listed, Listed::Blob(_)))
            .count();
    }
    assert_eq!(
        files,
        named
            .iter()
            .filter(|index| content(**index).len() > 64)
            .count(),
        "no file is left over"
    );
}

async fn check_consistent(registry: &Registry) {
    let mut findings = Vec::new();
    let options = fsck::Options {
        verify: true,
        repair: false,
    };
    let summary = fsck::check(registry, options, &mut |finding, _| {
        findings.push(finding.to_string());
    })
    .await
    .unwrap();
    assert!(summary.is_sound() && summary.notes == 0, "{findings:#?}");
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

async fn simulate_seeds(seeds: u64, rounds: usize, is_embedded: bool) {
    let first = from_env("LAZULI_GC_SEED", 1);
    let seeds = from_env("LAZULI_GC_SEEDS", seeds);
    let (mut steps, mut checked, mut relied, mut deleted) = (0, 0, 0, 0);
    for seed in first..first + seeds {
        let fixture = if is_embedded {
            Some(Fixture::new().await)
        } else {
            Fixture::on_postgresql().await
        };
        let Some(fixture) = fixture else { return };
        // Seen only when it fails.
        println!("seed {seed}");
        let counts = simulate(fixture, seed, rounds).await;
        (steps, checked, relied, deleted) = (
            steps + counts.0,
            checked + counts.1,
            relied + counts.2,
            deleted + counts.3,
        );
    }
    println!(
        "{seeds} schedules: {steps} steps, {checked} promises kept, {relied} relied on, {deleted} deleted"
    );
    assert!(
        deleted > 2 * seeds && relied > seeds,
        "the schedules must reach the interesting states"
    );
}

#[tokio::test]
async fn nothing_promised_is_lost_and_nothing_else_stays_on_sqlite() {
    simulate_seeds(25, 30, true).await;
}

#[tokio::test]
async fn nothing_promised_is_lost_and_nothing_else_stays_on_postgresql() {
    simulate_seeds(6, 20, false).await;
}

//! Garbage collection raced by clients at every moment of its work, from a seed.
//!
//! Clients push, mount, ask, delete and untag; they also act between garbage collection's look at the rows and its
//! transaction, and between the deletion of rows and that of files. An oracle knows what was promised: content that a
//! manifest names, and digests affirmed less than a lease ago. Nothing promised may ever be missing, and in the end
//! everything else must be gone.
//!
//! `LAZULI_GC_SEEDS` sets the number of schedules, `LAZULI_GC_SEED` the first seed.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use lazuli_blobs::{BlobStore, BoxFuture, Listed};
use lazuli_db::clock::Clock;
use lazuli_registry::blobs::BlobBytes;
use lazuli_registry::gc::{Gc, Moment, Options, Pace};
use lazuli_registry::{Error, Registry, fsck};
use lazuli_wire::oci::{Algorithm, Digest, Reference};
use tokio::sync::Mutex;

const REPOSITORIES: [&str; 3] = ["a", "b", "c"];
const CONTENTS: usize = 6;
const LEASE_US: i64 = 3_600_000_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn repository(&mut self) -> &'static str {
        REPOSITORIES[self.below(REPOSITORIES.len())]
    }
}

/// Half of them small enough for the database.
fn content(index: usize) -> Vec<u8> {
    format!("content {index} ")
        .repeat(if index % 2 == 0 { 1 } else { 20 })
        .into_bytes()
}

fn digest(index: usize) -> Digest {
    Digest::of(Algorithm::Sha256, &content(index))
}

/// A manifest of some contents: the first is its configuration.
fn manifest(contents: &BTreeSet<usize>) -> String {
    let sized = |index: usize| (digest(index), content(index).len());
    let mut listed = contents.iter().copied();
    let (config, size) = sized(listed.next().unwrap());
    image(&config, size, &listed.map(sized).collect::<Vec<_>>(), "")
}

/// What was promised, and the clients that rely on it.
struct World {
    registry: Registry,
    clock: Arc<lazuli_db::clock::ManualClock>,
    random: Random,
    /// Until when the content of a repository is leased.
    leases: BTreeMap<(&'static str, usize), i64>,
    /// The contents that each live manifest of a repository names.
    manifests: BTreeMap<(&'static str, Digest), BTreeSet<usize>>,
    steps: u64,
    /// Promises checked.
    checked: u64,
    /// Manifests pushed that name content affirmed earlier.
    relied: u64,
}

impl World {
    fn is_named(&self, name: &str, index: usize) -> bool {
        self.manifests
            .iter()
            .any(|((owner, _), contents)| *owner == name && contents.contains(&index))
    }

    fn is_promised(&self, name: &'static str, index: usize) -> bool {
        let now = self.clock.now_us();
        self.leases
            .get(&(name, index))
            .is_some_and(|until| *until > now)
            || self.is_named(name, index)
    }

    fn promise(&mut self, name: &'static str, index: usize, at: i64) {
        let until = self.leases.entry((name, index)).or_default();
        *until = (*until).max(at + LEASE_US);
    }

    /// One client does one thing.
    async fn step(&mut self) {
        self.steps += 1;
        let (name, index) = (self.random.repository(), self.random.below(CONTENTS));
        let now = self.clock.now_us();
        match self.random.below(100) {
            0..20 => {
                push_blob(&self.registry, name, &content(index)).await;
                self.promise(name, index, now);
            }
            20..35 => self.affirm(name, index, now).await,
            35..47 => self.mount(name, index, now).await,
            47..67 => self.put_manifest(name).await,
            67..77 => self.delete_manifest(name).await,
            77..79 => self.delete_repository(name).await,
            79..82 => self.delete_blob(name, index).await,
            _ => self
                .clock
                .advance(Duration::from_secs(60 * (1 + self.random.below(25) as u64))),
        }
        self.check().await;
    }

    async fn affirm(&mut self, name: &'static str, index: usize, now: i64) {
        match self.registry.affirm_blob(&pull(name), &digest(index)).await {
            // The lease of an earlier answer is renewed in its second half.
            Ok(_) => self.promise(name, index, now - LEASE_US / 2),
            Err(Error::BlobUnknown | Error::NameUnknown) => {
                assert!(
                    !self.is_promised(name, index),
                    "{name}: promised content {index} is denied"
                );
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn mount(&mut self, name: &'static str, index: usize, now: i64) {
        let source = self.random.repository();
        let mounted = self
            .registry
            .mount_blob(&push(name), &pull(source), &digest(index))
            .await
            .unwrap();
        assert!(
            mounted || !self.is_promised(source, index),
            "{source}: promised content {index} cannot be mounted"
        );
        if mounted {
            self.promise(name, index, now);
        }
    }

    async fn put_manifest(&mut self, name: &'static str) {
        let contents: BTreeSet<usize> = (0..=self.random.below(3))
            .map(|_| self.random.below(CONTENTS))
            .collect();
        let all_promised = contents.iter().all(|index| self.is_promised(name, *index));
        let body = manifest(&contents);
        let tag = format!("t{}", self.random.below(3));
        match put(&self.registry, name, &tag, OCI, &body).await {
            Ok(stored) => {
                self.relied += u64::from(all_promised);
                self.manifests.insert((name, stored.digest), contents);
            }
            Err(Error::ManifestBlobUnknown(_)) => {
                assert!(!all_promised, "{name}: promised content was refused")
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn delete_manifest(&mut self, name: &'static str) {
        let held: Vec<_> = self
            .manifests
            .keys()
            .filter(|(owner, _)| *owner == name)
            .copied()
            .collect();
        if held.is_empty() {
            return;
        }
        let key = held[self.random.below(held.len())];
        self.registry
            .delete_manifest(&delete(name), &key.1, &"r".into())
            .await
            .unwrap();
        self.manifests.remove(&key);
    }

    async fn delete_repository(&mut self, name: &'static str) {
        match self
            .registry
            .delete_repository(&delete(name), &"r".into())
            .await
        {
            Ok(_) | Err(Error::NameUnknown) => {
                self.manifests.retain(|(owner, _), _| *owner != name)
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A client may take a blob out of its repository; then nothing is promised there. Not while a manifest names it,
    /// that is the client's own fault and tells nothing.
    async fn delete_blob(&mut self, name: &'static str, index: usize) {
        if self.is_named(name, index) {
            return;
        }
        match self
            .registry
            .delete_blob(&delete(name), &digest(index))
            .await
        {
            Ok(()) => drop(self.leases.remove(&(name, index))),
            Err(Error::BlobUnknown | Error::NameUnknown) => {
                assert!(
                    !self.is_promised(name, index),
                    "{name}: promised content {index} was gone"
                );
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Everything promised can be read, and is what it was.
    async fn check(&mut self) {
        for name in REPOSITORIES {
            for index in 0..CONTENTS {
                if !self.is_promised(name, index) {
                    continue;
                }
                self.checked += 1;
                let blob = self.registry.blob(&pull(name), &digest(index)).await;
                let blob = blob
                    .unwrap_or_else(|error| panic!("{name}: promised content {index}: {error}"));
                let read = self.registry.blob_bytes(&blob).await;
                match read
                    .unwrap_or_else(|error| panic!("{name}: bytes of content {index}: {error}"))
                {
                    BlobBytes::Memory(bytes) => assert_eq!(bytes, content(index)),
                    BlobBytes::File(file) => assert_eq!(file.size, content(index).len() as u64),
                }
            }
            for ((_, digest), _) in self
                .manifests
                .iter()
                .filter(|((owner, _), _)| *owner == name)
            {
                self.registry
                    .manifest(&pull(name), &Reference::Digest(*digest))
                    .await
                    .unwrap();
            }
        }
    }
}

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

struct Hurried;

impl Pace for Hurried {
    fn at(&self, _: Moment) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
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
        findings.push(finding.to_string())
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

//! Metering: what was stored for how long adds up, whatever clients and garbage collection do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use lazuli_db::clock::Clock;
use lazuli_registry::gc::{Gc, Hurried, Options};
use lazuli_registry::metering::{self, Meter, Transfers, Window};
use lazuli_wire::oci::{Algorithm, Digest, RepositoryName};

const NAMES: [&str; 3] = ["a", "b", "c"];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Bytes held by each repository now, by name.
async fn held(f: &Fixture) -> BTreeMap<String, i128> {
    let rows = f
        .db
        .read(|tx| {
            tx.query(
                "SELECT r.name, b.size FROM repository_blobs b JOIN repositories r ON r.holder = b.repository_id AND r.deleted_at IS NULL",
                &[],
                |row| Ok((row.get_string(0)?, row.get_i64(1)?)),
            )
        })
        .await
        .unwrap();
    let mut held = BTreeMap::new();
    for (name, size) in rows {
        *held.entry(name).or_default() += i128::from(size);
    }
    held
}

/// What metering says of a repository.
async fn metered(f: &Fixture, name: &'static str, window: Window) -> i128 {
    f.db.read(move |tx| {
        let id = tx.query_one(
            "SELECT holder FROM repositories WHERE name = ?1 AND deleted_at IS NULL",
            &[name.into()],
            |row| row.get_i64(0),
        )?;
        id.map_or(Ok(0), |id| metering::stored(tx, 1, id, window))
    })
    .await
    .unwrap()
}

/// Integrates what is held over time, beside the product, and compares at the end.
async fn adds_up(f: &Fixture, seed: u64) {
    let mut random = Random(seed);
    let gc = Gc::open(
        &f.registry,
        Options {
            pace: Arc::new(Hurried),
            ..Options::new(HOUR)
        },
    )
    .await
    .unwrap();
    let start = f.clock.now_us();
    let mut expected: BTreeMap<String, i128> = BTreeMap::new();
    // Sums at some moments, to compare windows with.
    let mut marks: Vec<(i64, BTreeMap<String, i128>)> = vec![(start, BTreeMap::new())];
    for _ in 0..60 {
        let name = NAMES[random.below(3) as usize];
        let bytes = vec![7; 1 + random.below(200) as usize % 5 * 40];
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        match random.below(10) {
            0..4 => drop(push_blob(&f.registry, name, &bytes).await),
            4 => drop(
                f.registry
                    .mount_blob(&push(name), &pull(NAMES[random.below(3) as usize]), &digest)
                    .await
                    .unwrap(),
            ),
            5 => drop(
                f.registry
                    .delete_blob(&delete(name), &digest, &"r".into())
                    .await,
            ),
            6 => drop(gc.run_once().await.unwrap()),
            _ => {
                // Also no time at all: deleted and pushed again in the same microsecond.
                let by = random.below(3) * random.below(4_000) * 1_000_000 + random.below(2);
                for (name, bytes) in held(f).await {
                    *expected.entry(name).or_default() += bytes * i128::from(by);
                }
                f.clock.advance(Duration::from_micros(by));
                marks.push((f.clock.now_us(), expected.clone()));
            }
        }
    }
    let end = f.clock.now_us();
    for name in NAMES {
        let total = metered(
            f,
            name,
            Window {
                from: start,
                to: end,
            },
        )
        .await;
        assert_eq!(
            total,
            expected.get(name).copied().unwrap_or_default(),
            "seed {seed}, repository {name}"
        );
        let mut pieces = 0;
        for pair in marks.windows(2) {
            let piece = metered(
                f,
                name,
                Window {
                    from: pair[0].0,
                    to: pair[1].0,
                },
            )
            .await;
            let at = |mark: &BTreeMap<String, i128>| mark.get(name).copied().unwrap_or_default();
            assert_eq!(
                piece,
                at(&pair[1].1) - at(&pair[0].1),
                "seed {seed}, repository {name}"
            );
            assert!(piece >= 0);
            pieces += piece;
        }
        assert_eq!(pieces, total, "windows add up");
    }
    let wrong = f.db.read(|tx| {
        tx.query_one(
            "SELECT COUNT(*) FROM blob_intervals WHERE to_at <= from_at OR size < 0",
            &[],
            |row| row.get_i64(0),
        )
    });
    assert_eq!(wrong.await.unwrap(), Some(0));
}

async fn stored_bytes_times_time_add_up(f: Fixture) {
    adds_up(&f, 1).await;
}

#[tokio::test]
async fn stored_bytes_times_time_add_up_for_many_seeds() {
    for seed in 2..22 {
        adds_up(&Fixture::new().await, seed).await;
    }
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

/// Events and bytes by repository and meter, over all hours.
async fn transfers(f: &Fixture, hours: &mut Vec<i64>) -> BTreeMap<(String, String), (i64, i64)> {
    let rows = f
        .db
        .read(|tx| {
            tx.query("SELECT repository, meter, events, bytes, hour FROM transfers WHERE registry_id = 1", &[], |row| {
                Ok(((row.get_string(0)?, row.get_string(1)?), (row.get_i64(2)?, row.get_i64(3)?), row.get_i64(4)?))
            })
        })
        .await
        .unwrap();
    let mut sums = BTreeMap::new();
    for (key, (events, bytes), hour) in rows {
        hours.push(hour);
        let sum: &mut (i64, i64) = sums.entry(key).or_default();
        *sum = (sum.0 + events, sum.1 + bytes);
    }
    sums
}

async fn transfers_are_added_to_the_row_of_their_hour(f: Fixture) {
    let counters = Transfers::new();
    for round in 1..=3 {
        for _ in 0..10 {
            counters.record(1, &name("a/b"), Meter::BlobPull, 1 << 40);
        }
        counters.record(1, &name("a/b"), Meter::ManifestPull, 500);
        counters.record(2, &name("a/b"), Meter::ManifestPull, 7);
        counters.flush(&f.db, &*f.clock).await.unwrap();
        counters.flush(&f.db, &*f.clock).await.unwrap();
        if round == 2 {
            f.clock.advance(HOUR);
        }
    }
    let mut hours = Vec::new();
    let sums = transfers(&f, &mut hours).await;
    assert_eq!(
        sums[&("a/b".to_owned(), "blob-pull".to_owned())],
        (30, 30 << 40)
    );
    assert_eq!(
        sums[&("a/b".to_owned(), "manifest-pull".to_owned())],
        (3, 1500)
    );
    let first = 1_800_000_000 / 3600;
    hours.sort_unstable();
    assert_eq!(hours, [first, first, first + 1, first + 1]);
}

async fn a_flood_of_names_is_counted_together_and_nothing_is_lost(f: Fixture) {
    let counters = Transfers::new();
    for n in 0..20_000 {
        counters.record(1, &name(&format!("r{n}")), Meter::BlobPush, 3);
    }
    counters.flush(&f.db, &*f.clock).await.unwrap();
    let sums = transfers(&f, &mut Vec::new()).await;
    assert!(sums.len() <= 16 * 512 + 1, "{} rows", sums.len());
    assert!(sums.contains_key(&(String::new(), "blob-push".to_owned())));
    let total = sums
        .values()
        .fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    assert_eq!(total, (20_000, 60_000));
}

async fn what_could_not_be_written_is_kept(f: Fixture) {
    let counters = Transfers::new();
    for n in 0..2_000 {
        counters.record(1, &name(&format!("r{n}")), Meter::BlobPush, 3);
    }
    // The second of several transactions fails.
    f.db.write(|tx| {
        tx.execute(
            "INSERT INTO transfers VALUES (1, 0, 500000, 'r7', 'blob-push', 9223372036854775807, 0)",
            &[],
        )
    })
    .await
    .unwrap();
    assert!(
        counters.flush(&f.db, &*f.clock).await.is_err(),
        "the sum does not fit"
    );
    f.db.write(|tx| tx.execute("DELETE FROM transfers WHERE events > 1000000", &[]))
        .await
        .unwrap();
    counters.flush(&f.db, &*f.clock).await.unwrap();
    let sums = transfers(&f, &mut Vec::new()).await;
    let total: i64 = sums.values().map(|count| count.0).sum();
    assert_eq!(total, 2_000);
}

on_both_engines!(
    stored_bytes_times_time_add_up,
    transfers_are_added_to_the_row_of_their_hour,
    a_flood_of_names_is_counted_together_and_nothing_is_lost,
    what_could_not_be_written_is_kept,
);

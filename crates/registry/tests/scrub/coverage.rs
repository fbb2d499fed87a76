//! A pass covers every blob that is there all the time, whatever comes and goes meanwhile.

use lazuli_db::{Error, Tx};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::on_both_engines;

/// What happens between two steps of a pass.
#[derive(Debug, Clone)]
enum Event {
    Steps(u32),
    Come {
        registry: i64,
        blobs: u64,
    },
    /// A registry loses all of its blobs that came meanwhile.
    Go {
        registry: i64,
    },
    Restart,
}

fn events() -> impl Strategy<Value = (u64, Vec<Event>)> {
    let registry = || prop::sample::select(&[-3_i64, 1, 2, 1 << 40][..]);
    let event = prop_oneof![
        4 => (1..4_u32).prop_map(Event::Steps),
        3 => (registry(), 1..8_u64).prop_map(|(registry, blobs)| Event::Come { registry, blobs }),
        1 => registry().prop_map(|registry| Event::Go { registry }),
        1 => Just(Event::Restart),
    ];
    (0..150_u64, prop::collection::vec(event, 5..30))
}

/// A row whose bytes are wrong: when a pass comes to it, it takes them away. `created_at` tells when it came.
fn come(tx: &mut Tx<'_>, registry: i64, number: u64, created_at: i64) -> Result<(), Error> {
    let algorithm = if number.is_multiple_of(3) {
        Algorithm::Sha512
    } else {
        Algorithm::Sha256
    };
    let digest = Digest::of(algorithm, &number.to_be_bytes()).to_bytes();
    tx.execute(
        "INSERT INTO blobs (registry_id, digest, size, location, content, created_at, leased_until, condemned_at) \
         VALUES (?1, ?2, 5, NULL, CAST('wrong' AS {bytes}), ?3, 0, NULL)",
        &[registry.into(), (&digest).into(), created_at.into()],
    )
    .map(drop)
}

async fn come_all(f: &Fixture, registry: i64, numbers: std::ops::Range<u64>, created_at: i64) {
    let all = f.db.write(move |tx| {
        numbers
            .clone()
            .try_for_each(|number| come(tx, registry, number, created_at))
    });
    all.await.unwrap();
}

async fn a_pass_covers_all_blobs_that_are_there_all_the_time(f: Fixture) {
    let mut runner = TestRunner::deterministic();
    // The next pass does not begin by itself.
    let options = Options {
        enabled: false,
        rate: 64 << 10,
        ..thirty_days()
    };
    for _ in 0..6 {
        let (blobs, events) = events().new_tree(&mut runner).unwrap().current();
        f.db.write(|tx| tx.execute("DELETE FROM blobs", &[]))
            .await
            .unwrap();
        for registry in [-3, 1, 1 << 40] {
            come_all(&f, registry, 0..blobs, 0).await;
        }
        let mut scrub = Scrub::open(&f.registry, options).await.unwrap();
        Scrub::request(&f.registry).await.unwrap();
        let mut next = 1000;
        for event in &events {
            match event {
                Event::Steps(steps) => {
                    for _ in 0..*steps {
                        f.clock.advance(scrub.step().await.unwrap());
                    }
                }
                Event::Come { registry, blobs } => {
                    come_all(&f, *registry, next..next + blobs, 1).await;
                    next += blobs;
                }
                Event::Go { registry } => {
                    let registry = *registry;
                    let gone = f.db.write(move |tx| {
                        tx.execute(
                            "DELETE FROM blobs WHERE registry_id = ?1 AND created_at = 1",
                            &[registry.into()],
                        )
                    });
                    gone.await.unwrap();
                }
                Event::Restart => {
                    scrub = Scrub::open(&f.registry, options).await.unwrap();
                    f.clock.advance(2 * MINUTE);
                }
            }
        }
        to_the_end(&f, &scrub).await;
        let left = count(
            &f,
            "SELECT COUNT(*) FROM blobs WHERE created_at = 0 AND content IS NOT NULL",
        )
        .await;
        assert_eq!(left, 0, "of {blobs} each, {events:?}");
    }
}

on_both_engines!(a_pass_covers_all_blobs_that_are_there_all_the_time);

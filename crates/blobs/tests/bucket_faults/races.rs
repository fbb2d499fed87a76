//! Nodes that work on one upload at the same time: the session's row stops them only at its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use lazuli_blobs::suite::{Store, pull};
use lazuli_blobs::{Error, Location};
use lazuli_wire::oci::Algorithm;

use crate::client::{Session, Way, collect, node};
use crate::objects::Objects;

/// Numbers that the seed decides.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % sides
    }
}

type Running<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Polls all of them, in an order that the dice decide, to their ends.
async fn interleaved<T>(dice: &mut Dice, mut all: Vec<Running<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        for _ in 0..4 * all.len() {
            let chosen = dice.roll(all.len());
            if done[chosen].is_none()
                && let Poll::Ready(output) = all[chosen].as_mut().poll(cx)
            {
                done[chosen] = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            return Poll::Ready(done.iter_mut().filter_map(Option::take).collect());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Whoever is told of a blob finds the bytes he sent, then and after garbage collection.
async fn one_race(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for _ in 0..3 {
        dice.roll(2);
    }
    let objects = Arc::new(Objects::default());
    let nodes: Vec<Store> = (0..3).map(|_| node(&objects)).collect();
    let first = [0, 1000, 70_000, 150_000][dice.roll(4)];
    let last = [0, 500, 60_000, 130_000][dice.roll(4)];
    let middle = [1, 900, 66_000][dice.roll(3)];
    let way = Way {
        chunks: &[],
        last: first + middle + last,
        algorithm: Algorithm::Sha256,
    };
    let mut session = Session::new(way, 1);
    if first > 0 {
        session.append(&nodes[0], first).await.unwrap();
    }
    let mut contenders = [
        session.clone(),
        session.with_other_bytes(2),
        session.clone(),
    ];
    let algorithms = [0, 1, 2].map(|_| Algorithm::ALL[dice.roll(2)]);
    // What one of them was told between his chunks another relies on: their row is the same.
    let is_shared = dice.roll(2) == 0;
    let aborts = dice.roll(3) == 0;
    let mut running: Vec<Running<'_, Result<Option<Location>, Error>>> = Vec::new();
    let ways = algorithms.map(|algorithm| Way {
        chunks: &[],
        last,
        algorithm,
    });
    for ((contender, store), way) in contenders.iter_mut().zip(&nodes).zip(ways) {
        running.push(Box::pin(async move {
            contender.append(store, middle).await?;
            if is_shared {
                tokio::task::yield_now().await;
            }
            contender.finish(store, way).await.map(Some)
        }));
    }
    let (upload, aborting) = (session.upload, node(&objects));
    if aborts {
        running.push(Box::pin(async move {
            aborting.abort(upload).await?;
            Ok(None)
        }));
    }
    let outcomes = interleaved(&mut dice, running).await;
    let store = node(&objects);
    let mut known: Vec<Location> = Vec::new();
    for when in ["at once", "after collection"] {
        for (contender, outcome) in contenders.iter().zip(&outcomes) {
            let Ok(Some(location)) = outcome else {
                continue;
            };
            let read = pull(&store, location, contender.bytes.len()).await;
            assert!(
                read.is_ok_and(|read| read == contender.bytes),
                "seed {seed}: other bytes {when}"
            );
            known.push(location.clone());
        }
        collect(&store, &known).await;
    }
    collect(&store, &[]).await;
    let left = objects.inventory().await;
    let is_loose = |name: &String| name.starts_with("multipart") || name.contains(".json");
    assert!(left.iter().all(is_loose), "seed {seed}: {left:?}");
}

#[tokio::test]
async fn nodes_that_race_for_an_upload_never_mix_its_bytes() {
    for seed in 0..1500 {
        one_race(seed).await;
    }
}

/// The one who was thought dead writes his state last.
#[tokio::test]
async fn a_late_state_of_other_bytes_is_not_continued() {
    for (length, last) in [(5000, 0), (5000, 10), (150_000, 0), (150_000, 10)] {
        let objects = Arc::new(Objects::default());
        let (one, other) = (node(&objects), node(&objects));
        let way = Way {
            chunks: &[],
            last: length + last,
            algorithm: Algorithm::Sha256,
        };
        let mut right = Session::new(way, 1);
        let mut wrong = right.with_other_bytes(2);
        right.append(&one, length).await.unwrap();
        // It is at the same length, and what the session knows are other bytes.
        wrong.append(&other, length).await.unwrap();
        let way = Way { last, ..way };
        for store in [&one, &other, &node(&objects)] {
            let outcome = right.finish(store, way).await;
            assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
        }
    }
}

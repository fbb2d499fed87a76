//! Work beside requests is done once, whichever node dies or falls asleep at it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lazuli_blobs::BoxFuture;
use lazuli_registry::gc::{Gc, Hurried, Moment, Options, Pace, Run};
use lazuli_registry::operations::sequencer::Sequencer;
use lazuli_registry::operations::{Cursor, sequencer};
use lazuli_registry::{Error, Registry};
use tokio::sync::Notify;

use crate::common::*;

/// Stops at a moment until told to go on.
struct Asleep {
    at: Moment,
    fell: Arc<Notify>,
    wake: Arc<Notify>,
}

impl Pace for Asleep {
    fn at(&self, moment: Moment) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if moment == self.at {
                self.fell.notify_one();
                self.wake.notified().await;
            }
        })
    }
}

async fn collector(node: &Registry, pace: Arc<dyn Pace>) -> Gc {
    let options = Options {
        pace,
        batch: 3,
        ..Options::new(HOUR)
    };
    Gc::open(node, options).await.unwrap()
}

fn large(number: u32) -> Vec<u8> {
    format!("layer {number} ").repeat(20).into_bytes()
}

/// A node stops at work; another takes over when the lease ends; the first one goes on, if it can.
async fn handed_over(at: Moment, dies: bool) {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    for number in 0..10 {
        push_blob(&f.registry, "a", &large(number)).await;
    }
    let others = [f.node().await, f.node().await];
    let (fell, wake) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let asleep = Asleep {
        at,
        fell: fell.clone(),
        wake: wake.clone(),
    };
    let first = collector(&f.registry, Arc::new(asleep)).await;
    let mut second = Vec::new();
    for node in &others {
        second.push(collector(node, Arc::new(Hurried)).await);
    }
    // The blobs' leases have ended; they are unlinked by whoever begins, and deleted after the wait by whoever is then at work.
    f.clock.advance(HOUR + Duration::from_secs(1));
    if at == Moment::Deleted {
        second[0].run_once().await.unwrap().unwrap();
        f.clock.advance(2 * HOUR);
    }
    let working = tokio::spawn(async move { first.run_once().await });
    fell.notified().await;
    for gc in &second {
        assert!(gc.run_once().await.unwrap().is_none(), "one node at a time");
    }
    let half_done = rows(&f, "SELECT COUNT(*) FROM repository_blobs").await;
    f.clock.advance(Duration::from_secs(61));
    if dies {
        working.abort();
    }
    let (a, b) = tokio::join!(second[0].run_once(), second[1].run_once());
    let by_others: Vec<Run> = [a, b].into_iter().filter_map(Result::unwrap).collect();
    assert!(!by_others.is_empty());
    wake.notify_one();
    let mut by_first = 0;
    if !dies {
        wake.notify_waiters();
        let waking = tokio::spawn(async move {
            loop {
                wake.notify_one();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        match working.await.unwrap() {
            Ok(run) => by_first = run.unwrap().unlinked,
            Err(Error::Internal(lost)) => assert!(lost.contains("took over"), "{lost}"),
            Err(error) => panic!("{error}"),
        }
        waking.abort();
    }
    if at == Moment::Found {
        let unlinked: u64 = by_others.iter().map(|run| run.unlinked).sum();
        assert_eq!(unlinked + by_first, 10);
        assert_eq!(half_done, 10);
        assert_eq!(rows(&f, "SELECT COUNT(*) FROM blob_intervals").await, 10);
    }
    f.clock.advance(2 * HOUR);
    second[0].run_once().await.unwrap().unwrap();
    assert_eq!(rows(&f, "SELECT COUNT(*) FROM blobs").await, 0);
    assert_eq!(rows(&f, "SELECT COUNT(*) FROM blob_removals").await, 0);
    assert_eq!(rows(&f, "SELECT COUNT(*) FROM blob_intervals").await, 10);
}

async fn rows(f: &Fixture, sql: &'static str) -> i64 {
    f.db.read(move |tx| tx.query_one(sql, &[], |row| row.get_i64(0)))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collection_by_a_node_that_dies() {
    handed_over(Moment::Found, true).await;
    handed_over(Moment::Deleted, true).await;
    handed_over(Moment::Rest, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collection_by_a_node_that_falls_asleep() {
    handed_over(Moment::Found, false).await;
    handed_over(Moment::Deleted, false).await;
    handed_over(Moment::Rest, false).await;
}

/// Sequencers on all nodes, killed one after the other while operations come in: each is numbered once, without a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbering_by_nodes_that_die() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let nodes = [f.registry.clone(), f.node().await, f.node().await];
    let options = sequencer::Options {
        batch: 4,
        delay: Duration::ZERO,
        poll: Duration::from_millis(2),
        ..sequencer::Options::default()
    };
    let writer = tokio::spawn({
        let nodes = nodes.clone();
        async move {
            for turn in 0..120 {
                push_image(&nodes[turn % 3], "a", "latest", &format!("{turn}")).await;
            }
        }
    });
    let mut number = 0;
    while !writer.is_finished() {
        // The one before died with the lease, which ends after ten seconds.
        number += 1;
        f.clock.advance(Duration::from_secs(11));
        let log = nodes[number % 3].log();
        let running = tokio::spawn(Sequencer::new(log, &format!("{number}"), options).run());
        tokio::time::sleep(Duration::from_millis(30)).await;
        running.abort();
    }
    writer.await.unwrap();
    f.clock.advance(Duration::from_secs(11));
    let mut last = Sequencer::new(nodes[0].log(), "last", options);
    last.drain().await.unwrap();
    let cursor = Cursor {
        origin: 1,
        sequence: 0,
    };
    // Fails at a gap.
    let entries = nodes[1].log().read_from(cursor, 1000).await.unwrap();
    let different: BTreeSet<_> = entries.iter().map(|entry| entry.id).collect();
    assert_eq!((entries.len(), different.len()), (120, 120));
    assert!(number > 2, "{number}");
}

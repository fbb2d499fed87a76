//! Polls miss no operation, whoever numbers it and however late it is committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lazuli_registry::operations::sequencer::{Options, Sequencer};
use lazuli_registry::operations::{self, Operation};
use lazuli_registry::{Error, Registry, testing};
use proptest::prelude::*;

use crate::common::*;

#[derive(Debug, Clone)]
enum Step {
    /// So many operations are appended by a node, in one transaction.
    Append(usize, u8),
    /// A node's sequencer numbers what there is, if it has the lease.
    Number(usize),
    /// A node catches up, and must have met every operation.
    CatchUp(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2_usize, 1..4_u8).prop_map(|(node, count)| Step::Append(node, count)),
        2 => (0..2_usize).prop_map(Step::Number),
        3 => (0..3_usize).prop_map(Step::CatchUp),
    ]
}

async fn append(node: &Registry, count: u8, delay: Duration) {
    let context = node.log().context("admin", "request");
    let appended = node.db().write(move |tx| {
        for _ in 0..count {
            let untag = Operation::Untag {
                tag: lazuli_wire::oci::Tag::parse("x").unwrap(),
            };
            operations::append(tx, &context, 1, Some("a"), &untag, None)?;
        }
        // Its clock is older than that of others that are committed before it.
        std::thread::sleep(delay);
        Ok::<_, Error>(())
    });
    appended.await.unwrap();
}

fn sequencer(node: &Registry, batch: u32) -> Sequencer {
    let options = Options {
        batch,
        delay: Duration::ZERO,
        poll: Duration::from_millis(2),
        ..Options::default()
    };
    Sequencer::new(
        node.log(),
        &format!("{:x}", node.log().unique_number()),
        options,
    )
}

#[test]
fn every_schedule_of_appending_numbering_and_polling() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let Some(f) = runtime.block_on(Fixture::on_postgresql()) else {
        return;
    };
    let config = ProptestConfig::with_cases(48);
    let numbered = std::cell::Cell::new(0);
    proptest!(config, |(steps in proptest::collection::vec(step(), 1..24), batch in 1..5_u32)| {
        numbered.set(numbered.get() + runtime.block_on(run(&f, steps, batch)));
    });
    assert!(numbered.get() > 100, "{numbered:?}");
}

/// Returns how many operations were numbered.
async fn run(f: &Fixture, steps: Vec<Step>, batch: u32) -> u64 {
    let nodes = [f.node().await, f.node().await, f.node().await];
    let mut met_before = Vec::new();
    let mut sequencers = Vec::new();
    for node in &nodes {
        // What earlier cases left without a number is met by the first poll.
        assert!(testing::catch_up(node).await);
        met_before.push(node.node_stats().unwrap().operations);
        sequencers.push(sequencer(node, batch));
    }
    let (mut appended, mut numbered) = (0, 0);
    for step in steps {
        match step {
            Step::Append(node, count) => {
                append(&nodes[node], count, Duration::ZERO).await;
                appended += u64::from(count);
            }
            Step::Number(node) => {
                // The lease of another node's sequencer ends.
                f.clock.advance(Duration::from_secs(11));
                numbered += sequencers[node].drain().await.unwrap();
            }
            Step::CatchUp(node) => {
                assert!(testing::catch_up(&nodes[node]).await);
                let met = nodes[node].node_stats().unwrap().operations - met_before[node];
                assert_eq!(met, appended);
            }
        }
    }
    numbered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let nodes = [f.node().await, f.node().await];
    let over = Arc::new(AtomicBool::new(false));
    let numbering: Vec<_> = nodes
        .iter()
        .map(|node| tokio::spawn(sequencer(node, 3).run()))
        .collect();
    let polling: Vec<_> = nodes
        .iter()
        .map(|node| {
            let (node, over) = (node.clone(), over.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    assert!(testing::catch_up(&node).await);
                }
            })
        })
        .collect();
    let writing: Vec<_> = (0..6_u64)
        .map(|writer| {
            let node = nodes[writer as usize % 2].clone();
            tokio::spawn(async move {
                for turn in 0..40 {
                    let delay = Duration::from_millis((writer * turn) % 9);
                    append(&node, 1, delay).await;
                }
            })
        })
        .collect();
    for writer in writing {
        writer.await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    for poller in polling {
        poller.await.unwrap();
    }
    for node in &nodes {
        assert!(testing::catch_up(node).await);
        assert_eq!(node.node_stats().unwrap().operations, 6 * 40);
    }
    for sequencer in numbering {
        sequencer.abort();
    }
}

/// A node that was away for long forgets everything, and is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_more_operations_than_a_poll_reads() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let node = f.node().await;
    let mut sequencer = sequencer(&f.registry, 1000);
    for (round, numbered) in [(0, false), (1, true)] {
        let (old, _) = push_image(&f.registry, "a", "latest", &format!("old {round}")).await;
        let found = node.manifest(&pull("a"), &tag("latest")).await.unwrap();
        assert_eq!(found.digest, old);
        let (new, _) = push_image(&f.registry, "a", "latest", &format!("new {round}")).await;
        for _ in 0..10 {
            append(&f.registry, 60, Duration::ZERO).await;
        }
        if numbered {
            assert_eq!(sequencer.drain().await.unwrap(), 602);
        }
        let found = node.manifest(&pull("a"), &tag("latest")).await.unwrap();
        assert_eq!(found.digest, new);
        sequencer.drain().await.unwrap();
    }
}

/// A standby that lagged behind takes over: numbers that were met are given again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_forgot() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let mut sequencer = sequencer(&f.registry, 1000);
    for lost in [1, 3] {
        let node = f.node().await;
        let (old, _) = push_image(&f.registry, "a", "latest", "old").await;
        append(&f.registry, 5, Duration::ZERO).await;
        assert!(sequencer.drain().await.unwrap() > 0);
        for _ in 0..2 {
            let found = node.manifest(&pull("a"), &tag("latest")).await.unwrap();
            assert_eq!(found.digest, old);
        }
        let forgotten = format!(
            "DELETE FROM operations WHERE sequence > (SELECT MAX(sequence) - {lost} FROM operations); \
             UPDATE origins SET sequence = sequence - {lost}"
        );
        for sql in forgotten.split("; ") {
            let sql: &'static str = sql.to_owned().leak();
            f.db.write(move |tx| tx.execute(sql, &[])).await.unwrap();
        }
        let (new, _) = push_image(&f.registry, "a", "latest", "new").await;
        append(&f.registry, 1, Duration::ZERO).await;
        assert!(sequencer.drain().await.unwrap() > 0);
        let found = node.manifest(&pull("a"), &tag("latest")).await.unwrap();
        assert_eq!(found.digest, new);
        assert!(testing::catch_up(&node).await);
    }
}

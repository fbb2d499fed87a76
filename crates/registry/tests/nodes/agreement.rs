//! Reads and writes on all nodes at once are linearizable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lazuli_registry::Registry;
use lazuli_registry::operations::sequencer::{Options, Sequencer};

use super::registers::{KINDS, Kind, Register};
use crate::common::*;

const WRITES: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_acknowledged_no_node_contradicts() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let nodes = [f.registry.clone(), f.node().await, f.node().await];
    let mut registers = Vec::new();
    for (number, kind) in KINDS
        .into_iter()
        .chain([Kind::Moving, Kind::Tag])
        .enumerate()
    {
        registers.push(Register::new(kind, number, &nodes[0]).await);
    }
    let sequencers: Vec<_> = nodes
        .iter()
        .map(|node| tokio::spawn(number(node.clone())))
        .collect();
    let over = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..12)
        .map(|reader| {
            let (node, over, reads) = (nodes[reader % 3].clone(), over.clone(), reads.clone());
            let registers = registers.clone();
            tokio::spawn(async move {
                for turn in reader.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    assert!(registers[turn % registers.len()].read(&node).await);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let writers: Vec<_> = registers
        .iter()
        .enumerate()
        .map(|(number, register)| {
            let (register, nodes) = (register.clone(), nodes.clone());
            tokio::spawn(async move {
                for turn in 0..WRITES {
                    let node = &nodes[(number + turn * turn) % 3];
                    register.write(node).await;
                    // Whoever is asked right after the acknowledgement knows of it.
                    assert!(register.read(&nodes[(number + turn) % 3]).await);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
    for sequencer in sequencers {
        sequencer.abort();
    }
    let stats: Vec<_> = nodes
        .iter()
        .map(|node| node.node_stats().unwrap())
        .collect();
    println!("{} reads, {stats:?}", reads.load(Ordering::Relaxed));
    let written = (registers.len() * WRITES) as u64;
    assert!(stats.iter().all(|stats| stats.operations >= written / 2));
}

/// Numbers operations, as every node does.
pub(super) async fn number(node: Registry) {
    let holder = format!("{:x}", node.log().unique_number());
    let options = Options {
        delay: Duration::from_millis(1),
        poll: Duration::from_millis(5),
        ..Options::default()
    };
    Sequencer::new(node.log(), &holder, options).run().await;
}

/// Answers are kept in memory although others may change them: a read of something unchanged reads no rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_poll_serves_many_requests() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let node = f.node().await;
    let (digest, _) = push_image(&f.registry, "a", "latest", "x").await;
    // The second read meets the push itself, and forgets what the first one kept.
    for _ in 0..2 {
        node.manifest(&pull("a"), &tag("latest")).await.unwrap();
    }
    assert!(
        node.cached_manifest(&pull("a"), &tag("latest")).is_none(),
        "memory alone may be old"
    );
    let (polls, reads) = (node.node_stats().unwrap().polls, node.db().stats().reads);
    let askers: Vec<_> = (0..200)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move {
                node.manifest(&pull("a"), &tag("latest"))
                    .await
                    .unwrap()
                    .digest
            })
        })
        .collect();
    for asker in askers {
        assert_eq!(asker.await.unwrap(), digest);
    }
    let polls = node.node_stats().unwrap().polls - polls;
    assert!((1..100).contains(&polls), "{polls}");
    assert_eq!(node.db().stats().reads - reads, polls, "nothing but polls");
}

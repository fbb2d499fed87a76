//! Nodes whose database server is killed, or replaced by its standby: what was acknowledged is there, and no node contradicts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lazuli_blobs::MemoryStore;
use lazuli_db::clock::SystemClock;
use lazuli_db::{Db, PostgresOptions};
use lazuli_registry::Registry;
use lazuli_testkit::postgres::{Node, Replication};
use lazuli_testkit::proxy::{Fault, Proxy};

use super::agreement::number;
use super::registers::{Kind, Register};
use crate::common::*;

/// Three nodes under load.
struct Cluster {
    nodes: Vec<Registry>,
    registers: Vec<Arc<Register>>,
    over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    sequencers: Vec<tokio::task::JoinHandle<()>>,
}

impl Cluster {
    async fn start(url: &str) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(SystemClock::new()));
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let db = Db::open_postgres(PostgresOptions {
                connections: 6,
                ..PostgresOptions::new(url)
            });
            let node = Registry::open(db.unwrap(), store.clone(), clock.clone(), options());
            nodes.push(node.await.unwrap());
        }
        let mut registers = Vec::new();
        for index in 0..4 {
            registers.push(Register::new(Kind::Moving, index, &nodes[0]).await);
        }
        let mut cluster = Self {
            sequencers: nodes
                .iter()
                .map(|node| tokio::spawn(number(node.clone())))
                .collect(),
            nodes,
            registers,
            over: Arc::default(),
            acknowledged: Arc::default(),
            answered: Arc::default(),
            tasks: Vec::new(),
        };
        for task in 0..12 {
            let worker = cluster.work(task);
            cluster.tasks.push(tokio::spawn(worker));
        }
        cluster
    }

    /// Moves a tag by one node and asks all for it; or only asks.
    fn work(&self, task: usize) -> impl Future<Output = ()> + Send + 'static {
        let (nodes, register) = (self.nodes.clone(), self.registers[task % 4].clone());
        let (over, acknowledged, answered) = (
            self.over.clone(),
            self.acknowledged.clone(),
            self.answered.clone(),
        );
        async move {
            for turn in task.. {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let mut went_on = false;
                if task < 4 {
                    went_on |= register.try_move(&nodes[turn % 3]).await;
                    acknowledged.fetch_add(u64::from(went_on), Ordering::SeqCst);
                }
                let read = register.read(&nodes[(turn + task) % 3]).await;
                answered.fetch_add(u64::from(read), Ordering::SeqCst);
                if !went_on && !read {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }

    async fn go_on(&self, writes: u64) {
        let goal = self.acknowledged.load(Ordering::SeqCst) + writes;
        while self.acknowledged.load(Ordering::SeqCst) < goal {
            assert!(
                !self.tasks.iter().any(tokio::task::JoinHandle::is_finished),
                "a worker found a contradiction"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn check(self) {
        self.over.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
        for node in &self.nodes {
            for register in &self.registers {
                while !register.read(node).await {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        for sequencer in self.sequencers {
            sequencer.abort();
        }
        println!(
            "{} moves acknowledged, {} reads answered",
            self.acknowledged.load(Ordering::SeqCst),
            self.answered.load(Ordering::SeqCst)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed() {
    let Some(mut server) = Node::start() else {
        return;
    };
    let cluster = Cluster::start(&server.url("postgres")).await;
    for _ in 0..3 {
        cluster.go_on(40).await;
        server = tokio::task::spawn_blocking(move || {
            server.kill();
            server.restart();
            server
        })
        .await
        .unwrap();
    }
    cluster.go_on(40).await;
    cluster.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_takes_over() {
    let Some(mut primary) = Node::start() else {
        return;
    };
    let standby = primary.standby(Replication::Synchronous);
    let url = format!(
        "postgres://postgres@{},{}/postgres",
        primary.address(),
        standby.address()
    );
    let cluster = Cluster::start(&url).await;
    cluster.go_on(80).await;
    let standby = tokio::task::spawn_blocking(move || {
        primary.kill();
        standby.promote();
        standby
    })
    .await
    .unwrap();
    cluster.go_on(80).await;
    cluster.check().await;
    drop(standby);
}

/// The network between the nodes and their database: acknowledgements get lost, connections break or fall silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_fails() {
    let Some(server) = Node::start() else {
        return;
    };
    let proxy = Proxy::start(server.address());
    let cluster =
        Cluster::start(&format!("postgres://postgres@{}/postgres", proxy.address())).await;
    for fault in [
        Fault::LoseAnswer,
        Fault::CutAnswer(700),
        Fault::BlackHole,
        Fault::CutRequest(900),
        Fault::LoseAnswer,
        Fault::Refuse,
    ] {
        cluster.go_on(20).await;
        println!("{fault:?}");
        proxy.set(fault);
        tokio::time::sleep(Duration::from_millis(400)).await;
        proxy.set(Fault::None);
    }
    cluster.go_on(20).await;
    cluster.check().await;
}

//! A PostgreSQL server that is killed keeps what it acknowledged, and a standby takes over with it.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests wait in real time for real processes"
)]

use std::thread;
use std::time::{Duration, Instant};

use lazuli_testkit::postgres::{Node, Replication};
use lazuli_testkit::proxy::{Fault, Proxy};

const MAKE: &str = "CREATE TABLE kept (number int)";
const SUM: &str = "SELECT sum(number) FROM kept";

fn insert(node: &Node, number: i32) -> anyhow::Result<String> {
    node.psql("facts", &format!("INSERT INTO kept VALUES ({number})"))
}

#[test]
fn a_killed_server_comes_back_with_what_it_acknowledged() {
    let Some(mut node) = Node::start() else {
        return;
    };
    node.create_database("facts");
    node.psql("facts", MAKE).unwrap();
    for round in 1..=3 {
        insert(&node, round).unwrap();
        node.kill();
        assert!(insert(&node, 100).is_err());
        node.restart();
    }
    assert_eq!(node.psql("facts", SUM).unwrap().trim(), "6");
    assert!(!node.is_standby().unwrap());
}

#[test]
fn a_promoted_standby_has_every_acknowledged_commit() {
    let Some(mut primary) = Node::start() else {
        return;
    };
    primary.create_database("facts");
    primary.psql("facts", MAKE).unwrap();
    let standby = primary.standby(Replication::Synchronous);
    assert!(standby.is_standby().unwrap());
    assert!(insert(&standby, 100).is_err(), "a standby takes no writes");
    for number in 1..=20 {
        insert(&primary, number).unwrap();
    }
    primary.kill();
    standby.promote();
    assert!(!standby.is_standby().unwrap());
    assert_eq!(standby.psql("facts", SUM).unwrap().trim(), "210");
    // Alone, it must not wait for a standby of its own.
    insert(&standby, 21).unwrap();
    // And it can have one again.
    let next = standby.standby(Replication::Asynchronous);
    insert(&standby, 22).unwrap();
    assert!(next.is_standby().unwrap());
}

#[test]
fn without_its_synchronous_standby_a_commit_waits() {
    let Some(primary) = Node::start() else { return };
    primary.create_database("facts");
    primary.psql("facts", MAKE).unwrap();
    let mut standby = primary.standby(Replication::Synchronous);
    standby.kill();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| insert(&primary, 1));
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        let deadline = Instant::now() + Duration::from_secs(30);
        while primary.psql("postgres", sql).unwrap().trim() != "1" {
            assert!(Instant::now() < deadline && !waiting.is_finished());
        }
        assert!(!waiting.is_finished());
        standby.restart();
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(standby.psql("facts", SUM).unwrap().trim(), "1");
}

#[test]
fn a_database_can_be_reached_through_a_proxy() {
    let Some(node) = Node::start() else { return };
    let proxy = Proxy::start(node.address());
    let psql = |sql: &str| {
        let url = Node::url_at(proxy.address(), "postgres");
        node.psql_at(&url, sql)
    };
    psql(MAKE).unwrap();
    proxy.set(Fault::Refuse);
    assert!(psql("INSERT INTO kept VALUES (1)").is_err());
    proxy.set(Fault::None);
    assert_eq!(psql("SELECT count(*) FROM kept").unwrap().trim(), "0");
}

//! A PostgreSQL server that is killed under load, and one whose standby takes over: nothing acknowledged is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lazuli_db::{Db, Error, PostgresOptions};
use lazuli_testkit::postgres::{Node, Replication};

use crate::place::{block, names, set, setting};

type Outcomes = Vec<(String, Result<(), Error>)>;

/// Writers that go on, whatever happens, until told to stop.
struct Load {
    over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Outcomes>>,
}

impl Load {
    fn start(db: &Db) -> Self {
        let (over, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let tasks = (0..6)
            .map(|task| {
                let (db, over, acknowledged) = (db.clone(), over.clone(), acknowledged.clone());
                tokio::spawn(async move {
                    let mut outcomes = Vec::new();
                    for round in 0.. {
                        if over.load(Ordering::SeqCst) {
                            break;
                        }
                        let name = format!("{task} {round}");
                        let n = name.clone();
                        let outcome = db.write(move |tx| set(tx, &n, "1")).await;
                        match outcome {
                            Ok(()) => drop(acknowledged.fetch_add(1, Ordering::SeqCst)),
                            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                        }
                        outcomes.push((name, outcome));
                    }
                    outcomes
                })
            })
            .collect();
        Self {
            over,
            acknowledged,
            tasks,
        }
    }

    /// Waits until so many more writes were acknowledged.
    async fn go_on(&self, writes: u64) {
        let goal = self.acknowledged.load(Ordering::SeqCst) + writes;
        while self.acknowledged.load(Ordering::SeqCst) < goal {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops, and compares what was said with what is there.
    async fn check(self, db: &Db) {
        self.over.store(true, Ordering::SeqCst);
        let there: BTreeSet<String> = loop {
            match db.read(names).await {
                Err(Error::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                other => break other.unwrap().into_iter().collect(),
            }
        };
        let (mut open, mut failed) = (0, 0);
        for task in self.tasks {
            for (name, outcome) in task.await.unwrap() {
                match outcome {
                    // The last ones may have ended after the read.
                    Ok(()) if !there.contains(&name) => {
                        let name: &'static str = name.leak();
                        assert!(setting(db, name).await.is_some(), "{name} was acknowledged");
                    }
                    Ok(()) => {}
                    Err(Error::OutcomeUnknown) => open += 1,
                    Err(e) => {
                        failed += 1;
                        assert!(!there.contains(&name), "{name} failed: {e}");
                    }
                }
            }
        }
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        println!(
            "{acknowledged} acknowledged, {open} open, {failed} failed, {:?}",
            db.stats()
        );
    }
}

fn open(url: String) -> Db {
    let options = PostgresOptions {
        connections: 6,
        ..PostgresOptions::new(url)
    };
    Db::open_postgres(options).unwrap()
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let Some(mut node) = Node::start() else {
        return;
    };
    let db = open(node.url("postgres"));
    block(async {
        let load = Load::start(&db);
        for _ in 0..4 {
            load.go_on(150).await;
            node.kill();
            node.restart();
        }
        load.go_on(50).await;
        load.check(&db).await;
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_a_standby_takes_over() {
    let Some(mut primary) = Node::start() else {
        return;
    };
    let standby = primary.standby(Replication::Synchronous);
    // The standby first: it must be passed over while it is one.
    let url = format!(
        "postgres://postgres@{},{}/postgres",
        standby.address(),
        primary.address()
    );
    let db = open(url);
    block(async {
        let load = Load::start(&db);
        load.go_on(300).await;
        primary.kill();
        standby.promote();
        load.go_on(300).await;
        assert!(!standby.is_standby().unwrap());
        load.check(&db).await;
    });
}

/// Without its standby a server does not acknowledge. Told to stop waiting, it claims success with a warning; we do not. And
/// reads go on.
#[test]
fn a_commit_that_the_standby_may_not_have_is_not_acknowledged() {
    let Some(primary) = Node::start() else {
        return;
    };
    let mut standby = primary.standby(Replication::Synchronous);
    let db = open(primary.url("postgres"));
    block(async {
        db.write(|tx| set(tx, "before", "1")).await.unwrap();
        standby.kill();
        let writes: Vec<_> = (0..8)
            .map(|number| {
                let db = db.clone();
                tokio::spawn(async move {
                    db.write(move |tx| set(tx, &format!("during {number}"), "1"))
                        .await
                })
            })
            .collect();
        let waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'";
        let wait_for = |count: &str| {
            let asked = primary.psql("postgres", &format!("SELECT COUNT(*) >= {count} {waiting}"));
            asked.unwrap().trim() == "t"
        };
        while !wait_for("4") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(setting(&db, "before").await.as_deref(), Some("1"));
        // All of them, as the threads come to them.
        while writes.iter().any(|write| !write.is_finished()) {
            primary
                .psql(
                    "postgres",
                    &format!("SELECT pg_cancel_backend(pid) {waiting}"),
                )
                .unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for write in writes {
            let outcome = write.await.unwrap();
            assert!(matches!(outcome, Err(Error::OutcomeUnknown)), "{outcome:?}");
        }
    });
}

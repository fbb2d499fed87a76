//! Full disks, broken disks and broken connections at every step.

use std::sync::{Arc, Mutex};

use lazuli_db::faults::{Fault, FaultPoint, Faults};
use lazuli_db::{Db, Error, params};

use crate::place::{Place, block, names, set, setting};

crate::both_engines!(
    every_statement_can_fail_and_nothing_is_half_done,
    a_commit_without_space_acknowledges_nothing,
    all_callers_of_a_failed_commit_know,
);

/// Fails the n-th operation after each arming.
#[derive(Clone, Default)]
pub(crate) struct Trap(Arc<Mutex<Option<(FaultPoint, u32, Fault)>>>);

impl Trap {
    pub(crate) fn arm(&self, point: FaultPoint, n: u32, fault: Fault) {
        *self.0.lock().unwrap() = Some((point, n, fault));
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }

    pub(crate) fn faults(&self) -> Faults {
        let trap = self.clone();
        Faults::new(move |at| {
            let mut armed = trap.0.lock().unwrap();
            let (point, n, fault) = (*armed)?;
            if point != at {
                return None;
            }
            *armed = (n > 1).then_some((point, n - 1, fault));
            (n == 1).then_some(fault)
        })
    }
}

async fn three_rows(db: &Db, round: u32) -> Result<(), Error> {
    db.write(move |tx| {
        for part in ["x", "y", "z"] {
            set(tx, &format!("{round} {part}"), "v")?;
        }
        tx.query_one("SELECT COUNT(*) FROM settings", params![], |row| {
            row.get_i64(0)
        })
        .map(drop)
    })
    .await
}

fn every_statement_can_fail_and_nothing_is_half_done(place: &Place) {
    let trap = Trap::default();
    let db = place.open_with(trap.faults());
    block(async {
        for fault in [Fault::Full, Fault::Io] {
            let mut failed = 0;
            for n in 1.. {
                let before = db.read(names).await.unwrap();
                trap.arm(FaultPoint::Statement, n, fault);
                let result = three_rows(&db, n).await;
                if trap.is_armed() {
                    // There is no n-th statement.
                    result.unwrap();
                    break;
                }
                failed += 1;
                match fault {
                    Fault::Full => assert!(result.unwrap_err().is_full()),
                    _ => assert!(matches!(result, Err(Error::Io(_)))),
                }
                assert_eq!(db.read(names).await.unwrap(), before);
                three_rows(&db, n).await.unwrap();
            }
            assert_eq!(failed, 4);
            trap.arm(FaultPoint::Statement, 1000, fault);
        }
    });
}

fn a_commit_without_space_acknowledges_nothing(place: &Place) {
    let trap = Trap::default();
    let db = place.open_with(trap.faults());
    block(async {
        for round in 0..3 {
            let before = db.read(names).await.unwrap();
            trap.arm(FaultPoint::Commit, 1, Fault::Full);
            assert!(three_rows(&db, round).await.unwrap_err().is_full());
            assert_eq!(db.read(names).await.unwrap(), before);
            three_rows(&db, round).await.unwrap();
            assert_eq!(setting(&db, "0 x").await.as_deref(), Some("v"));
        }
        assert!(!db.stats().read_only, "space may come back");
        assert_eq!(db.stats().failed_commits, 3);
    });
}

fn all_callers_of_a_failed_commit_know(place: &Place) {
    let trap = Trap::default();
    let db = place.open_with(trap.faults());
    block(async {
        for round in 1..10 {
            trap.arm(FaultPoint::Commit, round, Fault::Full);
            let tasks: Vec<_> = (0..50)
                .map(|number| {
                    let db = db.clone();
                    tokio::spawn(async move {
                        db.write(move |tx| set(tx, &format!("{round} {number}"), "v"))
                            .await
                    })
                })
                .collect();
            for (number, task) in tasks.into_iter().enumerate() {
                let acknowledged = task.await.unwrap().is_ok();
                let name = format!("{round} {number}");
                let there = db
                    .read(move |tx| crate::place::get(tx, &name))
                    .await
                    .unwrap()
                    .is_some();
                assert_eq!(acknowledged, there);
            }
        }
    });
}

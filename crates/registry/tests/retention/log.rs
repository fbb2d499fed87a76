//! The operation log, and what tags named before.

use super::*;
use crate::on_both_engines;
use lazuli_blobs::BoxFuture;
use lazuli_registry::gc::{Moment, Pace};
use lazuli_registry::leases::Lease;
use lazuli_registry::operations::{Cursor, LogReader, ReadError};
use lazuli_wire::oci::Tag;

fn at(sequence: i64) -> Cursor {
    Cursor {
        origin: 1,
        sequence,
    }
}

/// Ten operations of long ago: `moved` names another image each time, `gone` is removed in the end.
async fn long_ago(f: &Fixture) {
    for seed in ["1", "2", "3", "4", "5", "6", "7"] {
        push_image(&f.registry, "a", "moved", seed).await;
    }
    push_image(&f.registry, "a", "stays", "s").await;
    push_image(&f.registry, "a", "gone", "g").await;
    let gone = Tag::parse("gone").unwrap();
    let (access, request) = (delete("a"), "r".into());
    let removed = f.registry.delete_tag(&access, &gone, &request);
    removed.await.unwrap();
    number(f).await;
}

async fn old_operations_go_and_the_newest_stay(f: Fixture) {
    long_ago(&f).await;
    f.clock.advance(80 * DAY);
    assert_eq!(run(&f).await.history, 0, "not old enough");
    for seed in ["x", "y", "z"] {
        push_image(&f.registry, "b", "v", seed).await;
    }
    number(&f).await;
    f.clock.advance(11 * DAY);
    run(&f).await;
    assert_eq!(count(&f, "SELECT MIN(sequence) FROM operations").await, 11);
    assert_eq!(count(&f, "SELECT sequence FROM log_floors").await, 10);
    assert_eq!(findings(&f.registry).await, [] as [String; 0]);
    // Who had read as far goes on; who had not is told.
    let log = f.registry.log();
    assert_eq!(log.read_from(at(10), 9).await.unwrap().len(), 3);
    let behind = log.read_from(at(9), 9).await;
    assert!(
        matches!(behind, Err(ReadError::Gap { found: 11, .. })),
        "{behind:?}"
    );
    // However old: where the log ends must be known.
    f.clock.advance(1000 * DAY);
    run(&f).await;
    assert_eq!(count(&f, "SELECT MIN(sequence) FROM operations").await, 12);
    assert_eq!(findings(&f.registry).await, [] as [String; 0]);
    let status = Gc::status(&f.registry).await.unwrap();
    assert_eq!((status.logs[0].floor, status.logs[0].newest), (11, 13));
    // And it goes on with the next number, in a process that starts now, too.
    let restarted = f.restarted().await;
    push_image(&restarted, "b", "v", "new").await;
    number(&f).await;
    assert_eq!(restarted.log().read_from(at(13), 9).await.unwrap().len(), 1);
}

async fn a_trimmed_beginning_is_no_gap_and_anything_else_is(f: Fixture) {
    long_ago(&f).await;
    f.clock.advance(100 * DAY);
    run(&f).await;
    assert_eq!(findings(&f.registry).await, [] as [String; 0]);
    change(&f, "DELETE FROM operations WHERE sequence = 9").await;
    let found = findings(&f.registry).await;
    assert!(
        found.len() == 1 && found[0].contains("9 to 10 on record"),
        "{found:?}"
    );
    change(&f, "DELETE FROM operations").await;
    let found = findings(&f.registry).await;
    assert!(
        found.len() == 1 && found[0].contains("0 operations"),
        "{found:?}"
    );
    change(&f, "UPDATE log_floors SET sequence = 10").await;
    assert_eq!(findings(&f.registry).await.len(), 1, "the newest never go");
}

async fn what_a_reader_has_not_read_stays(f: Fixture) {
    long_ago(&f).await;
    let mut webhooks = LogReader::open(f.registry.log(), "webhooks").await.unwrap();
    let read = webhooks.next(4).await.unwrap();
    webhooks.advance(read.last().unwrap()).await.unwrap();
    f.clock.advance(1000 * DAY);
    run(&f).await;
    assert_eq!(count(&f, "SELECT MIN(sequence) FROM operations").await, 5);
    let status = Gc::status(&f.registry).await.unwrap();
    let reader = &status.logs[0].readers[0];
    assert_eq!((reader.name.as_str(), reader.sequence), ("webhooks", 4));
    // It goes on, and then so does the trimming.
    let read = webhooks.next(100).await.unwrap();
    assert_eq!(read.len(), 6);
    webhooks.advance(read.last().unwrap()).await.unwrap();
    run(&f).await;
    assert_eq!(count(&f, "SELECT MIN(sequence) FROM operations").await, 9);
    assert_eq!(findings(&f.registry).await, [] as [String; 0]);
}

async fn versions_go_with_their_operations_but_not_what_a_tag_is_now(f: Fixture) {
    long_ago(&f).await;
    assert_eq!(count(&f, "SELECT COUNT(*) FROM tag_versions").await, 10);
    // Two more, so that all ten are old enough to go.
    f.clock.advance(60 * DAY);
    push_image(&f.registry, "b", "v", "x").await;
    push_image(&f.registry, "a", "moved", "8").await;
    number(&f).await;
    f.clock.advance(31 * DAY);
    run(&f).await;
    let left = "SELECT COUNT(*) FROM tag_versions WHERE name = 'moved'";
    assert_eq!(count(&f, left).await, 1);
    assert_eq!(
        count(&f, "SELECT COUNT(*) FROM tag_versions WHERE name = 'gone'").await,
        0
    );
    assert_eq!(
        count(&f, "SELECT COUNT(*) FROM tag_versions WHERE name = 'stays'").await,
        1
    );
    assert_eq!(findings(&f.registry).await, [] as [String; 0]);
    for name in ["moved", "stays"] {
        f.registry.manifest(&pull("a"), &tag(name)).await.unwrap();
    }
    // A version whose operation is gone goes with its successor's.
    push_image(&f.registry, "a", "stays", "t").await;
    push_image(&f.registry, "b", "v", "y").await;
    push_image(&f.registry, "b", "v", "z").await;
    number(&f).await;
    f.clock.advance(91 * DAY);
    run(&f).await;
    assert_eq!(
        count(&f, "SELECT COUNT(*) FROM tag_versions WHERE name = 'stays'").await,
        1
    );
    assert_eq!(findings(&f.registry).await, [] as [String; 0]);
}

/// Who lost the lease trims no more, even if it does not know yet.
async fn a_node_that_lost_the_lease_removes_nothing(f: Fixture) {
    struct TakenOver(Fixture2, std::sync::atomic::AtomicBool);
    type Fixture2 = (lazuli_db::Db, Arc<lazuli_db::clock::ManualClock>);
    impl Pace for TakenOver {
        fn at(&self, moment: Moment) -> BoxFuture<'_, ()> {
            Box::pin(async move {
                use std::sync::atomic::Ordering::SeqCst;
                let begun = self.0.0.read(|tx| {
                    tx.query_one("SELECT sequence FROM log_floors", &[], |row| row.get_i64(0))
                });
                // The first rest in the log.
                let is_in_log = moment == Moment::Rest && begun.await.unwrap().is_some();
                if is_in_log && !self.1.swap(true, SeqCst) {
                    self.0.1.advance(HOUR);
                    let clock: Arc<dyn lazuli_db::clock::Clock> = self.0.1.clone();
                    let taken = Lease::acquire(&self.0.0, &clock, "gc", "another", HOUR);
                    assert!(taken.await.unwrap().is_some());
                }
            })
        }
    }
    long_ago(&f).await;
    f.clock.advance(100 * DAY);
    let before = count(&f, "SELECT COUNT(*) FROM operations").await;
    let pace = TakenOver((f.db.clone(), f.clock.clone()), false.into());
    let options = Options {
        pace: Arc::new(pace),
        ..hurried()
    };
    let gc = Gc::open(&f.registry, options).await.unwrap();
    gc.run_once().await.unwrap_err();
    let after = count(&f, "SELECT COUNT(*) FROM operations").await;
    assert_eq!(after, before - 3, "one batch before, none after");
    assert_eq!(count(&f, "SELECT sequence FROM log_floors").await, 3);
}

on_both_engines!(
    old_operations_go_and_the_newest_stay,
    a_trimmed_beginning_is_no_gap_and_anything_else_is,
    what_a_reader_has_not_read_stays,
    versions_go_with_their_operations_but_not_what_a_tag_is_now,
    a_node_that_lost_the_lease_removes_nothing,
);

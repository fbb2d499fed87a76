//! A database that follows another one.

use std::time::Duration;

use lazuli_db::{
    Db, Error, Exceptions, SqliteOptions, Tx, compare_rows, follow_rows, params, settle,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::both_engines;
use crate::place::{Place, block};

const EXCEPTIONS: Exceptions = Exceptions {
    tables: &["uploads", "leases"],
    rows: &[
        ("settings", "name", Some("own")),
        ("quarantine", "location", None),
    ],
    columns: &[("repository_blobs", "leased_until")],
};

/// A change of one side.
#[derive(Debug, Clone)]
enum Step {
    Setting(u8, u8),
    /// A row of a table that has nothing but a key.
    Refer(u8, u8),
    Forget(u8),
    Link(u8, i64),
    Operation(u8),
    /// Numbers operations anew, so that numbers change hands.
    Number(bool),
    Quarantine(u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::Setting(a % 4, b)),
        (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::Refer(a % 3, b)),
        any::<u8>().prop_map(|a| Step::Forget(a % 3)),
        (any::<u8>(), any::<i64>()).prop_map(|(a, b)| Step::Link(a, b)),
        any::<u8>().prop_map(Step::Operation),
        any::<bool>().prop_map(Step::Number),
        (any::<u8>(), any::<bool>()).prop_map(|(a, b)| Step::Quarantine(a % 3, b)),
    ]
}

fn take(tx: &mut Tx<'_>, step: &Step) -> Result<(), Error> {
    match *step {
        Step::Setting(name, value) => {
            let name = if name == 0 {
                "own".to_owned()
            } else {
                format!("s{name}\u{e9}")
            };
            tx.execute(
                "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                params![name.as_str(), value.to_string().as_str()],
            )?;
        }
        Step::Refer(manifest, child) => {
            tx.execute(
                "INSERT INTO manifest_references (repository_id, manifest, child, kind) VALUES (1, ?1, ?2, 0) ON CONFLICT DO NOTHING",
                params![&[manifest][..], &[child, 0, 255][..]],
            )?;
        }
        Step::Forget(manifest) => {
            tx.execute(
                "DELETE FROM manifest_references WHERE manifest = ?1",
                params![&[manifest][..]],
            )?;
        }
        Step::Link(blob, until) => {
            tx.execute(
                "INSERT INTO repository_blobs (repository_id, digest, registry_id, size, linked_at, leased_until, check_after) \
                 VALUES (1, ?1, 1, 5, 6, ?2, NULL) ON CONFLICT (repository_id, digest) DO UPDATE SET leased_until = excluded.leased_until",
                params![&[blob][..], until],
            )?;
        }
        Step::Operation(id) => {
            tx.execute(
                "INSERT INTO operations (id, origin, sequence, hlc, registry_id, repository, kind, principal, request_id, payload, created_at) \
                 VALUES (?1, 1, NULL, 5, 1, NULL, 'k', 'p', 'r', '{}', 0) ON CONFLICT DO NOTHING",
                params![&[id][..]],
            )?;
        }
        Step::Number(is_reverse) => {
            tx.execute("UPDATE operations SET sequence = NULL", params![])?;
            let sql = if is_reverse {
                "UPDATE operations SET sequence = (SELECT COUNT(*) FROM operations o WHERE o.id >= operations.id)"
            } else {
                "UPDATE operations SET sequence = (SELECT COUNT(*) FROM operations o WHERE o.id <= operations.id)"
            };
            tx.execute(sql, params![])?;
        }
        Step::Quarantine(id, is_somewhere) => {
            let place = is_somewhere.then_some("somewhere");
            tx.execute(
                "INSERT INTO quarantine (id, registry_id, digest, location, content, reason, created_at) \
                 VALUES (?1, 1, ?2, ?3, NULL, 'x', 0) ON CONFLICT DO NOTHING",
                params![i64::from(id) * 2 + i64::from(is_somewhere), &[id][..], place],
            )?;
        }
    }
    Ok(())
}

fn change(db: &Db, steps: &[Step]) {
    let steps = steps.to_vec();
    db.write_blocking(move |tx| steps.iter().try_for_each(|step| take(tx, step)))
        .unwrap();
}

fn differences(source: &Db, target: &Db, exceptions: &Exceptions) -> u64 {
    let found = block(compare_rows(source, target, exceptions, |_, _, _| {})).unwrap();
    found.iter().map(|table| table.different).sum()
}

fn what_differs_is_brought_whatever_happened_on_either_side(place: &Place) {
    let folder = tempfile::tempdir().unwrap();
    let source = Db::open_sqlite(SqliteOptions::new(folder.path().join("db"))).unwrap();
    let target = place.open();
    let steps = || proptest::collection::vec(step(), 0..12);
    let mut runner = TestRunner::new(Config::with_cases(40));
    // The databases stay from case to case: each begins where the one before ended.
    let outcome = runner.run(&(steps(), steps()), |(mine, theirs)| {
        change(&source, &mine);
        change(&target, &theirs);
        let own = |db: &Db| {
            let sql = "SELECT value FROM settings WHERE name = 'own'";
            let read = move |tx: &mut Tx<'_>| tx.query_one(sql, params![], |row| row.get_string(0));
            (
                read_count(
                    db,
                    "SELECT COUNT(*) FROM quarantine WHERE location IS NOT NULL",
                ),
                db.read_blocking(read).unwrap(),
            )
        };
        let before = own(&target);
        block(follow_rows(
            &source,
            &target,
            &EXCEPTIONS,
            |_, done, all| assert!(done <= all),
        ))
        .unwrap();
        let exact = Exceptions {
            columns: &[],
            ..EXCEPTIONS
        };
        prop_assert_eq!(differences(&source, &target, &exact), 0);
        prop_assert_eq!(own(&target), before);
        Ok(())
    });
    outcome.unwrap();
    assert!(
        read_count(
            &source,
            "SELECT COUNT(*) FROM operations WHERE sequence IS NOT NULL"
        ) > 0
    );
}

fn read_count(db: &Db, sql: &'static str) -> i64 {
    db.read_blocking(move |tx| tx.query_one(sql, params![], |row| row.get_i64(0)))
        .unwrap()
        .unwrap()
}

fn a_comparison_finds_each_kind_of_difference_and_changes_nothing(place: &Place) {
    let folder = tempfile::tempdir().unwrap();
    let source = Db::open_sqlite(SqliteOptions::new(folder.path().join("db"))).unwrap();
    let target = place.open();
    let many: Vec<_> = (0..=255).map(|blob| Step::Link(blob, 1)).collect();
    change(&source, &many);
    let followed = block(follow_rows(&source, &target, &EXCEPTIONS, |_, _, _| {})).unwrap();
    let links = followed
        .iter()
        .find(|table| table.table == "repository_blobs")
        .unwrap();
    assert_eq!((links.rows, links.different), (256, 256));
    assert!(!followed.iter().any(|table| table.table == "leases"));

    // One that may differ, for a comparison; a missing one, one too many, another one.
    change(&target, &[Step::Link(7, 2)]);
    assert_eq!(differences(&source, &target, &EXCEPTIONS), 0);
    assert_eq!(
        differences(
            &source,
            &target,
            &Exceptions {
                columns: &[],
                ..EXCEPTIONS
            }
        ),
        1
    );
    change(&source, &[Step::Setting(1, 1), Step::Setting(2, 2)]);
    change(&target, &[Step::Setting(2, 3), Step::Refer(1, 1)]);
    assert_eq!(differences(&source, &target, &EXCEPTIONS), 3);
    assert_eq!(differences(&source, &target, &EXCEPTIONS), 3);
}

fn older_transactions_are_waited_for(place: &Place) {
    let db = place.open();
    assert!(block(settle(&db, Duration::from_secs(30))).unwrap());
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let writer = std::thread::spawn({
        let db = db.clone();
        move || {
            db.write_blocking(move |tx| {
                take(tx, &Step::Setting(1, 1))?;
                let _ = begin.send(());
                let _ = held.lock().unwrap().recv();
                Ok::<_, Error>(())
            })
        }
    });
    begun.recv().unwrap();
    let settling = std::thread::spawn({
        let db = db.clone();
        move || {
            let limit = Duration::from_secs(30);
            let settled = block(settle(&db, limit)).unwrap();
            (settled, read_count(&db, "SELECT COUNT(*) FROM settings"))
        }
    });
    // It cannot end before the writer does; what it does meanwhile is wait.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!settling.is_finished());
    hold.send(()).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(settling.join().unwrap(), (true, 1));
}

both_engines!(
    what_differs_is_brought_whatever_happened_on_either_side,
    a_comparison_finds_each_kind_of_difference_and_changes_nothing,
    older_transactions_are_waited_for,
);

//! The embedded database's own: its files, its log, its limits.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use lazuli_db::faults::{Fault, FaultPoint};
use lazuli_db::{Db, Error, SqliteOptions, Tx, params};

use crate::faults::Trap;
use crate::place::{Place, block, get, names, set, setting};

fn fill(tx: &mut Tx<'_>, id: i64, size: usize) -> Result<u64, Error> {
    tx.execute(
        "INSERT INTO blobs (registry_id, digest, size, content, created_at, leased_until) VALUES (1, ?1, ?2, ?3, 0, 0)",
        params![&id.to_be_bytes(), size, &vec![7; size]],
    )
}

fn integrity(place: &Place) {
    let conn = rusqlite::Connection::open(place.path()).unwrap();
    let found: String = conn
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(found, "ok");
}

#[test]
fn a_failed_flush_ends_writing_until_a_restart() {
    let place = Place::sqlite();
    let trap = Trap::default();
    let db = place.open_with(trap.faults());
    block(async {
        db.write(|tx| set(tx, "before", "1")).await.unwrap();
        trap.arm(FaultPoint::Commit, 1, Fault::Io);
        assert!(matches!(
            db.write(|tx| set(tx, "during", "1")).await,
            Err(Error::Io(_))
        ));
        assert!(db.stats().read_only);
        assert!(matches!(
            db.write(|tx| set(tx, "after", "1")).await,
            Err(Error::ReadOnly)
        ));
        assert!(matches!(
            db.write_relaxed(|tx| set(tx, "after", "1")).await,
            Err(Error::ReadOnly)
        ));
        assert!(matches!(db.checkpoint().await, Err(Error::ReadOnly)));
        assert_eq!(db.read(names).await.unwrap(), ["before"], "reads go on");
        db.close(Duration::from_secs(30)).await.unwrap();
        let db = place.open();
        db.write(|tx| set(tx, "restarted", "1")).await.unwrap();
        assert_eq!(db.read(names).await.unwrap(), ["before", "restarted"]);
    });
    integrity(&place);
}

#[test]
fn a_failed_checkpoint_ends_writing_and_loses_nothing() {
    let place = Place::sqlite();
    let trap = Trap::default();
    let db = place.open_with(trap.faults());
    block(async {
        db.write(|tx| set(tx, "before", "1")).await.unwrap();
        trap.arm(FaultPoint::Checkpoint, 1, Fault::Full);
        assert!(db.checkpoint().await.unwrap_err().is_full());
        db.write(|tx| set(tx, "full", "1")).await.unwrap();
        trap.arm(FaultPoint::Checkpoint, 1, Fault::Io);
        assert!(matches!(db.checkpoint().await, Err(Error::Io(_))));
        assert!(matches!(
            db.write(|tx| set(tx, "after", "1")).await,
            Err(Error::ReadOnly)
        ));
        drop(db);
        assert_eq!(place.open().read(names).await.unwrap(), ["before", "full"]);
    });
}

#[test]
fn a_full_database_refuses_and_recovers() {
    let place = Place::sqlite();
    let options = SqliteOptions {
        max_pages: Some(500),
        ..SqliteOptions::new(place.path())
    };
    let db = Db::open_sqlite(options).unwrap();
    block(async {
        let mut kept = Vec::new();
        for id in 0.. {
            match db.write(move |tx| fill(tx, id, 100_000)).await {
                Ok(_) => kept.push(id),
                Err(e) => {
                    assert!(e.is_full(), "{e}");
                    break;
                }
            }
        }
        assert!(kept.len() > 5);
        let count = |tx: &mut Tx<'_>| {
            tx.query_one("SELECT COUNT(*) FROM blobs", params![], |row| {
                row.get_i64(0)
            })
        };
        assert_eq!(db.read(count).await.unwrap(), Some(kept.len() as i64));
        // Small things still fit, and so does deleting.
        db.write(|tx| set(tx, "small", "1")).await.unwrap();
        db.write(|tx| tx.execute("DELETE FROM blobs WHERE size > ?1", params![0]))
            .await
            .unwrap();
        db.write(|tx| fill(tx, 1000, 100_000)).await.unwrap();
        assert_eq!(db.read(count).await.unwrap(), Some(1));
        assert!(!db.stats().read_only);
    });
    integrity(&place);
}

/// When space runs out in a statement, SQLite may roll back the whole transaction, and with it the other callers'.
#[test]
fn the_others_of_a_batch_survive_one_that_does_not_fit() {
    let place = Place::sqlite();
    let options = SqliteOptions {
        max_pages: Some(500),
        ..SqliteOptions::new(place.path())
    };
    let db = Db::open_sqlite(options).unwrap();
    block(async {
        for round in 0..20_i64 {
            let tasks: Vec<_> = (0..20_i64)
                .map(|number| {
                    let db = db.clone();
                    tokio::spawn(async move {
                        let name = format!("{round} {number}");
                        db.write(move |tx| {
                            set(tx, &name, "v")?;
                            if number % 7 == 3 {
                                fill(tx, round, 5_000_000).map(drop)
                            } else {
                                Ok(())
                            }
                        })
                        .await
                    })
                })
                .collect();
            for (number, task) in tasks.into_iter().enumerate() {
                let result = task.await.unwrap();
                let name = format!("{round} {number}");
                let there = db.read(move |tx| get(tx, &name)).await.unwrap().is_some();
                assert_eq!(there, number % 7 != 3);
                match result {
                    Ok(()) => assert!(there),
                    Err(e) => assert!(e.is_full() && !there, "{e}"),
                }
            }
        }
        assert_eq!(db.stats().transactions, 20 * 17);
    });
    integrity(&place);
}

#[test]
fn the_log_stays_bounded_and_is_emptied() {
    let place = Place::sqlite();
    let db = place.open();
    let log = place.path().with_file_name("lazuli.db-wal");
    let length = || std::fs::metadata(&log).map_or(0, |meta| meta.len());
    block(async {
        let mut longest = 0;
        for id in 0..120_i64 {
            db.write_relaxed(move |tx| fill(tx, id, 1_000_000))
                .await
                .unwrap();
            longest = longest.max(length());
        }
        assert!(
            longest > 10_000_000,
            "120 MB went through the log: {longest}"
        );
        assert!(longest < 40_000_000, "the log grew to {longest}");
        db.checkpoint().await.unwrap();
        assert_eq!(length(), 0);
        db.write(|tx| set(tx, "a", "1")).await.unwrap();
        assert!(length() > 0 && db.stats().wal_pages > 0);
        assert_eq!(
            std::fs::metadata(&log).unwrap().permissions().mode() & 0o777,
            0o600
        );
        db.close(Duration::from_mins(1)).await.unwrap();
        assert_eq!(length(), 0);
        let main = std::fs::metadata(place.path()).unwrap();
        assert!(main.len() > 120_000_000);
        assert_eq!(main.permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn a_backup_is_consistent_while_transactions_run() {
    let place = Place::sqlite();
    let db = place.open();
    let directory = tempfile::tempdir().unwrap();
    block(async {
        let writing = tokio::spawn({
            let db = db.clone();
            async move {
                for round in 0..1000 {
                    let value = round.to_string();
                    db.write(move |tx| set(tx, "a", &value).and_then(|()| set(tx, "b", &value)))
                        .await
                        .unwrap();
                }
            }
        });
        let mut seen = Vec::new();
        for number in 0..5 {
            let path = directory.path().join(format!("copy {number}.db"));
            db.backup_to(&path).await.unwrap();
            assert_eq!(
                std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
            assert!(
                db.backup_to(&path).await.is_err(),
                "an existing file is kept"
            );
            let copy = Db::open_sqlite(SqliteOptions::new(&path)).unwrap();
            let (a, b) = (setting(&copy, "a").await, setting(&copy, "b").await);
            assert_eq!(a, b);
            seen.push(a);
            copy.write(|tx| set(tx, "c", "1")).await.unwrap();
            copy.close(Duration::from_secs(30)).await.unwrap();
        }
        writing.await.unwrap();
        let missing = directory.path().join("missing/copy.db");
        assert!(matches!(db.backup_to(&missing).await, Err(Error::Io(_))));
        let left: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(
            left.iter()
                .all(|name| !name.to_string_lossy().ends_with(".partial")),
            "{left:?}"
        );
    });
}

#[test]
fn files_that_hold_no_database_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(
        &text,
        "These are notes, and far too long for the header of a database. ".repeat(100),
    )
    .unwrap();
    for path in [
        text,
        directory.path().to_owned(),
        directory.path().join("missing/lazuli.db"),
    ] {
        match Db::open_sqlite(SqliteOptions::new(&path)) {
            Err(Error::Unsuitable(text)) => {
                assert!(text.contains(path.to_str().unwrap()), "{text}");
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("opened {}", path.display()),
        }
    }
}

#[test]
fn another_process_may_hold_the_lock_for_a_while() {
    let place = Place::sqlite();
    let options = SqliteOptions {
        busy_timeout: Duration::from_millis(50),
        ..SqliteOptions::new(place.path())
    };
    let db = Db::open_sqlite(options).unwrap();
    block(async {
        let other = rusqlite::Connection::open(place.path()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(matches!(
            db.write(|tx| set(tx, "a", "1")).await,
            Err(Error::Busy)
        ));
        assert_eq!(db.read(names).await.unwrap(), [""; 0], "reads need no lock");
        other.execute_batch("COMMIT").unwrap();
        db.write(|tx| set(tx, "a", "1")).await.unwrap();
    });
}

#[test]
fn what_a_kill_left_in_the_log_is_found() {
    let place = Place::sqlite();
    let db = place.open();
    block(async {
        db.write(|tx| set(tx, "a", "1")).await.unwrap();
        // The files as they are at this moment, as a crash would leave them, with a torn commit behind the last.
        let log = std::fs::read(place.path().with_file_name("lazuli.db-wal")).unwrap();
        let end = usize::try_from(32 + db.stats().wal_pages * (24 + 4096)).unwrap();
        let torn = [0x5a; 3000];
        let mut long = log.clone();
        long[end..end + torn.len()].copy_from_slice(&torn);
        let short = [&log[..end], &torn].concat();
        for log in [long, short] {
            let directory = tempfile::tempdir().unwrap();
            let copy = directory.path().join("lazuli.db");
            std::fs::copy(place.path(), &copy).unwrap();
            std::fs::write(directory.path().join("lazuli.db-wal"), log).unwrap();
            let db = Db::open_sqlite(SqliteOptions::new(&copy)).unwrap();
            assert_eq!(setting(&db, "a").await.as_deref(), Some("1"));
        }
    });
}

#[test]
fn commits_overwrite_a_log_that_has_its_length() {
    let place = Place::sqlite();
    let log = place.path().with_file_name("lazuli.db-wal");
    for round in 0..2 {
        let db = place.open();
        let length = || std::fs::metadata(&log).unwrap().len();
        let reserved = length();
        assert!(reserved > 8 << 20, "{reserved}");
        block(async {
            for value in 0..20 {
                let value = format!("{round} {value}");
                db.write(move |tx| set(tx, "a", &value)).await.unwrap();
            }
            assert_eq!(length(), reserved);
            assert_eq!(
                setting(&db, "a").await,
                Some(format!("{round} 19")),
                "zeros are the log's end"
            );
            db.close(Duration::from_mins(1)).await.unwrap();
        });
    }
}

//! Atomic, isolated, serializable, and nobody suffers for another's error.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use lazuli_db::{Db, Error, Tx, params};

use crate::place::{Place, block, get, names, set, setting};

crate::both_engines!(
    what_is_written_is_read,
    a_failed_closure_changes_nothing,
    a_swallowed_error_dooms_the_transaction,
    a_panic_is_rolled_back_and_the_thread_goes_on,
    a_panic_while_a_row_is_read,
    a_read_sees_one_snapshot,
    uncommitted_changes_are_invisible,
    a_read_sees_every_earlier_write,
    reads_cannot_write,
    concurrent_increments_are_all_counted,
    write_skew_does_not_happen,
    an_error_stays_with_its_caller,
    a_callers_savepoint_is_not_seen_by_the_others,
    relaxed_writes_are_atomic,
    only_relaxed_writes_skip_the_flush,
    blocking_calls_do_the_same,
);

fn what_is_written_is_read(place: &Place) {
    let db = place.open();
    assert_eq!(
        db.engine(),
        if place.is_sqlite() {
            "sqlite"
        } else {
            "postgres"
        }
    );
    block(async {
        db.write(|tx| set(tx, "a", "1")).await.unwrap();
        assert_eq!(setting(&db, "a").await.as_deref(), Some("1"));
        assert_eq!(
            db.read_one(|tx| get(tx, "a")).await.unwrap().as_deref(),
            Some("1")
        );
        assert_eq!(db.read_one(|tx| get(tx, "b")).await.unwrap(), None);
    });
}

#[derive(Debug, thiserror::Error)]
enum OwnError {
    #[error("not today")]
    NotToday,
    #[error(transparent)]
    Database(#[from] Error),
}

fn a_failed_closure_changes_nothing(place: &Place) {
    let db = place.open();
    block(async {
        let refused: Result<(), OwnError> = db
            .write(|tx| {
                set(tx, "a", "1")?;
                assert_eq!(get(tx, "a")?.as_deref(), Some("1"), "own changes are seen");
                Err(OwnError::NotToday)
            })
            .await;
        assert!(matches!(refused, Err(OwnError::NotToday)));
        let failed: Result<u64, OwnError> = db
            .write(|tx| {
                set(tx, "b", "1")?;
                Ok(tx.execute(
                    "INSERT INTO settings (name, value) VALUES (?1, ?2)",
                    params!["b", "2"],
                )?)
            })
            .await;
        assert!(matches!(failed, Err(OwnError::Database(Error::Unique(_)))));
        assert!(db.read(names).await.unwrap().is_empty());
        assert_eq!(db.stats().rollbacks, 2);
    });
}

fn a_swallowed_error_dooms_the_transaction(place: &Place) {
    let db = place.open();
    block(async {
        db.write(|tx| set(tx, "a", "1")).await.unwrap();
        let result: Result<(), Error> = db
            .write(|tx| {
                set(tx, "b", "1")?;
                let insert = "INSERT INTO settings (name, value) VALUES (?1, ?2)";
                assert!(
                    tx.execute(insert, params!["a", "2"])
                        .unwrap_err()
                        .is_unique()
                );
                assert!(
                    get(tx, "a").unwrap_err().is_unique(),
                    "later statements get the same error"
                );
                Ok(())
            })
            .await;
        assert!(result.unwrap_err().is_unique());
        assert_eq!(db.read(names).await.unwrap(), ["a"]);
        // The next transaction on the same connection starts clean.
        db.write(|tx| set(tx, "c", "1")).await.unwrap();
        assert_eq!(db.read(names).await.unwrap(), ["a", "c"]);
    });
}

fn a_panic_is_rolled_back_and_the_thread_goes_on(place: &Place) {
    let db = place.open();
    block(async {
        for round in 0..8 {
            let result: Result<(), Error> = db
                .write(move |tx| {
                    set(tx, "a", "1")?;
                    panic!("round {round}")
                })
                .await;
            assert!(matches!(result, Err(Error::Panicked)));
            let result: Result<(), Error> = db.read(|_| panic!("in a read")).await;
            assert!(matches!(result, Err(Error::Panicked)));
        }
        assert_eq!(setting(&db, "a").await, None);
        db.write(|tx| set(tx, "a", "2")).await.unwrap();
        assert_eq!(setting(&db, "a").await.as_deref(), Some("2"));
    });
}

fn a_panic_while_a_row_is_read(place: &Place) {
    let db = place.open();
    block(async {
        db.write(|tx| set(tx, "a", "1").and_then(|()| set(tx, "b", "2")))
            .await
            .unwrap();
        for _ in 0..8 {
            let result: Result<Vec<()>, Error> = db
                .read(|tx| {
                    tx.query("SELECT name FROM settings ORDER BY name", params![], |_| {
                        panic!("at the first row")
                    })
                })
                .await;
            assert!(matches!(result, Err(Error::Panicked)));
            // The same statement, on the same connection.
            assert_eq!(db.read(names).await.unwrap(), ["a", "b"]);
        }
    });
}

fn a_read_sees_one_snapshot(place: &Place) {
    let db = place.open();
    block(async {
        db.write(|tx| set(tx, "a", "old")).await.unwrap();
        let (began, has_begun) = mpsc::channel();
        let (written, is_written) = mpsc::channel();
        let reading = tokio::spawn({
            let db = db.clone();
            async move {
                db.read(move |tx| {
                    let before = get(tx, "a")?;
                    began.send(()).unwrap();
                    is_written.recv_timeout(Duration::from_secs(30)).unwrap();
                    Ok::<_, Error>((before, get(tx, "a")?))
                })
                .await
            }
        });
        tokio::task::spawn_blocking(move || {
            has_begun.recv_timeout(Duration::from_secs(30)).unwrap();
        })
        .await
        .unwrap();
        db.write(|tx| set(tx, "a", "new")).await.unwrap();
        written.send(()).unwrap();
        let (before, after) = reading.await.unwrap().unwrap();
        assert_eq!(
            (before.as_deref(), after.as_deref()),
            (Some("old"), Some("old"))
        );
        assert_eq!(setting(&db, "a").await.as_deref(), Some("new"));
    });
}

fn uncommitted_changes_are_invisible(place: &Place) {
    let db = place.open();
    let other = db.clone();
    db.write_blocking::<_, Error>(move |tx| {
        set(tx, "a", "1")?;
        // On another thread, while this transaction is open.
        assert_eq!(other.read_blocking(|tx| get(tx, "a"))?, None);
        Ok(())
    })
    .unwrap();
    assert_eq!(
        db.read_blocking(|tx| get(tx, "a")).unwrap().as_deref(),
        Some("1")
    );
}

fn a_read_sees_every_earlier_write(place: &Place) {
    let db = place.open();
    block(async {
        let mut tasks = Vec::new();
        for task in 0..4 {
            let db = db.clone();
            tasks.push(tokio::spawn(async move {
                for round in 0..50 {
                    let (name, value) = (format!("task {task}"), format!("{round}"));
                    let (n, v) = (name.clone(), value.clone());
                    db.write(move |tx| set(tx, &n, &v)).await.unwrap();
                    let n = name.clone();
                    assert_eq!(
                        db.read(move |tx| get(tx, &n)).await.unwrap().as_ref(),
                        Some(&value)
                    );
                    assert_eq!(
                        db.read_one(move |tx| get(tx, &name)).await.unwrap(),
                        Some(value)
                    );
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn reads_cannot_write(place: &Place) {
    let db = place.open();
    block(async {
        assert!(db.read(|tx| set(tx, "a", "1")).await.is_err());
        assert!(db.read_one(|tx| set(tx, "b", "1")).await.is_err());
        assert!(db.read(names).await.unwrap().is_empty());
    });
}

fn sequence(tx: &mut Tx<'_>, origin: i64) -> Result<i64, Error> {
    let found = tx.query_one(
        "SELECT sequence FROM origins WHERE origin = ?1",
        params![origin],
        |row| row.get_i64(0),
    )?;
    Ok(found.unwrap_or(0))
}

fn set_sequence(tx: &mut Tx<'_>, origin: i64, sequence: i64) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO origins (origin, sequence) VALUES (?1, ?2) \
         ON CONFLICT (origin) DO UPDATE SET sequence = excluded.sequence",
        params![origin, sequence],
    )
    .map(drop)
}

fn concurrent_increments_are_all_counted(place: &Place) {
    let db = place.open();
    block(async {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let db = db.clone();
                tokio::spawn(async move {
                    for _ in 0..25 {
                        db.write(|tx| {
                            let now = sequence(tx, 1)?;
                            set_sequence(tx, 1, now + 1)
                        })
                        .await
                        .unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(db.read(|tx| sequence(tx, 1)).await.unwrap(), 200);
        let stats = db.stats();
        assert_eq!(stats.transactions, 200);
        assert!(stats.commits <= 200 && stats.commits > 0);
        // SQLite has one writer; PostgreSQL notices that they collide.
        assert_eq!(stats.retries > 0, !place.is_sqlite());
    });
}

/// Each transaction sees that the two together are below the limit, and adds to its own: one after the other that
/// never passes the limit.
fn write_skew_does_not_happen(place: &Place) {
    let db = place.open();
    block(async {
        for round in 0..20_i64 {
            let (left, right) = (100 + 2 * round, 101 + 2 * round);
            let add = |own: i64| {
                db.write(move |tx| {
                    let sum = sequence(tx, left)? + sequence(tx, right)?;
                    if sum < 1 {
                        set_sequence(tx, own, 1)?;
                    }
                    Ok::<_, Error>(())
                })
            };
            let (a, b) = tokio::join!(add(left), add(right));
            a.unwrap();
            b.unwrap();
            let sum = db
                .read(move |tx| Ok::<_, Error>(sequence(tx, left)? + sequence(tx, right)?))
                .await
                .unwrap();
            assert_eq!(sum, 1);
        }
    });
}

fn an_error_stays_with_its_caller(place: &Place) {
    let db = place.open();
    block(async {
        let tasks: Vec<_> = (0..200_i64)
            .map(|number| {
                let db = db.clone();
                tokio::spawn(async move {
                    db.write(move |tx| {
                        set_sequence(tx, number, number)?;
                        match number % 4 {
                            0 => Err(OwnError::NotToday),
                            1 => Ok(tx.execute(
                                "INSERT INTO origins (origin, sequence) VALUES (?1, 0)",
                                params![number],
                            )?),
                            2 if number % 8 == 2 => panic!("{number}"),
                            _ => Ok(1),
                        }
                    })
                    .await
                })
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            match (number % 8, task.await.unwrap()) {
                (0 | 4, Err(OwnError::NotToday))
                | (1 | 5, Err(OwnError::Database(Error::Unique(_))))
                | (2, Err(OwnError::Database(Error::Panicked)))
                | (3 | 6 | 7, Ok(1)) => {}
                (_, other) => panic!("{number}: {other:?}"),
            }
        }
        let kept = db
            .read(|tx| {
                tx.query(
                    "SELECT origin FROM origins ORDER BY origin",
                    params![],
                    |row| row.get_i64(0),
                )
            })
            .await
            .unwrap();
        let expected: Vec<i64> = (0..200)
            .filter(|number| matches!(number % 8, 3 | 6 | 7))
            .collect();
        assert_eq!(kept, expected);
    });
}

/// Members of a batch see each other's committed-to-be changes, but never those that were undone.
fn a_callers_savepoint_is_not_seen_by_the_others(place: &Place) {
    let db = place.open();
    block(async {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..100_i64)
            .map(|number| {
                let (db, seen) = (db.clone(), seen.clone());
                tokio::spawn(async move {
                    db.write(move |tx| {
                        let value = sequence(tx, 7)?;
                        seen.lock().unwrap().push(value);
                        set_sequence(tx, 7, if number % 2 == 0 { -1 } else { value + 1 })?;
                        if number % 2 == 0 {
                            Err(OwnError::NotToday)
                        } else {
                            Ok(())
                        }
                    })
                    .await
                    .is_ok()
                })
            })
            .collect();
        let mut succeeded = 0;
        for task in tasks {
            succeeded += i64::from(task.await.unwrap());
        }
        assert_eq!(db.read(|tx| sequence(tx, 7)).await.unwrap(), succeeded);
        assert_eq!(succeeded, 50);
        assert!(seen.lock().unwrap().iter().all(|value| *value >= 0));
    });
}

fn relaxed_writes_are_atomic(place: &Place) {
    let db = place.open();
    block(async {
        db.write_relaxed(|tx| set(tx, "a", "1")).await.unwrap();
        let failed: Result<(), OwnError> = db
            .write_relaxed(|tx| {
                set(tx, "b", "1")?;
                Err(OwnError::NotToday)
            })
            .await;
        assert!(failed.is_err());
        db.write(|tx| set(tx, "c", "1")).await.unwrap();
        assert_eq!(db.read(names).await.unwrap(), ["a", "c"]);
    });
    drop(db);
    block(async { assert_eq!(place.open().read(names).await.unwrap(), ["a", "c"]) });
}

/// How commits of this connection wait for the disk, in the engine's own words.
fn flushing(db: &Db, tx: &mut Tx<'_>) -> Result<String, Error> {
    let found = if db.engine() == "sqlite" {
        tx.query_one("PRAGMA synchronous", params![], |row| {
            Ok(row.get_i64(0)?.to_string())
        })?
    } else {
        tx.query_one(
            "SELECT current_setting('synchronous_commit')",
            params![],
            |row| row.get_string(0),
        )?
    };
    Ok(found.unwrap())
}

fn only_relaxed_writes_skip_the_flush(place: &Place) {
    let db = place.open();
    // The test server is set up not to wait for its disk; that must not matter.
    let (full, relaxed) = if place.is_sqlite() {
        ("2", "1")
    } else {
        ("on", "off")
    };
    block(async {
        for _ in 0..10 {
            let d = db.clone();
            assert_eq!(db.write(move |tx| flushing(&d, tx)).await.unwrap(), full);
            let d = db.clone();
            assert_eq!(
                db.write_relaxed(move |tx| flushing(&d, tx)).await.unwrap(),
                relaxed
            );
        }
    });
}

fn blocking_calls_do_the_same(place: &Place) {
    let db = place.open();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    db.write_blocking(move |tx| {
        counted.fetch_add(1, Ordering::SeqCst);
        set(tx, "a", "1")
    })
    .unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert_eq!(db.read_blocking(names).unwrap(), ["a"]);
    let refused: Result<(), OwnError> = db.write_blocking(|_| Err(OwnError::NotToday));
    assert!(refused.is_err());
}

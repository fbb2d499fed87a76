//! A transaction happens whole or not at all, and nobody suffers for another's error.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use lazuli_db::{Db, Error, Tx, params};

use crate::place::{Place, block, get, names, sequence, set, set_sequence, setting};

crate::both_engines!(
    what_is_written_is_read,
    a_failed_closure_changes_nothing,
    a_swallowed_error_dooms_the_transaction,
    a_panic_is_rolled_back_and_the_thread_goes_on,
    a_panic_while_a_row_is_read,
    an_error_stays_with_its_caller,
    a_callers_savepoint_is_not_seen_by_the_others,
    relaxed_writes_are_atomic,
    only_relaxed_writes_skip_the_flush,
    blocking_calls_do_the_same,
    what_is_sent_counts_with_the_rest,
    the_error_of_what_was_sent_dooms_the_transaction,
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

const ORIGIN: &str = "INSERT INTO origins (origin, sequence) VALUES (?1, ?2)";

fn what_is_sent_counts_with_the_rest(place: &Place) {
    let db = place.open();
    block(async {
        db.write::<_, Error>(|tx| {
            for number in 100..150_i64 {
                tx.send(ORIGIN, params![number, number])?;
            }
            assert_eq!(sequence(tx, 149)?, 149, "own changes are seen");
            tx.send(ORIGIN, params![150, 150])
        })
        .await
        .unwrap();
        let last = db.read(|tx| sequence(tx, 150)).await.unwrap();
        assert_eq!(last, 150);
    });
}

fn the_error_of_what_was_sent_dooms_the_transaction(place: &Place) {
    let db = place.open();
    block(async {
        for asks in [false, true] {
            let refused: Result<i64, Error> = db
                .write(move |tx| {
                    tx.send(ORIGIN, params![100, 1])?;
                    tx.send(ORIGIN, params![100, 2])?;
                    tx.send(ORIGIN, params![101, 1])?;
                    if asks { sequence(tx, 100) } else { Ok(0) }
                })
                .await;
            assert!(matches!(refused, Err(Error::Unique(_))), "{refused:?}");
            let found: Vec<_> = db
                .read::<_, Error>(|tx| Ok(vec![sequence(tx, 100)?, sequence(tx, 101)?]))
                .await
                .unwrap();
            assert_eq!(found, [0, 0]);
        }
        // A closure that gives up after it sent something wrong keeps its own error.
        let refused: Result<(), OwnError> = db
            .write(|tx| {
                tx.send(ORIGIN, params![100, 1])?;
                Err(OwnError::NotToday)
            })
            .await;
        assert!(matches!(refused, Err(OwnError::NotToday)));
        db.write::<_, Error>(|tx| tx.send(ORIGIN, params![100, 3]))
            .await
            .unwrap();
        assert_eq!(
            db.read(|tx| sequence(tx, 100)).await.unwrap(),
            3,
            "the connection is in order"
        );
    });
}

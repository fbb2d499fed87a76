//! Transactions do not see each other's halves: reads have a snapshot, writes are serializable.

use std::sync::mpsc;
use std::time::Duration;

use lazuli_db::Error;

use crate::place::{Place, block, get, names, sequence, set, set_sequence, setting};

crate::both_engines!(
    a_read_sees_one_snapshot,
    uncommitted_changes_are_invisible,
    a_read_sees_every_earlier_write,
    reads_cannot_write,
    concurrent_increments_are_all_counted,
    write_skew_does_not_happen,
);

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

//! Waiting, giving up waiting, and closing.

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lazuli_db::faults::Faults;
use lazuli_db::{Db, Error};

use crate::place::{Place, block, names, set, setting};

crate::both_engines!(
    more_callers_than_the_queue_holds_are_told_so,
    a_dropped_write_still_happens,
    a_write_that_was_never_polled_does_not_happen,
    closing_finishes_what_waits,
    closing_gives_up_in_time,
    the_threads_end_with_the_last_handle,
    slow_transactions_are_counted,
);

/// Occupies every thread of the database until the answer is dropped.
fn occupy(db: &Db) -> (mpsc::SyncSender<()>, Vec<tokio::task::JoinHandle<()>>) {
    let (release, released) = mpsc::sync_channel::<()>(1);
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    let (began, has_begun) = mpsc::channel();
    let mut tasks = Vec::new();
    for number in 0..4 {
        let (db, released, began) = (db.clone(), released.clone(), began.clone());
        let hold = move |_: &mut lazuli_db::Tx<'_>| {
            let _ = began.send(());
            // Returns when the sender is dropped.
            let _ = released.lock().unwrap().recv();
            Ok::<_, Error>(())
        };
        tasks.push(tokio::spawn(async move {
            if number < 2 {
                db.write(hold).await.unwrap();
            } else {
                db.read(hold).await.unwrap();
            }
        }));
    }
    // SQLite runs the two writes one after the other.
    for _ in 0..if db.engine() == "sqlite" { 3 } else { 4 } {
        has_begun.recv_timeout(Duration::from_secs(30)).unwrap();
    }
    (release, tasks)
}

fn more_callers_than_the_queue_holds_are_told_so(place: &Place) {
    let db = place.try_open(Faults::default(), 10).unwrap();
    block(async {
        let (release, busy) = occupy(&db);
        let mut waiting = Vec::new();
        for _ in 0..30 {
            let db = db.clone();
            waiting.push(tokio::spawn(async move {
                db.write(|tx| set(tx, "a", "1")).await
            }));
        }
        // Those that were refused know at once, while all threads are still occupied.
        let mut refused = 0;
        while refused < 20 {
            let done = waiting
                .iter()
                .position(tokio::task::JoinHandle::is_finished);
            match done {
                Some(index) => {
                    assert!(matches!(
                        waiting.swap_remove(index).await.unwrap(),
                        Err(Error::Busy)
                    ));
                    refused += 1;
                }
                None => tokio::task::yield_now().await,
            }
        }
        assert!(db.stats().write_queue >= 9);
        drop(release);
        for task in busy {
            task.await.unwrap();
        }
        // Of the rest, one may have met a queue with the other hold in it.
        let mut done = 0;
        for task in waiting {
            match task.await.unwrap() {
                Ok(()) => done += 1,
                Err(e) => assert!(matches!(e, Error::Busy)),
            }
        }
        assert!((9..=10).contains(&done), "{done}");
        assert_eq!(db.stats().write_queue, 0);
        db.write(|tx| set(tx, "b", "1")).await.unwrap();
    });
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn a_dropped_write_still_happens(place: &Place) {
    let db = place.open();
    block(async {
        let (release, _busy) = occupy(&db);
        assert!(poll_once(db.write(|tx| set(tx, "a", "1"))).is_pending());
        drop(release);
        // It is ahead of this one in the queue; on PostgreSQL another connection may be slower.
        db.write(|tx| set(tx, "b", "1")).await.unwrap();
        for _ in 0..1000 {
            if setting(&db, "a").await.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the write was lost");
    });
}

fn a_write_that_was_never_polled_does_not_happen(place: &Place) {
    let db = place.open();
    block(async {
        drop(db.write(|tx| set(tx, "a", "1")));
        db.write(|tx| set(tx, "b", "1")).await.unwrap();
        assert_eq!(db.read(names).await.unwrap(), ["b"]);
    });
}

fn closing_finishes_what_waits(place: &Place) {
    let db = place.open();
    block(async {
        let (release, _busy) = occupy(&db);
        for name in ["a", "b", "c"] {
            assert!(poll_once(db.write(move |tx| set(tx, name, "1"))).is_pending());
        }
        let closing = tokio::spawn({
            let db = db.clone();
            async move { db.close(Duration::from_secs(30)).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(release);
        closing.await.unwrap().unwrap();
        db.close(Duration::from_secs(30))
            .await
            .expect("closing again does nothing");
        assert!(matches!(
            db.write(|tx| set(tx, "d", "1")).await,
            Err(Error::Closed)
        ));
        assert!(matches!(db.read(names).await, Err(Error::Closed)));
        let again = place.open();
        assert_eq!(again.read(names).await.unwrap(), ["a", "b", "c"]);
    });
}

fn closing_gives_up_in_time(place: &Place) {
    let db = place.open();
    block(async {
        let (release, _busy) = occupy(&db);
        assert!(matches!(
            db.close(Duration::from_millis(50)).await,
            Err(Error::Busy)
        ));
        drop(release);
    });
}

fn the_threads_end_with_the_last_handle(place: &Place) {
    // A thread that ends drops what it holds; the closure here holds one end of a channel.
    let (alive, is_alive) = mpsc::sync_channel::<()>(1);
    let db = place.open();
    block(async {
        let (release, busy) = occupy(&db);
        assert!(
            poll_once(db.write(move |tx| set(
                tx,
                "a",
                if alive.send(()).is_ok() { "1" } else { "0" }
            )))
            .is_pending()
        );
        drop((release, busy));
    });
    drop(db);
    is_alive.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(
        is_alive.recv_timeout(Duration::from_secs(30)).is_err(),
        "the closure was run and dropped"
    );
}

fn slow_transactions_are_counted(place: &Place) {
    let db = place.open();
    block(async {
        db.write(|tx| set(tx, "a", "1")).await.unwrap();
        let before = db.stats().slow;
        db.write(|tx| {
            std::thread::sleep(Duration::from_millis(30));
            set(tx, "b", "1")
        })
        .await
        .unwrap();
        assert_eq!(db.stats().slow, before + 1);
    });
}

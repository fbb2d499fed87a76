//! Processes that end, start anew, fail, or run side by side.

use super::stubborn::Stubborn;
use super::*;
use crate::on_both_engines;

/// Garbage collection opened anew, as a process does that starts now; the machine started as named.
async fn reopened(f: &Fixture, boot: &'static str, is_clean: bool) -> Gc {
    let word = if is_clean { "clean" } else { "running" };
    f.db.write(move |tx| {
        let text = tx.query_one(
            "SELECT value FROM settings WHERE name = 'gc.trust'",
            &[],
            |row| row.get_string(0),
        )?;
        let text = text.unwrap();
        let mut words: Vec<&str> = text.split(' ').collect();
        words[2] = word;
        if boot != "same" {
            words[0] = boot;
        }
        let text = words.join(" ");
        tx.execute(
            "UPDATE settings SET value = ?1 WHERE name = 'gc.trust'",
            &[(&text).into()],
        )
    })
    .await
    .unwrap();
    gc(f).await
}

async fn after_a_power_failure_nothing_goes_before_a_whole_lease_has_passed(f: Fixture) {
    let first = gc(&f).await;
    let digest = push_blob(&f.registry, "a", &large("x")).await;
    let condemned = push_blob(&f.registry, "b", &large("y")).await;
    f.registry
        .delete_blob(&delete("b"), &condemned, &"r".into())
        .await
        .unwrap();
    f.clock.advance(10 * HOUR);
    drop(first);
    let gc = reopened(&f, "another-start-of-the-machine", false).await;
    assert!(Gc::status(&f.registry).await.unwrap().quiet_until.is_some());
    f.clock.advance(39 * MINUTE);
    let quiet = run(&gc).await;
    assert_eq!((quiet.unlinked, quiet.deleted), (0, 0));
    // The process is started again meanwhile: the wait goes on, it does not begin anew and is not forgotten.
    let gc = reopened(&f, "same", false).await;
    let quiet = run(&gc).await;
    assert_eq!((quiet.unlinked, quiet.deleted), (0, 0));
    f.clock.advance(HOUR);
    let run = run(&gc).await;
    assert_eq!((run.unlinked, run.deleted), (1, 1));
    assert!(!has_blob(&f.registry, "a", &digest).await);
}

async fn after_an_orderly_end_collection_goes_on_at_once(f: Fixture) {
    let first = gc(&f).await;
    push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(10 * HOUR);
    first.close().await.unwrap();
    let gc = reopened(&f, "another-start-of-the-machine", true).await;
    assert_eq!(run(&gc).await.unlinked, 1);
}

async fn after_a_killed_process_collection_goes_on_at_once(f: Fixture) {
    let first = gc(&f).await;
    push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(55 * MINUTE);
    assert_eq!(run(&first).await.unlinked, 0);
    drop(first);
    // It was away for a shorter time than a clock that was set would show.
    f.clock.advance(6 * MINUTE);
    let gc = reopened(&f, "same", false).await;
    assert_eq!(run(&gc).await.unlinked, 1);
}

async fn one_process_at_a_time(f: Fixture) {
    struct Inside(Arc<tokio::sync::Notify>, Arc<tokio::sync::Notify>);
    impl Pace for Inside {
        fn at(&self, _: Moment) -> BoxFuture<'_, ()> {
            Box::pin(async {
                self.0.notify_one();
                self.1.notified().await;
            })
        }
    }
    let (inside, go_on) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    let options = Options {
        pace: Arc::new(Inside(inside.clone(), go_on.clone())),
        ..hurried()
    };
    let first = Gc::open(&f.registry, options).await.unwrap();
    let second = gc(&f).await;
    push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(HOUR);
    let running = tokio::spawn(async move { first.run_once().await.unwrap() });
    inside.notified().await;
    assert!(second.run_once().await.unwrap().is_none());
    assert!(Gc::status(&f.registry).await.unwrap().is_running);
    while !running.is_finished() {
        go_on.notify_one();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(running.await.unwrap().unwrap().unlinked, 1);
    assert!(second.run_once().await.unwrap().is_some());
}

async fn a_process_that_was_killed_at_work_holds_up_other_nodes_only(f: Fixture) {
    struct Forever(Arc<tokio::sync::Notify>);
    impl Pace for Forever {
        fn at(&self, _: Moment) -> lazuli_blobs::BoxFuture<'_, ()> {
            Box::pin(async {
                self.0.notify_one();
                std::future::pending::<()>().await;
            })
        }
    }
    let inside = Arc::new(tokio::sync::Notify::new());
    let options = Options {
        pace: Arc::new(Forever(inside.clone())),
        ..hurried()
    };
    let first = Gc::open(&f.registry, options).await.unwrap();
    push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(HOUR);
    let running = tokio::spawn(async move { first.run_once().await.map(drop) });
    inside.notified().await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let next = gc(&f).await.run_once().await.unwrap();
    let is_alone = f.db.engine() == "sqlite";
    assert_eq!(next.is_some_and(|run| run.unlinked == 1), is_alone);
}

async fn a_file_that_could_not_be_removed_is_removed_by_a_later_run(f: Fixture) {
    let store = Arc::new(Stubborn {
        store: MemoryStore::new(),
        refuses: AtomicBool::new(true),
    });
    let registry = Registry::open(f.db.clone(), store.clone(), f.clock.clone(), options())
        .await
        .unwrap();
    let gc = Gc::open(&registry, hurried()).await.unwrap();
    for seed in ["x", "y", "z", "zz"] {
        push_blob(&registry, "a", &large(seed)).await;
    }
    f.clock.advance(HOUR);
    run(&gc).await;
    f.clock.advance(HOUR);
    let refused = run(&gc).await;
    assert_eq!((refused.deleted, refused.freed_bytes), (4, 0));
    assert_eq!(Gc::status(&registry).await.unwrap().to_be_removed.blobs, 4);
    // As after a crash: another process finds what is left to do. A new copy is pushed meanwhile.
    let pushed = push_blob(&registry, "a", &large("x")).await;
    store.refuses.store(false, Ordering::SeqCst);
    let restarted = Gc::open(&registry, hurried()).await.unwrap();
    let again = run(&restarted).await;
    assert_eq!(
        again.freed_bytes,
        (["x", "y", "z", "zz"].map(|seed| large(seed).len() as u64))
            .iter()
            .sum::<u64>()
    );
    assert_eq!(Gc::status(&registry).await.unwrap().to_be_removed.blobs, 0);
    assert_eq!(files(&store.store).await, 1);
    let blob = registry.blob(&pull("a"), &pushed).await.unwrap();
    assert!(matches!(
        registry.blob_bytes(&blob).await.unwrap(),
        BlobBytes::File(_)
    ));
}

async fn runs_that_did_something_are_remembered_and_the_rest_is_not(f: Fixture) {
    let gc = gc(&f).await;
    for _ in 0..110 {
        run(&gc).await;
        f.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(
        count(&f, "SELECT COUNT(*) FROM gc_runs").await,
        100,
        "asked for, but bounded"
    );
}

on_both_engines!(
    a_process_that_was_killed_at_work_holds_up_other_nodes_only,
    after_a_power_failure_nothing_goes_before_a_whole_lease_has_passed,
    after_an_orderly_end_collection_goes_on_at_once,
    after_a_killed_process_collection_goes_on_at_once,
    one_process_at_a_time,
    a_file_that_could_not_be_removed_is_removed_by_a_later_run,
    runs_that_did_something_are_remembered_and_the_rest_is_not,
);

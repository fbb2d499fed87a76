//! Passes that are asked for, cut short, taken up again.

use super::deleted::killed_after;
use super::*;
use crate::on_both_engines;
use lazuli_registry::gc::Phase;

async fn a_pass_that_is_killed_between_steps_goes_on(f: Fixture) {
    let mut bytes = 0;
    for number in 0..20 {
        bytes += large(&number.to_string()).len() as u64;
        push_blob(&f.registry, "a", &large(&number.to_string())).await;
    }
    f.clock.advance(10 * HOUR);
    let before = gc(&f).await;
    assert_eq!(run(&before).await.unlinked, 20);
    f.clock.advance(2 * HOUR);
    // Its end says what time it is: otherwise the next one might take the clock to have been set, and wait.
    before.close().await.unwrap();
    let (mut kills, mut left) = (0, 20);
    let run = loop {
        match killed_after(&f, 1 + kills % 3).await {
            Some(run) => break run,
            None => kills += 1,
        }
        let now = count(&f, "SELECT COUNT(*) FROM blobs").await;
        assert!(now <= left);
        left = now;
        assert!(kills < 200, "it never ends");
    };
    assert!(kills > 6 && run.resumed > 0, "{kills} {run:?}");
    assert_eq!((files(&f.store).await, run.phase), (0, Phase::Done));
    // A kill may take the count of its last step with it, never the step.
    assert!(run.deleted > 10 && run.deleted <= 20, "{run:?}");
    assert!(run.freed_bytes > 0 && run.freed_bytes <= bytes);
    let status = Gc::status(&f.registry).await.unwrap();
    assert_eq!(status.to_be_removed.blobs + status.condemned.blobs, 0);
    assert_eq!(status.last_run, Some(run));
}

/// Whichever process collects does what another one asks for, even if it does nothing by itself.
async fn a_pass_is_done_when_asked_for(f: Fixture) {
    push_blob(&f.registry, "a", &large("x")).await;
    f.clock.advance(10 * HOUR);
    let options = Options {
        enabled: false,
        poll: Duration::from_millis(1),
        interval: Duration::from_millis(2),
        ..hurried()
    };
    let gc = Gc::open(&f.registry, options).await.unwrap();
    let running = tokio::spawn({
        let gc = gc.clone();
        async move { gc.run().await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(gc.counters().passes(), (0, 0));
    Gc::request(&f.registry).await.unwrap();
    let run = loop {
        let status = Gc::status(&f.registry).await.unwrap();
        match status.last_run.filter(|run| run.finished_at.is_some()) {
            Some(run) if !status.is_requested => break run,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert!(run.is_asked_for && run.unlinked == 1, "{run:?}");
    assert_eq!(gc.counters().totals().unlinked, 1);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(gc.counters().passes(), (1, 0), "once");
    running.abort();
}

async fn how_far_a_pass_is_can_be_told(f: Fixture) {
    struct Watching(Registry, std::sync::Mutex<Vec<(Phase, Option<u64>)>>);
    impl Pace for Watching {
        fn at(&self, moment: Moment) -> BoxFuture<'_, ()> {
            Box::pin(async move {
                if moment == Moment::Rest {
                    let run = Gc::status(&self.0).await.unwrap().last_run.unwrap();
                    let seen = (run.phase, run.phase_total);
                    self.1.lock().unwrap().push(seen);
                }
            })
        }
    }
    for number in 0..7 {
        push_blob(&f.registry, "a", &large(&number.to_string())).await;
    }
    f.clock.advance(10 * HOUR);
    let pace = Arc::new(Watching(f.registry.clone(), std::sync::Mutex::default()));
    let options = Options {
        pace: pace.clone(),
        ..hurried()
    };
    let gc = Gc::open(&f.registry, options).await.unwrap();
    run(&gc).await;
    // The clock stands still, so only the beginning of a part is written down.
    let seen = pace.1.lock().unwrap().clone();
    assert!(seen.contains(&(Phase::Links, None)), "{seen:?}");
    assert_eq!(gc.counters().phase(), None);
    assert_eq!(gc.counters().totals().unlinked, 7);
}

on_both_engines!(
    a_pass_that_is_killed_between_steps_goes_on,
    a_pass_is_done_when_asked_for,
    how_far_a_pass_is_can_be_told,
);

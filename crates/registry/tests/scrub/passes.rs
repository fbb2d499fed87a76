//! When passes go, how fast, by whom, and that they cover everything.

use std::collections::HashMap;
use std::sync::Arc;

use super::faulty::Faulty;
use super::*;
use crate::on_both_engines;

const SIZE: u64 = 64 << 10;

/// So many blobs of 64 KiB each, in the store.
async fn large_blobs(registry: &Registry, count: u64) {
    for seed in 0..count {
        let mut bytes = vec![7; SIZE as usize];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        push_blob(registry, "a", &bytes).await;
    }
}

async fn steps(f: &Fixture, scrub: &Scrub, count: u32) {
    for _ in 0..count {
        let wait = scrub.step().await.unwrap();
        f.clock.advance(wait);
    }
}

async fn under_way(f: &Fixture) -> Pass {
    let status = Scrub::status(&f.registry, &thirty_days()).await.unwrap();
    status.pass.unwrap()
}

/// Reads one blob in a step.
fn slow() -> Options {
    Options {
        rate: 512 << 10,
        ..thirty_days()
    }
}

async fn the_rate_is_kept(f: Fixture) {
    large_blobs(&f.registry, 40).await;
    let options = slow();
    let scrub = Scrub::open(&f.registry, options).await.unwrap();
    Scrub::request(&f.registry).await.unwrap();
    let (mut elapsed, portion) = (Duration::ZERO, options.rate / 8);
    while scrub.counters().bytes() < 40 * SIZE {
        let wait = scrub.step().await.unwrap();
        let most = options.rate as f64 * elapsed.as_secs_f64() + portion as f64;
        assert!(scrub.counters().bytes() as f64 <= most + 1.0);
        // After the last byte it rests until it looks again.
        let wait = wait.min(Duration::from_secs(1));
        f.clock.advance(wait);
        elapsed += wait;
    }
    let needed = 40 * SIZE / options.rate;
    assert!(elapsed >= Duration::from_secs(needed), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(needed + 3), "{elapsed:?}");
}

async fn a_large_blob_is_read_a_part_at_a_time(f: Fixture) {
    let digest = push_blob(&f.registry, "a", &vec![1; 3 << 20]).await;
    let options = Options {
        rate: MIB,
        ..thirty_days()
    };
    let scrub = Scrub::open(&f.registry, options).await.unwrap();
    Scrub::request(&f.registry).await.unwrap();
    let mut elapsed = Duration::ZERO;
    while scrub.counters().items() == 0 {
        let before = scrub.counters().bytes();
        let wait = scrub.step().await.unwrap();
        assert!(scrub.counters().bytes() - before <= MIB / 8);
        let wait = wait.min(Duration::from_secs(1));
        f.clock.advance(wait);
        elapsed += wait;
    }
    assert!((2..5).contains(&elapsed.as_secs()), "{elapsed:?}");
    assert_eq!(scrub.counters().bytes(), 3 << 20);
    assert!(is_served(&f.registry, "a", &digest).await);
}

async fn a_pass_is_spread_over_its_period(f: Fixture) {
    large_blobs(&f.registry, 60).await;
    push_image(&f.registry, "a", "v1", "x").await;
    let scrub = scrub(&f.registry).await;
    let mut done = HashMap::new();
    for hour in 0..30 * 24_u32 {
        // Asked often, it does what is due and no more.
        for _ in 0..4 {
            steps(&f, &scrub, 1).await;
        }
        done.insert(hour, scrub.counters().items());
        f.clock.advance(Duration::from_secs(3560));
    }
    let all = 60 + 2 + 1;
    // Digests are as good as random: in a third of the time about a third.
    let part = |day: u32| done[&(day * 24)];
    assert!(part(1) < 10, "{}", part(1));
    assert!((10..32).contains(&part(9)), "{}", part(9));
    assert!((30..56).contains(&part(18)), "{}", part(18));
    assert!(part(25) < all, "manifests come last");
    assert_eq!(part(27), all);
    // Then it begins anew.
    assert!(part(29) >= all && done[&719] < all + 20);
    steps(&f, &scrub, 2).await;
    let status = Scrub::status(&f.registry, &thirty_days()).await.unwrap();
    assert!(status.last.unwrap().is_complete());
    assert_eq!(status.behind, Duration::ZERO);
    assert!(scrub.counters().completed_at().is_some());
}

async fn after_a_long_stop_it_makes_up_for_it(f: Fixture) {
    large_blobs(&f.registry, 10).await;
    steps(&f, &scrub(&f.registry).await, 3).await;
    f.clock.advance(26 * DAY);
    let status = Scrub::status(&f.registry, &thirty_days()).await.unwrap();
    assert!(status.behind > 20 * DAY, "{status:?}");
    assert!(status.pass.unwrap().progress() < 0.1);
    let again = scrub(&f.restarted().await).await;
    assert_eq!(to_the_end(&f, &again).await.items, 10);
}

async fn a_restart_goes_on_where_it_stopped(mut f: Fixture) {
    let store = Faulty::on(&f.store);
    let shared: Arc<dyn BlobStore> = Arc::new(store.clone());
    let open = || Registry::open(f.db.clone(), shared.clone(), f.clock.clone(), options());
    let registry = open().await.unwrap();
    large_blobs(&registry, 30).await;
    store.opens();
    f.registry = registry;
    let first = Scrub::open(&f.registry, slow()).await.unwrap();
    Scrub::request(&f.registry).await.unwrap();
    steps(&f, &first, 10).await;
    first.close().await.unwrap();
    drop(first);
    let half = under_way(&f).await;
    assert!((5..15).contains(&half.items), "{half:?}");
    let registry = Registry::open(f.db.clone(), shared, f.clock.clone(), options());
    f.registry = registry.await.unwrap();
    let second = Scrub::open(&f.registry, slow()).await.unwrap();
    let pass = to_the_end(&f, &second).await;
    assert_eq!((pass.id, pass.items), (half.id, 30));
    let opens = store.opens();
    assert_eq!(opens.len(), 30);
    assert!(opens.values().sum::<u32>() <= 31, "one was cut short");
}

async fn a_killed_process_repeats_half_a_minute_at_most(f: Fixture) {
    large_blobs(&f.registry, 600).await;
    let first = Scrub::open(&f.registry, slow()).await.unwrap();
    Scrub::request(&f.registry).await.unwrap();
    while first.counters().items() < 400 {
        steps(&f, &first, 1).await;
    }
    drop(first);
    let known = under_way(&f).await.items;
    assert!(known >= 400 - 31 * 8, "{known}");
    let registry = f.restarted().await;
    let second = Scrub::open(&registry, slow()).await.unwrap();
    let pass = to_the_end(&f, &second).await;
    assert_eq!(pass.items, 600);
    assert_eq!(second.counters().items(), 600 - known);
}

async fn two_nodes_do_it_once(f: Fixture) {
    large_blobs(&f.registry, 30).await;
    let other = f.node().await;
    let nodes = [
        Scrub::open(&f.registry, slow()).await.unwrap(),
        Scrub::open(&other, slow()).await.unwrap(),
    ];
    Scrub::request(&f.registry).await.unwrap();
    for turn in 0.. {
        let wait = nodes[turn % 2].step().await.unwrap();
        f.clock.advance(wait.min(Duration::from_secs(1)));
        let status = Scrub::status(&f.registry, &slow()).await.unwrap();
        if status.pass.is_none() && !status.is_requested {
            assert_eq!(status.last.unwrap().items, 30);
            break;
        }
    }
    let [a, b] = nodes.map(|node| node.counters().items());
    assert_eq!(a + b, 30);
    assert!(a == 0 || b == 0, "one held the lease all the time");
}

async fn a_node_that_wakes_up_late_changes_nothing(f: Fixture) {
    large_blobs(&f.registry, 30).await;
    let other = f.node().await;
    let asleep = Scrub::open(&f.registry, slow()).await.unwrap();
    let awake = Scrub::open(&other, slow()).await.unwrap();
    Scrub::request(&f.registry).await.unwrap();
    steps(&f, &asleep, 10).await;
    f.clock.advance(2 * MINUTE);
    let pass = to_the_end(&f, &awake).await;
    assert_eq!(pass.items, 30);
    // It still believes itself in the middle of it.
    asleep.step().await.unwrap();
    asleep.close().await.unwrap();
    let status = Scrub::status(&f.registry, &slow()).await.unwrap();
    assert_eq!((status.pass, status.last), (None, Some(pass)));
}

async fn a_healthy_blob_costs_no_write(f: Fixture) {
    for seed in 0..400_u32 {
        push_blob(&f.registry, "a", &seed.to_be_bytes()).await;
    }
    let scrub = scrub(&f.registry).await;
    Scrub::request(&f.registry).await.unwrap();
    let before = f.db.stats().transactions;
    assert_eq!(to_the_end(&f, &scrub).await.items, 400);
    let written = f.db.stats().transactions - before;
    assert!(written <= 12, "{written} transactions");
    // And once it is done, nothing at all.
    let off = Options {
        enabled: false,
        ..thirty_days()
    };
    let idle = Scrub::open(&f.registry, off).await.unwrap();
    let before = f.db.stats().transactions;
    steps(&f, &idle, 50).await;
    assert_eq!(f.db.stats().transactions, before);
}

async fn switched_off_it_does_what_is_asked_for(f: Fixture) {
    large_blobs(&f.registry, 3).await;
    let off = Options {
        enabled: false,
        ..thirty_days()
    };
    let scrub = Scrub::open(&f.registry, off).await.unwrap();
    for _ in 0..100 {
        steps(&f, &scrub, 1).await;
        f.clock.advance(DAY);
    }
    assert_eq!(scrub.counters().items(), 0);
    let pass = whole_pass(&f, &scrub).await;
    assert_eq!((pass.items, pass.is_asked_for), (3, true));
}

async fn a_request_ends_the_pass_under_way_and_the_next_follows_at_once(f: Fixture) {
    large_blobs(&f.registry, 10).await;
    let scrub = scrub(&f.registry).await;
    steps(&f, &scrub, 5).await;
    let slow = under_way(&f).await;
    assert!(!slow.is_asked_for);
    let asked = whole_pass(&f, &scrub).await;
    assert_eq!(asked.items, 10);
    assert!(asked.is_asked_for && asked.is_complete());
    // Otherwise what the request verified first would wait for longer than a period.
    steps(&f, &scrub, 5).await;
    let next = under_way(&f).await;
    assert!(!next.is_asked_for && next.id != slow.id);
}

async fn a_wall_clock_set_back_does_not_stop_a_pass(f: Fixture) {
    large_blobs(&f.registry, 20).await;
    steps(&f, &scrub(&f.registry).await, 3).await;
    execute(
        &f,
        "UPDATE scrub_passes SET started_at = started_at + 315360000000000",
    )
    .await;
    let scrub = scrub(&f.restarted().await).await;
    for _ in 0..27 * 24 {
        steps(&f, &scrub, 2).await;
        f.clock.advance(HOUR);
    }
    assert!(scrub.counters().items() >= 20);
}

on_both_engines!(
    the_rate_is_kept,
    a_large_blob_is_read_a_part_at_a_time,
    a_pass_is_spread_over_its_period,
    after_a_long_stop_it_makes_up_for_it,
    a_restart_goes_on_where_it_stopped,
    a_killed_process_repeats_half_a_minute_at_most,
    two_nodes_do_it_once,
    a_node_that_wakes_up_late_changes_nothing,
    a_healthy_blob_costs_no_write,
    switched_off_it_does_what_is_asked_for,
    a_request_ends_the_pass_under_way_and_the_next_follows_at_once,
    a_wall_clock_set_back_does_not_stop_a_pass,
);

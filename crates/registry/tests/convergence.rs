//! Regions that lose sight of one another converge, lose no push, and never show what they cannot serve.
//!
//! A model of the replicated state under random schedules: pushes, deletes, untags, repository deletes, partial
//! deliveries and copies, partitions and garbage collection in three regions with skewed clocks. It runs on the merge
//! rules and the clock of the product. What differs from a textbook add-wins set: dots are operation identifiers, a
//! put replaces the dot of its own origin, and a repository delete names the dots it saw.
//!
//! `LAZULI_CONVERGENCE_SCHEDULES` sets the number of schedules, `LAZULI_CONVERGENCE_SEED` the first seed.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "convergence/checks.rs"]
mod checks;
#[path = "convergence/model.rs"]
mod model;
#[path = "convergence/schedule.rs"]
mod schedule;

use model::Rules;
use schedule::{Stats, run};

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    let first = from_env("LAZULI_CONVERGENCE_SEED", 1);
    first..first + from_env("LAZULI_CONVERGENCE_SCHEDULES", default)
}

#[test]
fn regions_converge_and_lose_nothing() {
    let mut total = Stats::default();
    let schedules = seeds(2_000);
    for seed in schedules.clone() {
        match run(seed, Rules::default()) {
            Ok(stats) => total += stats,
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    println!("{} schedules: {total:?}", schedules.end - schedules.start);
    // The schedules must reach the interesting states, or the checks above prove nothing.
    let each = schedules.end - schedules.start;
    assert!(total.pushes > 10 * each && total.deleted_dots > 2 * each);
    assert!(total.superseded > each / 4 && total.waited > each / 4 && total.pending > each / 4);
}

/// How many of the schedules the checker finds fault with.
fn caught(rules: Rules) -> (u64, u64) {
    let schedules = 300;
    let caught = (1..=schedules)
        .filter(|seed| run(*seed, rules).is_err())
        .count();
    (caught as u64, schedules)
}

#[test]
fn delivery_without_causal_order_is_caught() {
    let (caught, of) = caught(Rules {
        causal: false,
        ..Rules::default()
    });
    assert!(caught * 20 >= of, "only {caught} of {of}");
}

#[test]
fn a_delete_that_removes_everything_is_caught() {
    let (caught, of) = caught(Rules {
        observed_only: false,
        ..Rules::default()
    });
    assert!(caught * 4 >= of, "only {caught} of {of}");
}

#[test]
fn manifests_visible_before_their_blobs_are_caught() {
    let (caught, of) = caught(Rules {
        two_phase: false,
        ..Rules::default()
    });
    assert!(caught * 4 >= of, "only {caught} of {of}");
}

//! The hybrid logical clock, whatever is asked of it in whatever order.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lazuli_db::clock::{Clock, ManualClock};
use lazuli_db::hlc::{Hlc, MAX_DRIFT, TooFarAhead, from_milliseconds, milliseconds};
use proptest::prelude::*;

const START_MS: i64 = 1_800_000_000_000;

#[derive(Debug, Clone)]
enum Step {
    Advance(u64),
    Tick,
    /// A tick after a version that differs from the clock by so many milliseconds.
    TickAfter(i64),
    /// Another node's timestamp that differs from the clock by so many milliseconds.
    Observe(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..50_000).prop_map(Step::Advance),
        Just(Step::Tick),
        Just(Step::Tick),
        (-600_000_i64..600_000).prop_map(Step::TickAfter),
        (-600_000_i64..600_000).prop_map(Step::Observe),
    ]
}

proptest! {
    #[test]
    fn ticks_grow_past_everything_seen(steps in prop::collection::vec(step(), 1..200)) {
        let clock = Arc::new(ManualClock::new(START_MS * 1000));
        let hlc = Hlc::new(clock.clone());
        let mut greatest = 0;
        for step in steps {
            let now = clock.now_us() / 1000;
            match step {
                Step::Advance(micros) => clock.advance(Duration::from_micros(micros)),
                Step::Tick => {
                    let tick = hlc.tick(None);
                    prop_assert!(tick > greatest);
                    prop_assert!(tick >= from_milliseconds(now));
                    // No further ahead than what was seen made it.
                    prop_assert!(tick == from_milliseconds(now) || tick == greatest + 1);
                    greatest = tick;
                }
                Step::TickAfter(offset) => {
                    let after = from_milliseconds(now + offset) + 7;
                    let tick = hlc.tick(Some(after));
                    prop_assert!(tick > greatest && tick > after);
                    greatest = tick;
                }
                Step::Observe(offset) => {
                    let seen = from_milliseconds(now + offset);
                    let limit = MAX_DRIFT.as_millis() as i64;
                    if offset > limit {
                        prop_assert_eq!(hlc.observe(seen), Err(TooFarAhead { ahead_ms: offset }));
                    } else {
                        prop_assert_eq!(hlc.observe(seen), Ok(()));
                        greatest = greatest.max(seen);
                    }
                }
            }
        }
    }

    #[test]
    fn milliseconds_survive(ms in 0_i64..(1 << 47), counter in 0_i64..(1 << 16)) {
        prop_assert_eq!(milliseconds(from_milliseconds(ms) + counter), ms);
    }
}

#[test]
fn threads_never_get_the_same_tick() {
    let hlc = Hlc::new(Arc::new(ManualClock::new(START_MS * 1000)));
    let ticks: Vec<Vec<i64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..20_000).map(|_| hlc.tick(None)).collect::<Vec<_>>()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(ticks.iter().all(|own| own.is_sorted_by(|a, b| a < b)));
    let all: BTreeSet<i64> = ticks.into_iter().flatten().collect();
    assert_eq!(all.len(), 80_000);
}

#[test]
fn a_timestamp_from_the_far_future_is_refused_and_forgotten() {
    let clock = Arc::new(ManualClock::new(START_MS * 1000));
    let hlc = Hlc::new(clock);
    assert!(hlc.observe(i64::MAX).is_err());
    assert_eq!(milliseconds(hlc.tick(None)), START_MS);
    assert_eq!(hlc.observe(i64::MIN), Ok(()));
}

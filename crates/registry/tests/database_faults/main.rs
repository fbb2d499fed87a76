//! Every write path with its 1st, 2nd, 3rd … statement failing, and its 1st, 2nd, 3rd … commit, before it is done and
//! after: nothing acknowledged is lost, nothing is half done, trying again works, and in the end nothing is left over.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;

mod paths;
mod site;

use std::collections::BTreeMap;

use lazuli_db::faults::{Fault, FaultPoint};

use paths::Path;
use site::{Engine, Site, View};

/// What can happen to a statement or a commit.
const FAULTS: [(FaultPoint, Fault); 5] = [
    (FaultPoint::Statement, Fault::Full),
    BROKEN,
    (FaultPoint::Commit, Fault::Full),
    (FaultPoint::Commit, Fault::Io),
    (FaultPoint::Commit, Fault::ConnectionLost),
];

/// SQLite has no connection that breaks.
const BROKEN: (FaultPoint, Fault) = (FaultPoint::Statement, Fault::ConnectionLost);

/// What a repository shows before the path and after it: the only two states anybody may ever see.
struct Sides {
    before: View,
    after: View,
}

async fn sides(site: &mut Site, path: Path) -> Sides {
    let name = format!("{path:?}-reference").to_lowercase();
    path.prepare(site, &name).await;
    let before = site.view(&name).await;
    path.run(&site.registry, &site.clock, &name).await.unwrap();
    let after = site.view(&name).await;
    Sides { before, after }
}

/// The path in a fresh repository, with the `n`-th operation failing. False: it has no `n`-th one.
async fn strike(
    site: &mut Site,
    path: Path,
    sides: &Sides,
    (point, fault): (FaultPoint, Fault),
    n: u32,
) -> bool {
    let name = format!("{path:?}-{point:?}-{fault:?}-{n}").to_lowercase();
    path.prepare(site, &name).await;
    site.trap.arm(point, n, fault);
    let outcome = path.run(&site.registry, &site.clock, &name).await;
    let struck = !site.trap.disarm();
    if !struck {
        outcome.unwrap();
        return false;
    }
    // What this process says, caches and all, and what another one finds.
    for is_new in [false, true] {
        if is_new {
            site.reopen().await;
        }
        let seen = site.view(&name).await;
        if outcome.is_ok() {
            assert_eq!(seen, sides.after, "{name}: acknowledged");
        } else {
            assert!(
                seen == sides.before || seen == sides.after,
                "{name}: half done after {outcome:?}: {seen:?}"
            );
        }
    }
    let again = path.run(&site.registry, &site.clock, &name).await;
    assert!(path.is_done(&again), "{name}: trying again: {again:?}");
    assert_eq!(site.view(&name).await, sides.after, "{name}: tried again");
    true
}

async fn every_operation_fails_once(engine: Engine) {
    let Some(mut site) = Site::open(engine).await else {
        return;
    };
    let mut strikes: BTreeMap<String, u32> = BTreeMap::new();
    for path in Path::ALL {
        let sides = sides(&mut site, path).await;
        assert!(
            sides.before != sides.after || path.is_invisible(),
            "{path:?} does nothing"
        );
        for (point, fault) in FAULTS {
            if engine == Engine::Sqlite && (point, fault) == BROKEN {
                continue;
            }
            let mut n = 1;
            while strike(&mut site, path, &sides, (point, fault), n).await {
                *strikes.entry(format!("{path:?} {point:?}")).or_default() += 1;
                n += 1;
            }
        }
        for point in [FaultPoint::Statement, FaultPoint::Commit] {
            let count = strikes.get(&format!("{path:?} {point:?}"));
            assert!(count.is_some(), "{path:?} has no {point:?} that could fail");
        }
        site.check_log().await;
    }
    println!("{strikes:?}");
    site.check_nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_and_commit_of_every_write_path_fails_once_on_sqlite() {
    every_operation_fails_once(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_and_commit_of_every_write_path_fails_once_on_postgresql() {
    every_operation_fails_once(Engine::Postgresql).await;
}

//! `cluster.staleness`: memory is asked without waiting, and is never older than that.

use std::sync::Arc;
use std::time::Duration;

use lazuli_db::clock::{Clock, SystemClock};
use lazuli_registry::Options;

use crate::common::*;

const STALENESS: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_at_most_that_old() {
    let Some(f) = Fixture::on_postgresql().await else {
        return;
    };
    let clock = Arc::new(SystemClock::new());
    let options = Options {
        staleness: STALENESS,
        ..options()
    };
    let node = f.node_with(clock.clone(), options).await;
    let (access, latest) = (pull("a"), tag("latest"));
    let mut from_memory = 0;
    for seed in ["u", "v", "w", "x", "y", "z"] {
        let (digest, _) = push_image(&f.registry, "a", "latest", seed).await;
        let acknowledged = clock.monotonic();
        loop {
            let asked = clock.monotonic();
            let found = match node.cached_manifest(&access, &latest) {
                Some(found) => {
                    from_memory += 1;
                    found
                }
                None => node.manifest(&access, &latest).await.unwrap(),
            };
            if asked > acknowledged + STALENESS {
                assert_eq!(found.digest, digest);
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(from_memory > 0, "without waiting");
}

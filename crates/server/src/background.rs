//! The work beside requests: each piece runs on, whatever happens to it, until the server stops.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lazuli_db::clock::Clock;
use lazuli_identity::Identity;
use lazuli_registry::Registry;
use lazuli_registry::gc::Gc;
use lazuli_registry::operations::sequencer::{self, Sequencer};
use lazuli_registry::scrub::Scrub;
use tokio::task::JoinSet;

use crate::config::Settings;

/// How often counted transfers are written to the database.
const TRANSFERS_FLUSH: Duration = Duration::from_secs(10);
/// How often the age of the signing keys is looked at.
const KEY_CHECK: Duration = Duration::from_hours(1);
/// How often the wall clock is compared with the time the server goes by, and a difference worth telling, in microseconds.
const CLOCK_CHECK: Duration = Duration::from_mins(1);
const CLOCK_TOLERANCE: i64 = 10_000_000;
/// How long work that broke off rests before it begins again.
const REST: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 5000 });

/// Work beside requests; it ends when this is dropped.
pub(crate) struct Background(JoinSet<()>);

impl Background {
    /// Starts all of it.
    pub(crate) fn start(
        settings: &Settings,
        registry: &Registry,
        identity: &Identity,
        gc: &Gc,
        scrub: &Scrub,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let mut work = Self(JoinSet::new());
        let log = registry.log().clone();
        work.keep("sequencer", move || {
            let holder = format!("{:016x}", log.unique_number());
            Sequencer::new(&log, &holder, sequencer::Options::default()).run()
        });
        let watched = clock.clone();
        work.keep("clock", move || watch_clock(watched.clone()));
        let (registry, clock) = (registry.clone(), clock.clone());
        work.keep("transfers", move || {
            let (registry, clock) = (registry.clone(), clock.clone());
            async move {
                let transfers = registry.transfers();
                transfers.run(registry.db(), &*clock, TRANSFERS_FLUSH).await;
            }
        });
        let (identity, lifetime) = (identity.clone(), settings.tokens.key_lifetime.0);
        work.keep("signing keys", move || {
            rotate_aged_keys(identity.clone(), lifetime)
        });
        // Switched off, both still do what is asked for.
        let gc = gc.clone();
        work.keep("garbage collection", move || {
            let gc = gc.clone();
            async move { gc.run().await }
        });
        let scrub = scrub.clone();
        work.keep("scrub", move || {
            let scrub = scrub.clone();
            async move { scrub.run().await }
        });
        work
    }

    /// Runs work that is not meant to end, again and again if it does.
    pub(crate) fn keep<F>(&mut self, name: &'static str, begin: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(async move {
            loop {
                // A task of its own, so that a panic ends that task only; it is aborted when the set is dropped.
                let mut task = JoinSet::new();
                task.spawn(begin());
                if let Some(Err(error)) = task.join_next().await {
                    tracing::error!(work = name, %error, "broke off and begins again; please report this");
                }
                tokio::time::sleep(REST).await;
            }
        });
    }

    /// Ends all of it and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

async fn rotate_aged_keys(identity: Identity, lifetime: Duration) {
    let mut checks = tokio::time::interval(KEY_CHECK);
    loop {
        checks.tick().await;
        match identity.rotate_aged_signing_keys(lifetime).await {
            Ok(0) => {}
            Ok(registries) => {
                tracing::info!(registries, "new signing keys, because of the old ones' age");
            }
            Err(error) => {
                tracing::warn!(%error, "signing keys could not be replaced; trying again in an hour");
            }
        }
    }
}

/// Tells when somebody sets the wall clock: the server goes on by the time it began with, because leases and tokens must
/// neither end early nor come back.
async fn watch_clock(clock: Arc<dyn Clock>) {
    let mut checks = tokio::time::interval(CLOCK_CHECK);
    let mut told = 0;
    loop {
        checks.tick().await;
        let ahead = clock.wall_ahead_us();
        if let Some(seconds) = worth_telling(ahead, &mut told) {
            match seconds {
                0 => tracing::info!(
                    "the system's clock and the time this server goes by agree again"
                ),
                1.. => tracing::warn!(
                    seconds,
                    "the system's clock was set forward; the server goes on by its own time until it is restarted"
                ),
                _ => tracing::warn!(
                    seconds,
                    "the system's clock was set back; the server goes on by its own time until it is restarted"
                ),
            }
        }
    }
}

/// Whole seconds, if the difference changed since it was told.
fn worth_telling(ahead: i64, told: &mut i64) -> Option<i64> {
    if (ahead - *told).abs() < CLOCK_TOLERANCE {
        return None;
    }
    *told = ahead;
    Some(ahead / 1_000_000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn a_clock_that_was_set_is_told_once() {
        let mut told = 0;
        assert_eq!(worth_telling(9_000_000, &mut told), None);
        assert_eq!(worth_telling(3_600_000_000, &mut told), Some(3600));
        assert_eq!(worth_telling(3_600_500_000, &mut told), None);
        assert_eq!(worth_telling(-20_000_000, &mut told), Some(-20));
        // Set right again.
        assert_eq!(worth_telling(0, &mut told), Some(0));
    }

    #[tokio::test]
    async fn work_that_breaks_off_begins_again_and_ends_with_the_server() {
        let (told, mut begun) = mpsc::unbounded_channel();
        let mut work = Background(JoinSet::new());
        let times = AtomicU32::new(0);
        work.keep("test", move || {
            let time = times.fetch_add(1, Ordering::Relaxed);
            told.send(time).unwrap();
            async move {
                match time {
                    0 => panic!("for the test"),
                    1 => {}
                    _ => std::future::pending().await,
                }
            }
        });
        for time in 0..3 {
            assert_eq!(begun.recv().await, Some(time));
        }
        work.stop().await;
        assert_eq!(
            begun.recv().await,
            None,
            "nothing holds the sender any more"
        );
    }
}

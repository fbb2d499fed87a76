//! Pushes of one manifest, one after the other in this process.
//!
//! Each push of a manifest replaces the row that says which operation keeps it alive, so that pushes of one manifest at the
//! same time (a build that sets many tags) would collide on a database server, and be tried again with the work of the first
//! attempt wasted. Whatever other nodes do, the database keeps them apart; this only saves attempts, so nobody waits long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lazuli_wire::oci::{Digest, RepositoryName};
use tokio::sync::OwnedMutexGuard;

/// How long a push waits for the others before it goes beside them: one may hang, on a connection that is dead.
const PATIENCE: Duration = Duration::from_millis(250);

type Key = (i64, RepositoryName, Digest);
type Waiting = Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>;

/// Who pushes which manifest now. One entry for each of them.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    waiting: Arc<Waiting>,
}

/// Ends with the push.
#[derive(Debug)]
pub(crate) struct Turn {
    key: Key,
    waiting: Arc<Waiting>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until nobody else here pushes this manifest, or for long enough.
    pub(crate) async fn take(&self, registry: i64, name: &RepositoryName, digest: Digest) -> Turn {
        let mut turn = Turn {
            key: (registry, name.clone(), digest),
            waiting: self.waiting.clone(),
            held: None,
        };
        let queue = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.entry(turn.key.clone()).or_default().clone()
        };
        turn.held = tokio::time::timeout(PATIENCE, queue.lock_owned())
            .await
            .ok();
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits has it too.
        if waiting
            .get(&self.key)
            .is_some_and(|queue| Arc::strong_count(queue) == 1)
        {
            waiting.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use lazuli_wire::oci::Algorithm;

    use super::*;

    #[tokio::test]
    async fn one_manifest_is_pushed_once_at_a_time_and_nobody_waits_for_ever() {
        let turns = Turns::default();
        let name = RepositoryName::parse("a").unwrap();
        let digest = |text: &str| Digest::of(Algorithm::Sha256, text.as_bytes());
        let first = turns.take(1, &name, digest("x")).await;
        assert!(first.held.is_some());
        let begun = tokio::time::Instant::now();
        assert!(turns.take(1, &name, digest("y")).await.held.is_some());
        assert!(turns.take(2, &name, digest("x")).await.held.is_some());
        assert!(begun.elapsed() < PATIENCE, "others wait for nothing");
        assert!(turns.take(1, &name, digest("x")).await.held.is_none());
        assert!(begun.elapsed() >= PATIENCE);
        let next = turns.take(1, &name, digest("x"));
        let (next, ()) = tokio::join!(next, async { drop(first) });
        assert!(next.held.is_some());
        drop(next);
        assert!(turns.waiting.lock().unwrap().is_empty(), "nothing is left");
    }
}

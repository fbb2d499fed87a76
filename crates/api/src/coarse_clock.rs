//! A clock that costs a load.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::time::Instant;

/// Milliseconds since the server started, updated by the supervisor.
#[derive(Debug)]
pub(crate) struct CoarseClock {
    start: Instant,
    pub(crate) now: AtomicU64,
}

impl CoarseClock {
    pub(crate) fn new() -> Self {
        // Time begins at 1: 0 means "not" in the fields that hold a time.
        Self {
            start: Instant::now(),
            now: AtomicU64::new(1),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    pub(crate) fn update(&self) -> u64 {
        let now = self.start.elapsed().as_millis() as u64 + 1;
        self.now.store(now, Relaxed);
        now
    }
}

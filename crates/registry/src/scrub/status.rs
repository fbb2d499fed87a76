//! What the scrub did and is at.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{LEASE, Options, Pass, sql};
use crate::{Registry, Result};

/// The state of the scrub.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Whether some process is reading now.
    pub is_running: bool,
    /// Whether a pass was asked for that has not begun.
    pub is_requested: bool,
    /// The pass under way.
    pub pass: Option<Pass>,
    /// The pass that ended last.
    pub last: Option<Pass>,
    /// How late the pass under way is.
    pub behind: Duration,
    /// When it will end, in microseconds since the epoch.
    pub expected_end: Option<i64>,
}

pub(super) async fn read(registry: &Registry, options: &Options) -> Result<Status> {
    let now = registry.now();
    let (is_running, is_requested, pass, last) = registry
        .inner
        .db
        .read(move |tx| {
            Ok::<_, lazuli_db::Error>((
                crate::gc::sql::is_lease_held(tx, LEASE, now)?,
                sql::request(tx)?.is_some(),
                sql::open_pass(tx)?,
                sql::last_pass(tx)?,
            ))
        })
        .await?;
    let time = options.pass_time();
    Ok(Status {
        is_running,
        is_requested,
        behind: pass
            .as_ref()
            .map_or(Duration::ZERO, |pass| pass.behind(now, time)),
        expected_end: pass
            .as_ref()
            .map(|pass| pass.expected_end(now, time, options.rate)),
        pass,
        last,
    })
}

/// What one process counted since it began, and what it last saw of the passes of all.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) items: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) damaged: AtomicU64,
    pub(super) replaced: AtomicU64,
    pub(super) unavailable: AtomicU64,
    pub(super) waiting: AtomicU64,
    /// Millionths.
    pub(super) progress: AtomicU64,
    pub(super) completed_at: AtomicI64,
    pub(super) behind_us: AtomicI64,
}

impl Counters {
    /// Blobs and manifests verified.
    pub fn items(&self) -> u64 {
        self.items.load(Relaxed)
    }

    /// Bytes hashed.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Blobs and manifests found damaged.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Relaxed)
    }

    /// Damaged blobs for which there was a good copy.
    pub fn replaced(&self) -> u64 {
        self.replaced.load(Relaxed)
    }

    /// Times that the store did not answer.
    pub fn unavailable(&self) -> u64 {
        self.unavailable.load(Relaxed)
    }

    /// Blobs without bytes that wait for a push, as the last complete pass met them.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// How far the pass under way is, between 0 and 1; 1 between two passes.
    pub fn progress(&self) -> f64 {
        self.progress.load(Relaxed) as f64 / 1e6
    }

    /// When the last complete pass ended, in microseconds since the epoch; `None` before there was one.
    pub fn completed_at(&self) -> Option<i64> {
        let at = self.completed_at.load(Relaxed);
        (at > 0).then_some(at)
    }

    /// How late the pass under way is.
    pub fn behind(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.behind_us.load(Relaxed)).unwrap_or(0))
    }

    pub(super) fn see(&self, open: Option<&Pass>, last: Option<&Pass>, now: i64, time: Duration) {
        let progress = open.map_or(1.0, Pass::progress);
        self.progress.store((progress * 1e6) as u64, Relaxed);
        let behind = open.map_or(Duration::ZERO, |pass| pass.behind(now, time));
        self.behind_us.store(super::micros(behind), Relaxed);
        if let Some(last) = last.filter(|last| last.is_complete()) {
            self.completed_at
                .store(last.finished_at.unwrap_or(0), Relaxed);
            self.waiting.store(last.waiting, Relaxed);
        }
    }
}

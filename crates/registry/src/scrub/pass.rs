//! A pass over all stored bytes, as its row tells it.

use std::time::Duration;

use super::micros;
use super::order::{BLOBS_PART, Cursor, MANIFESTS};

/// Most findings kept as text.
const FINDINGS: usize = 50;

/// A pass over all stored bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Pass {
    /// Identifies the pass.
    pub id: i64,
    /// In microseconds since the epoch.
    pub started_at: i64,
    /// In microseconds since the epoch; `None` while it is under way.
    pub finished_at: Option<i64>,
    /// Whether somebody asked for it: then it goes as fast as it may.
    pub is_asked_for: bool,
    /// Blobs and manifests verified.
    pub items: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Blobs and manifests found damaged.
    pub damaged: u64,
    /// Blobs whose damaged bytes were put aside before and that nobody has pushed since.
    pub waiting: u64,
    /// Damaged blobs for which the store had another, good copy.
    pub replaced: u64,
    /// Blobs that could not be looked at, again and again.
    pub skipped: u64,
    /// The first findings, as they were logged.
    pub findings: Vec<String>,
    pub(super) cursor: Cursor,
}

impl Pass {
    pub(super) fn new(id: i64, started_at: i64, is_asked_for: bool) -> Self {
        Self {
            id,
            started_at,
            finished_at: None,
            is_asked_for,
            items: 0,
            bytes: 0,
            damaged: 0,
            waiting: 0,
            replaced: 0,
            skipped: 0,
            findings: Vec::new(),
            cursor: Cursor::start(),
        }
    }

    pub(super) fn find(&mut self, text: &str) {
        if self.findings.len() < FINDINGS {
            self.findings.push(text.replace('\n', " "));
        }
    }

    /// Whether it came to its end. One that is not complete gave way to one that was asked for.
    pub fn is_complete(&self) -> bool {
        self.finished_at.is_some() && self.cursor.slice > MANIFESTS
    }

    /// The part of the stored bytes that is verified, between 0 and 1: digests are evenly spread.
    pub fn progress(&self) -> f64 {
        if self.is_complete() {
            return 1.0;
        }
        self.cursor.progress()
    }

    /// The part of the pass that is due by its time, which is `time` from begin to end.
    pub(super) fn due(&self, now: i64, time: Duration) -> f64 {
        if self.is_asked_for {
            return 1.0;
        }
        let elapsed = now.saturating_sub(self.started_at) as f64;
        (elapsed / micros(time).max(1) as f64).clamp(0.0, 1.0)
    }

    /// A wall clock that was set back must not make the pass stand still: it goes on from where it is.
    /// Whether that was so.
    pub(super) fn begin_in_the_past(&mut self, now: i64, time: Duration) -> bool {
        let is_ahead = self.started_at > now;
        if is_ahead {
            let done = self.cursor.progress() * micros(time) as f64;
            self.started_at = now.saturating_sub(done as i64);
        }
        is_ahead
    }

    /// How long ago what comes next was due; zero when the pass keeps its time.
    pub fn behind(&self, now: i64, time: Duration) -> Duration {
        if self.is_asked_for || self.finished_at.is_some() {
            return Duration::ZERO;
        }
        let late = (self.due(now, time) - self.cursor.progress()).max(0.0);
        // One slice is as exact as it is known.
        if late < 2.0 / super::order::SLICES as f64 || self.cursor.slice >= MANIFESTS {
            return Duration::ZERO;
        }
        time.mul_f64(late)
    }

    /// When it will end, as far as one can tell by what it met until now, in microseconds since the epoch.
    pub fn expected_end(&self, now: i64, time: Duration, rate: u64) -> i64 {
        let done = self.progress();
        let left = if done > 0.001 {
            self.bytes as f64 / done * (BLOBS_PART - done).max(0.0)
        } else {
            0.0
        };
        let needed = now.saturating_add((left / rate.max(1) as f64 * 1e6) as i64);
        if self.is_asked_for {
            return needed;
        }
        needed.max(self.started_at.saturating_add(micros(time)))
    }
}

//! What was done, and what is missing.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lazuli_outbound::distribution;

use crate::commands::ticker::Ticker;

/// Failures of the network in a row after which it is given up.
const MOST_IN_A_ROW: u32 = 10;

/// A count.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One kind of thing.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) copied: Count,
    pub(super) there: Count,
}

pub(super) struct Report {
    pub(super) tags: Counts,
    pub(super) manifests: Counts,
    pub(super) blobs: Counts,
    pub(super) mounted: Count,
    pub(super) bytes: Count,
    pub(super) verified: Count,
    failures: Count,
    in_a_row: AtomicU32,
    stopped: AtomicBool,
    repository: Mutex<String>,
    ticker: Arc<Ticker>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            tags: Counts::default(),
            manifests: Counts::default(),
            blobs: Counts::default(),
            mounted: Count::default(),
            bytes: Count::default(),
            verified: Count::default(),
            failures: Count::default(),
            in_a_row: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            repository: Mutex::default(),
            ticker: Ticker::new(),
        }
    }

    /// A repository's turn.
    pub(super) fn begin(&self, line: &str) {
        *self
            .repository
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = printable(line);
        self.tick();
    }

    /// Something went well.
    pub(super) fn went_well(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
        self.tick();
    }

    pub(super) fn tick(&self) {
        self.ticker.tell(|| {
            let repository = self
                .repository
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            format!(
                "{repository}: {} manifests, {} blobs, {} MiB copied",
                self.manifests.copied.get(),
                self.blobs.copied.get(),
                self.bytes.get() >> 20
            )
        });
    }

    /// Names what is missing, and why.
    pub(super) fn fail(&self, what: &str, error: &anyhow::Error) {
        self.failures.add(1);
        self.ticker.end();
        let line = printable(&format!("missing: {what}: {error:#}"));
        let _ = writeln!(std::io::stderr(), "{line}");
        let of_network = error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<distribution::Error>())
            .any(distribution::Error::is_transient);
        if of_network && self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1 == MOST_IN_A_ROW {
            self.stopped.store(true, Ordering::Relaxed);
            let _ = writeln!(
                std::io::stderr(),
                "the network or a registry is away: given up"
            );
        }
    }

    /// Whether it was given up.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Ends the progress; how much is missing.
    pub(super) fn end(&self) -> u64 {
        self.ticker.end();
        self.failures.get()
    }

    pub(super) fn summary(&self, dry_run: bool) -> String {
        let verb = if dry_run { "to copy" } else { "copied" };
        let mut out = format!(
            "{verb}: {} tags, {} manifests, {} blobs ({} bytes)",
            self.tags.copied.get(),
            self.manifests.copied.get(),
            self.blobs.copied.get(),
            self.bytes.get()
        );
        let _ = write!(
            out,
            "\nthere already: {} tags, {} manifests, {} blobs",
            self.tags.there.get(),
            self.manifests.there.get(),
            self.blobs.there.get()
        );
        if !dry_run {
            let _ = write!(
                out,
                "\nmounted: {} blobs\nverified: {} tags and manifests",
                self.mounted.get(),
                self.verified.get()
            );
        }
        out
    }
}

/// Names come from elsewhere, and go to a terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

//! What is run, and what a clean run says.

use std::path::PathBuf;
use std::time::Duration;

use super::damage::Damage;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's program.
    pub binary: PathBuf,
    /// Where its data goes; the folder `data` in it must be new.
    pub folder: PathBuf,
    /// How many kills.
    pub rounds: u64,
    /// What decides everything but timing.
    pub seed: u64,
    /// The longest load before a kill.
    pub longest: Duration,
    /// Damage to be done after the last kill.
    pub damage: Option<Damage>,
    /// Whether the machine loses power at each kill: only in a namespace made by [`power::inside`](super::power::inside).
    pub loses_power: bool,
    /// Whether its clock is set, before each start and under load: only where there is `libfaketime`.
    pub sets_clock: bool,
    /// Further variables of the server's environment.
    pub environment: Vec<(&'static str, String)>,
}

impl Options {
    /// The defaults.
    pub fn new(binary: PathBuf, folder: PathBuf, seed: u64) -> Self {
        Self {
            binary,
            folder,
            rounds: 200,
            seed,
            longest: Duration::from_secs(2),
            damage: None,
            loses_power: false,
            sets_clock: false,
            environment: Vec::new(),
        }
    }
}

/// What a clean run did.
#[derive(Debug)]
pub struct Report {
    /// What happened, and how often.
    pub counts: std::collections::BTreeMap<&'static str, u64>,
    /// The longest time from a start to readiness.
    pub slowest_start: Duration,
    /// What `lazuli fsck` said at the end.
    pub fsck: String,
}

impl Report {
    /// How many changes were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        const KINDS: [&str; 8] = [
            "blobs",
            "mounts",
            "manifests",
            "deleted tags",
            "deleted manifests",
            "deleted blobs",
            "chunks",
            "cancelled sessions",
        ];
        KINDS.iter().filter_map(|kind| self.counts.get(kind)).sum()
    }
}

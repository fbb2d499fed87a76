//! The machine's clock, as one server sees it, set to another time while it runs and before it starts: `libfaketime` answers
//! in place of the wall clock. Clocks that measure durations are left alone, as the kernel does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};

use super::random::Random;

/// What the clock is set to: right, off by so many seconds, or another year.
const TIMES: [&str; 9] = [
    "+0",
    "+0",
    "+3600",
    "-3600",
    "+86400",
    "-86400",
    "+315360000",
    "@1970-01-02 00:00:00",
    "@2000-01-01 00:00:00",
];

/// Twenty years on: after every other one.
pub(super) const LAST: &str = "+630720000";

/// Where Debian's package `libfaketime` puts it, by architecture.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// Where `libfaketime` is, if it is installed.
pub fn library() -> Option<&'static str> {
    LIBRARIES
        .into_iter()
        .find(|library| Path::new(library).exists())
}

/// One of the times.
pub(super) fn time(random: &mut Random) -> &'static str {
    random.pick(&TIMES).copied().unwrap_or(TIMES[0])
}

/// A clock that can be set.
#[derive(Debug)]
pub struct SetClock {
    file: PathBuf,
    /// How often it was set.
    changes: AtomicUsize,
}

impl SetClock {
    /// One that is right as yet, and is set by that file.
    ///
    /// # Errors
    /// Without `libfaketime`, or when the file cannot be written.
    pub fn new(file: &Path) -> Result<Self> {
        let clock = Self {
            file: file.to_owned(),
            changes: AtomicUsize::new(0),
        };
        clock.set_to("+0")?;
        Ok(clock)
    }

    /// What makes a server go by it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", library().unwrap_or_default().to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// Sets it to any time.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, random: &mut Random) -> Result<()> {
        self.set_to(time(random))
    }

    /// Sets it to a time as `faketime` writes them: `+3600`, `@1970-01-02 00:00:00`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_to(&self, time: &str) -> Result<()> {
        ensure!(library().is_some(), "libfaketime is not installed");
        // As a whole: the server may read it at any moment.
        let number = self.changes.fetch_add(1, Ordering::SeqCst);
        let fresh = self.file.with_extension(format!("new{number}"));
        std::fs::write(&fresh, format!("{time}\n"))?;
        Ok(std::fs::rename(&fresh, &self.file)?)
    }
}

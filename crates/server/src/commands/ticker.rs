//! Progress on a terminal: one line that changes. Elsewhere a line now and then.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub(crate) struct Ticker {
    state: Mutex<(Instant, bool)>,
    is_terminal: bool,
}

impl Ticker {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new((Instant::now(), false)),
            is_terminal: std::io::stderr().is_terminal(),
        })
    }

    /// Shows the line that `line` makes, if it is time for one.
    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = Duration::from_millis(if self.is_terminal { 200 } else { 10_000 });
        if state.0.elapsed() < pause {
            return;
        }
        *state = (Instant::now(), true);
        let line = line();
        let mut out = std::io::stderr().lock();
        let _ = if self.is_terminal {
            write!(out, "\r\x1b[K{line}")
        } else {
            writeln!(out, "{line}")
        };
    }

    /// Leaves the line.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_terminal && std::mem::take(&mut state.1) {
            let _ = writeln!(std::io::stderr());
        }
    }
}

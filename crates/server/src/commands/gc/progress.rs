//! How far a pass is: one line that changes on a terminal, else a line now and then.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use lazuli_registry::gc::{Phase, Run};
use tokio::time::Instant;

use super::describe;

/// How often a line is written where it cannot change.
const LINE: Duration = Duration::from_secs(10);
/// After that long it is said that no server has begun.
const WAITING: Duration = Duration::from_secs(30);

pub(super) struct Progress {
    is_shown: bool,
    is_terminal: bool,
    /// What was written last, and when.
    last: Option<(Phase, Instant)>,
    /// When the present part was seen first, and how much of it was done then.
    since: Option<(Phase, Instant, u64)>,
    said_waiting: bool,
}

impl Progress {
    pub(super) fn new(is_shown: bool) -> Self {
        Self {
            is_shown,
            is_terminal: std::io::stdout().is_terminal(),
            last: None,
            since: None,
            said_waiting: false,
        }
    }

    pub(super) fn show(&mut self, run: Option<&Run>) -> std::io::Result<()> {
        let Some(run) = run.filter(|run| self.is_shown && run.finished_at.is_none()) else {
            return Ok(());
        };
        let now = Instant::now();
        let (phase, begun, done) = *self.since.get_or_insert((run.phase, now, run.phase_done));
        if phase != run.phase {
            self.since = Some((run.phase, now, run.phase_done));
        }
        let left = time_left(run, now.duration_since(begun), done).filter(|_| phase == run.phase);
        let mut out = std::io::stdout().lock();
        let is_time = self
            .last
            .is_none_or(|(shown, at)| shown != run.phase || at.elapsed() >= LINE);
        if self.is_terminal {
            write!(out, "\r\x1b[K{}", describe::progress(run, left))?;
            self.last = Some((run.phase, now));
        } else if is_time {
            writeln!(out, "{}", describe::progress(run, left))?;
            self.last = Some((run.phase, now));
        }
        out.flush()
    }

    /// Says once that nobody has begun.
    pub(super) fn wait_for_server(&mut self, waited: Duration) -> std::io::Result<()> {
        if self.is_shown && waited > WAITING && !std::mem::replace(&mut self.said_waiting, true) {
            writeln!(
                std::io::stdout(),
                "asked for; no server has begun yet. The next one that runs will."
            )?;
        }
        Ok(())
    }

    /// Leaves the line.
    pub(super) fn end(&self) -> std::io::Result<()> {
        if self.is_terminal && self.last.is_some() {
            writeln!(std::io::stdout())?;
        }
        Ok(())
    }
}

/// How long the present part still takes, if it goes on as it went since it was seen first.
fn time_left(run: &Run, elapsed: Duration, done_before: u64) -> Option<Duration> {
    let done = run
        .phase_done
        .checked_sub(done_before)
        .filter(|done| *done > 0)?;
    let left = run.phase_total?.saturating_sub(run.phase_done);
    Some(elapsed.mul_f64(left as f64 / done as f64))
}

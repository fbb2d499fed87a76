//! Log lines: text or JSON on standard error, with a level that can change while the server runs.
//!
//! A line is a write to memory; one thread writes what has gathered to standard error, so that a request never waits
//! for a terminal or a pipe. If standard error is so slow that [`CAPACITY`] bytes gather, further lines are dropped and
//! counted. A line may reach standard error [`GATHER`] after its event, except for warnings and errors.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use crate::config::{self, LogFormat};

/// Bytes of log lines that may wait for standard error.
const CAPACITY: usize = 1 << 20;
/// How long lines gather before they are written together.
const GATHER: Duration = Duration::from_millis(20);

/// The log of this process. Dropping it writes what is left.
pub(crate) struct Logging {
    level: reload::Handle<EnvFilter, Registry>,
    lines: Lines,
    writer: Option<JoinHandle<()>>,
}

impl Logging {
    /// Starts to log.
    pub(crate) fn start(log: &config::Log) -> anyhow::Result<Logging> {
        let (filter, handle) = reload::Layer::new(filter(log)?);
        let lines = Lines::default();
        let text = || fmt::layer().with_writer(lines.clone());
        let layer = match log.format {
            LogFormat::Text => text().with_target(true).boxed(),
            LogFormat::Json => text()
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .boxed(),
        };
        tracing_subscriber::registry()
            .with(layer.with_filter(filter))
            .try_init()?;
        let writer = {
            let lines = lines.clone();
            std::thread::Builder::new()
                .name("log".to_owned())
                .spawn(move || lines.write_all_to(&mut io::stderr()))?
        };
        Ok(Logging {
            level: handle,
            lines,
            writer: Some(writer),
        })
    }

    /// Applies other levels to a running server.
    pub(crate) fn reload(&self, log: &config::Log) -> anyhow::Result<()> {
        self.level.reload(filter(log)?)?;
        Ok(())
    }
}

/// The access log has a switch of its own: a quiet server may still say who pulled what.
fn filter(log: &config::Log) -> anyhow::Result<EnvFilter> {
    let access = if log.access { "info" } else { "off" };
    Ok(EnvFilter::try_new(format!(
        "{},access={access}",
        log.level.0
    ))?)
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.lines.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    dropped: u64,
    urgent: bool,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    gathered: Mutex<Gathered>,
    changed: Condvar,
}

/// The lines that wait for standard error.
#[derive(Clone, Default)]
struct Lines(Arc<Shared>);

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        // Nothing that can panic happens under the lock, and a log must go on in any case.
        self.0
            .gathered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8], urgent: bool) {
        let mut gathered = self.lock();
        if gathered.bytes.len() + line.len() > CAPACITY {
            gathered.dropped += 1;
            return;
        }
        let wake = gathered.bytes.is_empty() || (urgent && !gathered.urgent);
        gathered.bytes.extend_from_slice(line);
        gathered.urgent |= urgent;
        drop(gathered);
        if wake {
            self.0.changed.notify_one();
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.0.changed.notify_one();
    }

    /// Writes lines until the log is closed and nothing is left.
    fn write_all_to(&self, out: &mut dyn Write) {
        let mut batch = Vec::new();
        loop {
            let mut gathered = self.lock();
            while gathered.bytes.is_empty() && !gathered.closed {
                gathered = self
                    .0
                    .changed
                    .wait(gathered)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let wait_for_more =
                |g: &mut Gathered| !g.urgent && !g.closed && g.bytes.len() < CAPACITY / 2;
            gathered = self
                .0
                .changed
                .wait_timeout_while(gathered, GATHER, wait_for_more)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            std::mem::swap(&mut gathered.bytes, &mut batch);
            let (dropped, done) = (std::mem::take(&mut gathered.dropped), gathered.closed);
            gathered.urgent = false;
            drop(gathered);
            let _ = out.write_all(&batch);
            if dropped > 0 {
                let _ = writeln!(
                    out,
                    "{dropped} log lines were dropped: standard error is too slow"
                );
            }
            batch.clear();
            // A burst must not keep its memory for ever.
            batch.shrink_to(64 << 10);
            if done {
                let _ = out.flush();
                return;
            }
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            lines: self,
            urgent: false,
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line {
            lines: self,
            urgent: *meta.level() <= Level::WARN,
        }
    }
}

/// Takes one event's line: the formatter writes each event with one call.
struct Line<'a> {
    lines: &'a Lines,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.push(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn every_line_is_written_in_order_by_the_time_the_log_is_closed() {
        let lines = Lines::default();
        let writer = {
            let lines = lines.clone();
            std::thread::spawn(move || {
                let mut out = Vec::new();
                lines.write_all_to(&mut out);
                out
            })
        };
        let mut expected = String::new();
        for n in 0..1000 {
            let line = format!("line {n}\n");
            lines.push(line.as_bytes(), n % 100 == 0);
            expected += &line;
        }
        lines.close();
        assert_eq!(String::from_utf8(writer.join().unwrap()).unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_is_counted_and_said() {
        let lines = Lines::default();
        let line = [b'x'; 1000];
        for _ in 0..2000 {
            lines.push(&line, false);
        }
        lines.close();
        let mut out = Vec::new();
        lines.write_all_to(&mut out);
        assert!(out.len() <= CAPACITY + 100);
        let kept = CAPACITY / line.len();
        assert!(
            out.ends_with(
                format!(
                    "{} log lines were dropped: standard error is too slow\n",
                    2000 - kept
                )
                .as_bytes()
            )
        );
    }
}

//! `lazuli scrub`: how far the verification of all stored bytes is, and a pass by hand.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{ArgMatches, Command};
use lazuli_registry::scrub::{Options, Pass, Scrub, Status};

use super::gc::{bytes, time};
use super::opened::{Duty, Opened};
use crate::config::Given;
use crate::{peer, scrubbing};

const EXAMPLES: &str = "\
Examples:
  lazuli scrub status        how far it is and what it found; works beside a running server
  lazuli scrub run           verify everything now, as fast as scrub.rate allows; a running server does it
  lazuli scrub run --watch   and show how far it is until the end

A server reads every stored byte again within scrub.period. Damaged bytes are put aside and never served; a push of \
the same content heals. Exit code 4: damage was found that no good copy replaced.";

/// How often progress is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// There is damage.
#[derive(Debug, thiserror::Error)]
#[error("there is damage that only a push heals: {0} blobs or manifests")]
pub(crate) struct Damaged(u64);

pub(crate) fn command() -> Command {
    let duty = Duty {
        name: "scrub",
        about: "Show or run the verification of all stored bytes",
        status: "Show how far it is and what it found",
        run: "Verify everything now",
        examples: EXAMPLES,
    };
    duty.command()
}

async fn status_of(opened: &Opened) -> anyhow::Result<Status> {
    let options = scrubbing::options(&opened.settings);
    Ok(Scrub::status(&opened.registry, &options).await?)
}

/// `lazuli scrub status`
pub(crate) async fn status(given: &Given) -> anyhow::Result<()> {
    let opened = Opened::new(given).await?;
    let options = scrubbing::options(&opened.settings);
    let text = describe(&status_of(&opened).await?, &options);
    std::io::stdout().write_all(text.as_bytes())?;
    opened.leave().await;
    Ok(())
}

/// `lazuli scrub run`
pub(crate) async fn run(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let opened = Opened::new(given).await?;
    // What is repaired has to be changed in the memory of a running server: then the server does it.
    let held = opened.lock()?;
    let before = status_of(&opened).await?.last.map(|pass| pass.id);
    let scrub = match held {
        Some(_) => {
            let options = scrubbing::options(&opened.settings);
            let peer = peer::open(&opened.settings)?;
            Some(Scrub::open_with(&opened.registry, options, peer).await?)
        }
        None => None,
    };
    Scrub::request(&opened.registry).await?;
    let watch = matches.get_flag("watch");
    if scrub.is_none() && !watch {
        writeln!(
            std::io::stdout(),
            "The running server begins within seconds; `lazuli scrub status` shows how far it is."
        )?;
        return opened.close().await;
    }
    let pass = to_the_end(&opened, scrub.as_ref(), before, watch).await?;
    if let Some(scrub) = scrub {
        scrub.close().await?;
    }
    std::io::stdout().write_all(describe_pass("verified", &pass).as_bytes())?;
    opened.close().await?;
    match (pass.damaged + pass.waiting).saturating_sub(pass.replaced) {
        0 => Ok(()),
        damaged => Err(Damaged(damaged).into()),
    }
}

/// Works, or waits for the server that does, until a pass that was asked for has ended.
async fn to_the_end(
    opened: &Opened,
    scrub: Option<&Scrub>,
    before: Option<i64>,
    watch: bool,
) -> anyhow::Result<Pass> {
    let mut progress = Progress::new(watch);
    let mut looked = tokio::time::Instant::now();
    loop {
        let wait = match scrub {
            Some(scrub) => scrub.step().await?.min(LOOK),
            None => LOOK,
        };
        // A step may be followed by the next at once.
        if wait >= LOOK || looked.elapsed() >= LOOK {
            let status = status_of(opened).await?;
            let is_under_way =
                status.is_requested || status.pass.as_ref().is_some_and(|pass| pass.is_asked_for);
            if let Some(last) = status.last.filter(|_| !is_under_way)
                && Some(last.id) != before
                && last.is_complete()
            {
                progress.end()?;
                return Ok(last);
            }
            progress.show(status.pass.as_ref())?;
            looked = tokio::time::Instant::now();
        }
        tokio::time::sleep(wait).await;
    }
}

/// One line that changes on a terminal, else a line now and then.
struct Progress {
    is_shown: bool,
    is_terminal: bool,
    last: Option<(tokio::time::Instant, u64)>,
    shown_at: Option<u64>,
}

impl Progress {
    fn new(is_shown: bool) -> Self {
        Self {
            is_shown,
            is_terminal: std::io::stdout().is_terminal(),
            last: None,
            shown_at: None,
        }
    }

    fn show(&mut self, pass: Option<&Pass>) -> std::io::Result<()> {
        let Some(pass) = pass.filter(|pass| self.is_shown && pass.is_asked_for) else {
            return Ok(());
        };
        let now = tokio::time::Instant::now();
        let rate = self.last.map_or(0.0, |(at, before)| {
            pass.bytes.saturating_sub(before) as f64 / now.duration_since(at).as_secs_f64().max(0.1)
        });
        self.last = Some((now, pass.bytes));
        let percent = (pass.progress() * 100.0) as u64;
        let mut out = std::io::stdout().lock();
        if self.is_terminal {
            write!(out, "\r{}   ", progress_line(pass, rate as u64))?;
            self.shown_at = Some(percent);
        } else if self.shown_at.is_none_or(|shown| percent >= shown + 5) {
            writeln!(out, "{}", progress_line(pass, rate as u64))?;
            self.shown_at = Some(percent);
        }
        out.flush()
    }

    fn end(&self) -> std::io::Result<()> {
        if self.is_terminal && self.shown_at.is_some() {
            writeln!(std::io::stdout())?;
        }
        Ok(())
    }
}

fn progress_line(pass: &Pass, rate: u64) -> String {
    format!(
        "{:5.1} %  {}  {}/s  {} damaged",
        pass.progress() * 100.0,
        bytes(pass.bytes),
        bytes(rate),
        pass.damaged
    )
}

fn describe(status: &Status, options: &Options) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<15}{}, at most {}/s",
        "reading now",
        if status.is_running { "yes" } else { "no" },
        bytes(options.rate)
    );
    if status.is_requested {
        let _ = writeln!(out, "{:<15}a pass begins within seconds", "asked for");
    }
    match &status.pass {
        Some(pass) => {
            out.push_str(&describe_pass("pass", pass));
            let end = status.expected_end.map(time).unwrap_or_default();
            let late = match status.behind.as_secs() / 3600 {
                0 => String::new(),
                hours => format!(", {hours} hours behind its time"),
            };
            let _ = writeln!(out, "{:<15}{end}{late}", "expected end");
        }
        None => {
            let _ = writeln!(out, "{:<15}none under way", "pass");
        }
    }
    match &status.last {
        Some(last) => out.push_str(&describe_pass("last pass", last)),
        None => {
            let _ = writeln!(out, "{:<15}none yet", "last pass");
        }
    }
    out
}

fn describe_pass(name: &str, pass: &Pass) -> String {
    let state = match pass.finished_at {
        Some(end) if pass.is_complete() => format!("complete at {}", time(end)),
        Some(end) => format!("gave way at {} to one that was asked for", time(end)),
        None if pass.is_asked_for => format!("{:.1} % done, asked for", pass.progress() * 100.0),
        None => format!("{:.1} % done", pass.progress() * 100.0),
    };
    let mut out = format!(
        "{name:<15}begun {}, {state}: {} blobs and manifests, {}\n{:<15}{} damaged, {} waiting for a push, {} replaced by a good \
         copy, {} could not be looked at\n",
        time(pass.started_at),
        pass.items,
        bytes(pass.bytes),
        "",
        pass.damaged,
        pass.waiting,
        pass.replaced,
        pass.skipped
    );
    for finding in &pass.findings {
        let _ = writeln!(out, "  {finding}");
    }
    out
}

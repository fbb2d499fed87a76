//! `lazuli gc`: what garbage collection did and has to do, and a pass by hand.

mod describe;
mod progress;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{ArgMatches, Command};
use lazuli_registry::gc::{Gc, Hurried, Run, Status};
use tokio::time::Instant;

use super::opened::{Duty, Opened};
use crate::config::Given;
use crate::wire_up;

pub(crate) use describe::{bytes, time};
use progress::Progress;

const EXAMPLES: &str = "\
Examples:
  lazuli gc status        what was freed and what waits; works beside a running server
  lazuli gc run           collect now; a running server does it, without one this command does
  lazuli gc run --watch   and show how far it is until the end

A server collects by itself (gc.interval), while pushes go on. What nothing refers to is deleted after leases.duration. \
A pass that is cut short goes on where it was; Ctrl-C ends the watching, not the pass of a server.";

/// How often progress is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long some server on the same database has time to take a request up, before this command does it.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn command() -> Command {
    let duty = Duty {
        name: "gc",
        about: "Show or run garbage collection",
        status: "Show what garbage collection did and has to do",
        run: "Collect now",
        examples: EXAMPLES,
    };
    duty.command()
}

async fn status_of(opened: &Opened) -> anyhow::Result<Status> {
    Ok(Gc::status(&opened.registry).await?)
}

/// `lazuli gc status`
pub(crate) async fn status(given: &Given) -> anyhow::Result<()> {
    let opened = Opened::new(given).await?;
    let text = describe::status(&status_of(&opened).await?);
    std::io::stdout().write_all(text.as_bytes())?;
    opened.leave().await;
    Ok(())
}

/// `lazuli gc run`
pub(crate) async fn run(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let opened = Opened::new(given).await?;
    let watch = matches.get_flag("watch");
    // Whether the leases in the database can be relied on is decided when collection begins and ends: this must not
    // happen under a server that runs on this folder.
    let held = opened.lock()?;
    let is_alone = opened.db.engine() == "sqlite";
    let run = if held.is_some() && is_alone {
        Some(by_itself(&opened, watch).await?)
    } else {
        by_a_server(&opened, watch, held.is_some()).await?
    };
    let mut out = std::io::stdout().lock();
    match run {
        Some(run) => {
            write!(out, "{}", describe::summary(&run))?;
            write!(out, "{}", describe::status(&status_of(&opened).await?))?;
        }
        None => writeln!(
            out,
            "The running server begins within seconds; `lazuli gc status` shows how far it is."
        )?,
    }
    drop(out);
    opened.close().await
}

/// No server runs: this process does it.
async fn by_itself(opened: &Opened, watch: bool) -> anyhow::Result<Run> {
    let mut options = wire_up::gc_options(&opened.settings);
    if opened.db.engine() == "sqlite" {
        options.pace = Arc::new(Hurried);
    }
    let gc = Gc::open(&opened.registry, options).await?;
    let mut progress = Progress::new(watch);
    let run = {
        let mut pass = std::pin::pin!(gc.run_whole());
        loop {
            tokio::select! {
                run = &mut pass => break run.context("garbage collection failed")?,
                () = tokio::time::sleep(LOOK) => progress.show(status_of(opened).await?.last_run.as_ref())?,
            }
        }
    };
    progress.end()?;
    if opened.db.engine() == "sqlite" {
        gc.close().await?;
    }
    let Some(run) = run else {
        bail!("another process is collecting garbage");
    };
    Ok(run)
}

/// Asks the servers on the database for a pass, and waits for its end if it is to be watched. `may_help`: if none of them
/// takes it up, this process does.
async fn by_a_server(opened: &Opened, watch: bool, may_help: bool) -> anyhow::Result<Option<Run>> {
    let before = status_of(opened).await?.last_run;
    let before = before
        .filter(|run| run.finished_at.is_some())
        .map(|run| run.id);
    Gc::request(&opened.registry).await?;
    if !watch && !may_help {
        return Ok(None);
    }
    let mut progress = Progress::new(watch);
    let asked = Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        let status = status_of(opened).await?;
        if status.is_requested {
            if may_help && !status.is_running && asked.elapsed() > PATIENCE {
                return by_itself(opened, watch).await.map(Some);
            }
            if !status.is_running {
                progress.wait_for_server(asked.elapsed())?;
                continue;
            }
        } else if !watch {
            return Ok(None);
        }
        let ours = status
            .last_run
            .as_ref()
            .filter(|run| !status.is_requested && run.is_asked_for && Some(run.id) != before);
        if let Some(run) = ours.filter(|run| run.finished_at.is_some()) {
            progress.end()?;
            return Ok(Some(run.clone()));
        }
        progress.show(status.last_run.as_ref())?;
    }
}

//! `lazuli gc`: what garbage collection did and has to do, and a run by hand.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Command;
use lazuli_registry::gc::{Amount, Gc, Run, Status};

use crate::cli::{Shown, settings};
use crate::config::{Configuration, Given};
use crate::data_folder::{DataFolder, FolderError};
use crate::{master_key, wire_up};

const EXAMPLES: &str = "\
Examples:
  lazuli gc status      what was freed and what waits; works beside a running server
  lazuli gc run         collect now, on a data folder that no server uses

A server collects by itself (gc.interval), while pushes go on. What nothing refers to is deleted after leases.duration.";

pub(crate) fn command() -> Command {
    let sub = |name: &'static str, about: &'static str| {
        Command::new(name)
            .about(about)
            .after_help(EXAMPLES)
            .args(settings(Shown::Folder))
    };
    Command::new("gc")
        .about("Show or run garbage collection")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .after_help(EXAMPLES)
        .args(settings(Shown::Folder))
        .subcommand(sub(
            "status",
            "Show what garbage collection did and has to do",
        ))
        .subcommand(sub("run", "Collect now; the server has to be stopped"))
}

/// `lazuli gc status`
pub(crate) async fn status(given: &Given) -> anyhow::Result<()> {
    let settings = Configuration::load(given)?.settings;
    let folder = DataFolder::existing(&settings.general.data_dir)?;
    folder.check_running_server()?;
    let (clock, key) = (
        wire_up::clock(),
        master_key::for_command(&settings, &folder)?,
    );
    let db = wire_up::open_database(&settings, &folder)?;
    let registry = wire_up::open_registry(&settings, folder.path(), &db, &clock, &key).await?;
    let status = Gc::status(&registry).await?;
    std::io::stdout().write_all(describe(&status).as_bytes())?;
    // Nothing was written: closing only tidies up, for which a full disk has no room.
    let _ = db.close(Duration::from_secs(10)).await;
    Ok(())
}

/// `lazuli gc run`
pub(crate) async fn run(given: &Given) -> anyhow::Result<()> {
    let settings = Configuration::load(given)?.settings;
    let folder = DataFolder::existing(&settings.general.data_dir)?;
    // Whether the leases in the database can be relied on is decided when collection begins and ends: this must not
    // happen under a running server.
    let _held = match folder.lock() {
        Ok(held) => held,
        Err(error @ FolderError::InUse { .. }) => {
            return Err(anyhow::Error::new(error)
                .context("a running server collects garbage by itself (gc.interval); `lazuli gc status` shows how far it is"));
        }
        Err(error) => return Err(error.into()),
    };
    let (clock, key) = (
        wire_up::clock(),
        master_key::for_command(&settings, &folder)?,
    );
    let db = wire_up::open_database(&settings, &folder)?;
    let registry = wire_up::open_registry(&settings, folder.path(), &db, &clock, &key).await?;
    let gc = Gc::open(&registry, wire_up::gc_options(&settings)).await?;
    let swept = gc.run_once().await.context("garbage collection failed")?;
    let walked = gc.walk_once().await.context("garbage collection failed")?;
    gc.close().await?;
    let (Some(swept), Some(walked)) = (swept, walked) else {
        bail!("another process is collecting garbage");
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "rows   {}", describe_run(&swept))?;
    writeln!(out, "files  {}", describe_run(&walked))?;
    write!(out, "{}", describe(&Gc::status(&registry).await?))?;
    db.close(Duration::from_secs(10)).await?;
    Ok(())
}

fn describe(status: &Status) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "{name:<15}{text}");
    };
    line(
        "running",
        if status.is_running { "yes" } else { "no" }.to_owned(),
    );
    line(
        "last run",
        status
            .last_run
            .as_ref()
            .map_or_else(|| "none yet".to_owned(), describe_run),
    );
    line("to be checked", describe_amount(status.to_be_checked));
    line("condemned", describe_amount(status.condemned));
    line("to be removed", describe_amount(status.to_be_removed));
    if let Some(until) = status.quiet_until {
        line(
            "waiting until",
            format!(
                "{} (leases may have been lost when the machine went down)",
                time(until)
            ),
        );
    }
    out
}

fn describe_run(run: &Run) -> String {
    let mut out = format!(
        "{}: {} examined, {} unlinked, {} condemned, {} deleted, {} freed",
        time(run.started_at),
        run.examined,
        run.unlinked,
        run.condemned,
        run.deleted,
        bytes(run.freed_bytes)
    );
    match (run.finished_at, &run.error) {
        (_, Some(error)) => {
            let _ = write!(out, "; ended early: {error}");
        }
        (Some(end), None) => {
            let _ = write!(out, "; took {} ms", (end - run.started_at) / 1000);
        }
        (None, None) => out.push_str("; under way"),
    }
    out
}

fn describe_amount(amount: Amount) -> String {
    let plural = if amount.blobs == 1 { "" } else { "s" };
    format!("{} blob{plural}, {}", amount.blobs, bytes(amount.bytes))
}

/// Microseconds since the Unix epoch as RFC 3339.
pub(super) fn time(us: i64) -> String {
    jiff::Timestamp::from_second(us.div_euclid(1_000_000))
        .map_or_else(|_| us.to_string(), |time| time.to_string())
}

pub(super) fn bytes(count: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| count >> shift > 0) {
        Some((shift, unit)) => format!("{:.1} {unit}", count as f64 / (1_u64 << shift) as f64),
        None => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_well() {
        let run = Run {
            id: 1,
            started_at: 1_795_392_000_000_000,
            finished_at: Some(1_795_392_000_250_000),
            examined: 12,
            unlinked: 3,
            condemned: 2,
            deleted: 1,
            freed_bytes: 5 << 20,
            error: None,
        };
        let status = Status {
            is_running: false,
            last_run: Some(run),
            to_be_checked: Amount {
                blobs: 1,
                bytes: 100,
            },
            condemned: Amount {
                blobs: 2,
                bytes: 1536,
            },
            to_be_removed: Amount::default(),
            quiet_until: Some(1_795_395_600_000_000),
        };
        assert_eq!(
            describe(&status),
            "running        no\n\
             last run       2026-11-23T00:00:00Z: 12 examined, 3 unlinked, 2 condemned, 1 deleted, 5.0 MiB freed; took 250 ms\n\
             to be checked  1 blob, 100 B\n\
             condemned      2 blobs, 1.5 KiB\n\
             to be removed  0 blobs, 0 B\n\
             waiting until  2026-11-23T01:00:00Z (leases may have been lost when the machine went down)\n"
        );
    }
}

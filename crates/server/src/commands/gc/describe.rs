//! Garbage collection in words.

use std::fmt::Write as _;
use std::time::Duration;

use lazuli_registry::gc::{Amount, Phase, QuietBecause, Run, Status};
use lazuli_registry::retention::KeptLog;

pub(super) fn status(status: &Status) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "{name:<15}{text}");
    };
    let present = status
        .last_run
        .as_ref()
        .filter(|run| run.finished_at.is_none());
    line(
        "running",
        match present {
            Some(run) if status.is_running => progress(run, None),
            _ if status.is_running => "yes".to_owned(),
            Some(_) => "no; the pass that was cut short goes on with the next one".to_owned(),
            None => "no".to_owned(),
        },
    );
    if status.is_requested {
        line("asked for", "a pass begins within seconds".to_owned());
    }
    line(
        "last run",
        status
            .last_run
            .as_ref()
            .map_or_else(|| "none yet".to_owned(), run),
    );
    line("to be checked", amount(status.to_be_checked));
    line("condemned", amount(status.condemned));
    line("to be removed", amount(status.to_be_removed));
    if status.deleted_repositories > 0 {
        let count = status.deleted_repositories;
        line(
            "deleted",
            format!("{count} repositories, whose rows are removed in steps"),
        );
    }
    for log in &status.logs {
        line("log", kept(log));
    }
    if let Some((until, because)) = status.quiet_until {
        let because = match because {
            QuietBecause::MachineWentDown => "leases may have been lost when the machine went down",
            QuietBecause::ClockWasSet => "the clock was set: leases would end at the wrong time",
            QuietBecause::Moved => {
                "the registry was moved here: what clients were told of before may still be asked for"
            }
        };
        line("waiting until", format!("{} ({because})", time(until)));
    }
    out
}

/// What a pass did, at its end.
pub(super) fn summary(pass: &Run) -> String {
    format!("{:<15}{}\n\n", "done", run(pass))
}

fn run(run: &Run) -> String {
    let mut out = format!(
        "{}: {} examined, {} unlinked, {} condemned, {} deleted, {} freed",
        time(run.started_at),
        run.examined,
        run.unlinked,
        run.condemned,
        run.deleted,
        bytes(run.freed_bytes)
    );
    for (count, what) in [
        (run.manifests, "manifests of deleted repositories"),
        (run.history, "rows by age"),
    ] {
        if count > 0 {
            let _ = write!(out, ", {count} {what}");
        }
    }
    if run.resumed > 0 {
        let _ = write!(out, "; cut short {} times and gone on", run.resumed);
    }
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

/// How far a pass is.
pub(super) fn progress(run: &Run, left: Option<Duration>) -> String {
    let what = match run.phase {
        Phase::Files => "removing files",
        Phase::Uploads => "ending uploads",
        Phase::Repositories => "removing deleted repositories",
        Phase::Links => "looking at blobs of repositories",
        Phase::Blobs => "deleting condemned blobs",
        Phase::History => "removing what is old",
        Phase::Walk => "searching files that no row knows",
        Phase::Done => "done",
    };
    let mut out = format!("{what}: {}", run.phase_done);
    if let (Some(total), Some(part)) = (run.phase_total, run.phase_progress()) {
        let _ = write!(out, " of {total} ({:.0} %)", part * 100.0);
    }
    if let Some(left) = left {
        let _ = write!(out, ", {} left", duration(left));
    }
    let _ = write!(
        out,
        " | {} seen, {} condemned, {} deleted, {} freed",
        run.examined,
        run.condemned,
        run.deleted,
        bytes(run.freed_bytes)
    );
    out
}

fn kept(log: &KeptLog) -> String {
    let mut out = format!("{} operations", log.newest - log.floor);
    if let Some(since) = log.since {
        let _ = write!(out, " since {}", time(since));
    }
    if let Some(reader) = log
        .readers
        .first()
        .filter(|reader| reader.sequence < log.newest)
    {
        let behind = log.newest - reader.sequence;
        let _ = write!(out, "; {} has {behind} of them still to read", reader.name);
    }
    out
}

fn amount(amount: Amount) -> String {
    let plural = if amount.blobs == 1 { "" } else { "s" };
    format!("{} blob{plural}, {}", amount.blobs, bytes(amount.bytes))
}

fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// Microseconds since the Unix epoch as RFC 3339.
pub(crate) fn time(us: i64) -> String {
    jiff::Timestamp::from_second(us.div_euclid(1_000_000))
        .map_or_else(|_| us.to_string(), |time| time.to_string())
}

pub(crate) fn bytes(count: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| count >> shift > 0) {
        Some((shift, unit)) => format!("{:.1} {unit}", count as f64 / (1_u64 << shift) as f64),
        None => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use lazuli_registry::retention::Reader;

    use super::*;

    fn example() -> Run {
        Run {
            id: 1,
            started_at: 1_795_392_000_000_000,
            finished_at: Some(1_795_392_000_250_000),
            is_asked_for: true,
            phase: Phase::Done,
            phase_done: 0,
            phase_total: None,
            seen_at: 1_795_392_000_250_000,
            resumed: 0,
            examined: 12,
            unlinked: 3,
            condemned: 2,
            deleted: 1,
            freed_bytes: 5 << 20,
            manifests: 0,
            history: 7,
            error: None,
        }
    }

    #[test]
    fn a_status_reads_well() {
        let described = status(&Status {
            is_running: false,
            is_requested: false,
            last_run: Some(example()),
            deleted_repositories: 0,
            logs: vec![KeptLog {
                origin: 1,
                floor: 100,
                newest: 350,
                since: Some(1_795_392_000_000_000),
                readers: vec![Reader {
                    name: "webhooks".to_owned(),
                    sequence: 340,
                }],
            }],
            to_be_checked: Amount {
                blobs: 1,
                bytes: 100,
            },
            condemned: Amount {
                blobs: 2,
                bytes: 1536,
            },
            to_be_removed: Amount::default(),
            quiet_until: Some((1_795_395_600_000_000, QuietBecause::MachineWentDown)),
        });
        assert_eq!(
            described,
            "running        no\n\
             last run       2026-11-23T00:00:00Z: 12 examined, 3 unlinked, 2 condemned, 1 deleted, 5.0 MiB freed, 7 rows by age; \
             took 250 ms\n\
             to be checked  1 blob, 100 B\n\
             condemned      2 blobs, 1.5 KiB\n\
             to be removed  0 blobs, 0 B\n\
             log            250 operations since 2026-11-23T00:00:00Z; webhooks has 10 of them still to read\n\
             waiting until  2026-11-23T01:00:00Z (leases may have been lost when the machine went down)\n"
        );
    }

    #[test]
    fn progress_reads_well() {
        let run = Run {
            finished_at: None,
            phase: Phase::Links,
            phase_done: 250,
            phase_total: Some(1000),
            ..example()
        };
        assert_eq!(
            progress(&run, Some(Duration::from_secs(150))),
            "looking at blobs of repositories: 250 of 1000 (25 %), 2 min left | 12 seen, 2 condemned, 1 deleted, 5.0 MiB freed"
        );
    }
}

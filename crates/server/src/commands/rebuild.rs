//! `lazuli rebuild`: a lost database from the bucket.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgMatches, Command, value_parser};
use lazuli_registry::journal::{self, Progress, RebuildError, RecordError, Report, Target};

use super::ticker::Ticker;
use crate::cli::{Shown, settings};
use crate::config::{Configuration, Given};
use crate::data_folder::DataFolder;
use crate::{journal as journals, master_key, storage, wire_up};

const EXAMPLES: &str = "\
Examples:
  lazuli --config lazuli.toml rebuild      fill the configured database, which must be empty, from the bucket
  lazuli rebuild --generation 41           from an earlier snapshot, if the newest is damaged

No server may run. The master key of the lost installation is needed: in the data folder, or by LAZULI_MASTER_KEY. It may be \
interrupted and run again. What was pushed in the last moments before the database was lost can be missing: the \
time that is told at the end says since when. Exit code 4: something is missing, and each is named.";

/// Lost things that are named.
const NAMED: usize = 1000;

/// Not everything could be rebuilt.
#[derive(Debug, thiserror::Error)]
#[error("the database is rebuilt, but for {0} things that are missing")]
pub(crate) struct Incomplete(usize);

pub(crate) fn command() -> Command {
    Command::new("rebuild")
        .about("Make a lost database anew from the bucket")
        .after_help(EXAMPLES)
        .arg(
            Arg::new("generation")
                .long("generation")
                .value_name("NUMBER")
                .value_parser(value_parser!(u64))
                .help("The snapshot to begin with, by its number below journal/; the newest one otherwise"),
        )
        .args(settings(Shown::Folder))
}

pub(crate) async fn run(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let settings = Configuration::load(given)?.settings;
    let (folder, _held) = DataFolder::hold(&settings.general.data_dir)?;
    let key = master_key::for_command(&settings, &folder)
        .context("the master key of the lost installation is needed: give LAZULI_MASTER_KEY, master_key_file, or put its file master.key into the data folder")?;
    let store = storage::open(&settings, folder.path()).await?;
    let db = wire_up::open_database(&settings, &folder)?;
    let target = Target {
        db: db.clone(),
        store,
        key: journals::key(&key),
        generation: matches.get_one("generation").copied(),
        now: wire_up::clock_of(&db).await?.now_us(),
        lease: i64::try_from(settings.leases.duration.0.as_micros()).unwrap_or(i64::MAX),
    };
    let shown = Ticker::new();
    let told = shown.clone();
    let rebuilt = journal::rebuild(&target, move |progress| told.tell(|| line(&progress))).await;
    shown.end();
    let report = rebuilt.map_err(explain)?;
    db.close(Duration::from_mins(1)).await?;
    tell(&report)
}

fn explain(error: RebuildError) -> anyhow::Error {
    let hint = match &error {
        RebuildError::NotEmpty => {
            "a rebuild fills a new database: give another --data-dir or database.url, or remove the old one"
        }
        RebuildError::NoRecords => {
            "storage.url names no bucket: what is on a disk is restored from a backup"
        }
        RebuildError::NoJournal(_) => {
            "nothing can be rebuilt; see storage.journal, and --generation"
        }
        RebuildError::Record {
            source: RecordError::Altered,
            ..
        } => {
            "is this the master key of the lost installation? If the record is damaged, an earlier --generation may not be"
        }
        RebuildError::Record { .. } => "an earlier --generation may be whole",
        RebuildError::Registry(_) => "the rebuild broke off: run it again",
    };
    anyhow::Error::new(error).context(hint)
}

fn tell(report: &Report) -> anyhow::Result<()> {
    let Report {
        generation,
        written_at,
        repositories,
        manifests,
        tags,
        blobs,
        operations,
        lost,
    } = report;
    let at = jiff::Timestamp::from_microsecond(*written_at)
        .map_or_else(|_| written_at.to_string(), |at| format!("{at:.0}"));
    let mut out = std::io::stdout();
    writeln!(
        out,
        "rebuilt from generation {generation} and {operations} changes after it: {repositories} repositories, {manifests} \
         manifests, {tags} tags, {blobs} blobs"
    )?;
    writeln!(
        out,
        "the last record is of {at}: what was pushed later is not in the database; `lazuli fsck` lists its blobs"
    )?;
    for thing in lost.iter().take(NAMED) {
        writeln!(std::io::stderr(), "missing: {thing}")?;
    }
    if lost.is_empty() {
        Ok(())
    } else {
        bail!(Incomplete(lost.len()))
    }
}

fn line(progress: &Progress) -> String {
    match progress {
        Progress::Snapshot { done, all } => format!("snapshot: {done} of {all} parts"),
        Progress::Segments { done, all } => format!("changes: {done} of {all} segments"),
        Progress::Objects(met) => format!("bucket: {met} blobs met"),
        Progress::Checked(checked) => format!("checked: {checked} manifests and small blobs"),
    }
}

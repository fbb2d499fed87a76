//! `lazuli fsck`: does everything stored belong together, and repair where it does not.

use std::io::Write as _;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use lazuli_registry::fsck::{self, Finding, Outcome, Severity, Summary};

use super::opened::folder_of;
use crate::cli::{Shown, settings};
use crate::config::{Configuration, Given};
use crate::data_folder::Held;
use crate::{master_key, wire_up};

const EXAMPLES: &str = "\
Examples:
  lazuli fsck                     look at every record and every length; works beside a server
  lazuli fsck --verify            also read every blob and compare its bytes with its digest
  lazuli fsck --verify --repair   mend what can be mended; the server has to be stopped

Of servers that share a database all have to be stopped for a repair. A repair never destroys content: damaged blobs and manifests are put aside and forgotten, so that a push of the \
same content heals them. Exit code 4: there is damage that was not repaired.";

/// There is damage that was not repaired.
#[derive(Debug, thiserror::Error)]
#[error("there is damage that was not repaired{}", if *.repair { "" } else { ": see `lazuli fsck --help` for --repair" })]
pub(crate) struct Unsound {
    repair: bool,
}

pub(crate) fn command() -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("fsck")
        .about("Check that everything stored belongs together, and repair it")
        .after_help(EXAMPLES)
        .arg(switch(
            "verify",
            "Read every blob and compare its bytes with its digest",
        ))
        .arg(switch(
            "repair",
            "Repair what can be repaired; the server has to be stopped",
        ))
        .args(settings(Shown::Folder))
}

pub(crate) async fn run(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let options = fsck::Options {
        verify: matches.get_flag("verify"),
        repair: matches.get_flag("repair"),
    };
    let settings = Configuration::load(given)?.settings;
    let folder = folder_of(&settings)?;
    // A repair changes rows that a server has in memory.
    let _held: Option<Held> = if options.repair {
        Some(folder.lock()?)
    } else {
        None
    };
    let key = master_key::for_command(&settings, &folder)?;
    let db = wire_up::open_database_beside(&settings, &folder)?;
    let clock = wire_up::clock_of(&db).await?;
    let registry = wire_up::open_registry(&settings, folder.path(), &db, &clock, &key).await?;
    let mut on_finding = |finding: &Finding, outcome: Outcome| {
        let _ = writeln!(std::io::stdout(), "{}", describe_finding(finding, outcome));
    };
    let summary = fsck::check(&registry, options, &mut on_finding).await?;
    std::io::stdout().write_all(describe(&summary).as_bytes())?;
    drop(registry);
    let closed = db.close(Duration::from_secs(10)).await;
    if options.repair {
        closed?;
    } // Otherwise nothing was written: closing only tidies up, for which a full disk has no room.
    if summary.is_sound() {
        Ok(())
    } else {
        Err(Unsound {
            repair: options.repair,
        }
        .into())
    }
}

fn describe_finding(finding: &Finding, outcome: Outcome) -> String {
    let severity = match finding.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let outcome = match outcome {
        Outcome::Reported => "",
        Outcome::Repaired => " [repaired]",
        Outcome::Unrepairable => " [cannot be repaired]",
    };
    format!("{severity}: {finding}{outcome}")
}

fn describe(summary: &Summary) -> String {
    format!(
        "checked {} blobs ({} bytes), {} links to them, {} manifests, {} tags, {} files, {} operations\n\
         {} errors, {} warnings, {} notes; {} repaired\n",
        summary.blobs,
        summary.bytes,
        summary.links,
        summary.manifests,
        summary.tags,
        summary.files,
        summary.operations,
        summary.errors,
        summary.warnings,
        summary.notes,
        summary.repaired
    )
}

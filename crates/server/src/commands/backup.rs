//! `lazuli backup` and `lazuli restore`: a consistent, verified copy of everything, made beside a running server.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use lazuli_blobs::{BlobStore, DiskOptions, DiskStore};
use lazuli_db::{Db, SqliteOptions};
use lazuli_registry::transfer::{self, Copied, Progress};
use tokio::time::Instant;

use super::opened::folder_of;
use super::ticker::Ticker;
use crate::cli::{Shown, settings};
use crate::config::{Configuration, Given};
use crate::data_folder::{DataFolder, write_private};
use crate::{master_key, storage, wire_up};

const EXAMPLES: &str = "\
Examples:
  lazuli backup /backup/lazuli             copy everything into that folder, while the server runs
  lazuli backup /backup/lazuli             again: only what is new is copied
  lazuli --data-dir /backup/lazuli fsck --verify   check every byte of one made --with-key

The folder gets a database file and the blobs, whatever engine and store the server uses; each blob is hashed on its way. It does \
not get the master key (the file master.key, or LAZULI_MASTER_KEY): keep that elsewhere, or give --with-key, which makes \
the folder a data folder that a server can be started on.";

const RESTORE_EXAMPLES: &str = "\
Examples:
  lazuli restore /backup/lazuli            fill the configured database and store, which must be empty
  lazuli --config new.toml restore /backup/lazuli

The master key of the backed-up server is needed: in the backup (--with-key), in the data folder, or by LAZULI_MASTER_KEY.";

/// What a backup's database is called until it is whole.
const PART: &str = "lazuli.db.part";
/// And if it never was: it knows blobs that need not be copied again.
const INTERRUPTED: &str = "lazuli.db.interrupted";

pub(crate) fn command() -> Command {
    Command::new("backup")
        .about("Copy everything into a folder, while the server runs")
        .after_help(EXAMPLES)
        .arg(folder("The folder; it is made if it is not there"))
        .arg(
            Arg::new("with-key")
                .long("with-key")
                .action(ArgAction::SetTrue)
                .help("Copy the master key too"),
        )
        .args(settings(Shown::Folder))
}

pub(crate) fn restore_command() -> Command {
    Command::new("restore")
        .about("Fill an empty database and store from a backup")
        .after_help(RESTORE_EXAMPLES)
        .arg(folder("The folder of the backup"))
        .args(settings(Shown::Folder))
}

fn folder(help: &'static str) -> Arg {
    Arg::new("folder")
        .value_name("FOLDER")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help(help)
}

fn given_folder(matches: &ArgMatches) -> anyhow::Result<&PathBuf> {
    matches.get_one("folder").context("no folder was given")
}

/// `lazuli backup`
pub(crate) async fn run(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let to = given_folder(matches)?;
    let settings = Configuration::load(given)?.settings;
    let folder = folder_of(&settings)?;
    let key = master_key::for_command(&settings, &folder)?;
    if same(folder.path(), to) {
        bail!(
            "{} is the data folder itself; give another one",
            to.display()
        );
    }
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let started = Instant::now();
    let source = wire_up::open_database_beside(&settings, &folder)?;
    let from = storage::open(&settings, folder.path()).await?;
    let store = disk(to)?;
    let earlier = earlier(to)?;
    let part = to.join(PART);
    remove_database(&part)?;
    let target = embedded(&part)?;

    let shown = Ticker::new();
    rows(&source, &target, &shown).await?;
    let copied = transfer::copy_blobs(&target, &from, &store, &earlier, |progress| {
        shown.tell(|| line(progress));
    })
    .await?;
    shown.end();
    target.close(Duration::from_mins(1)).await?;
    for db in &earlier {
        let _ = db.close(Duration::from_secs(10)).await;
    }
    let _ = source.close(Duration::from_secs(10)).await;
    replace_database(&part, &to.join("lazuli.db"))?;
    remove_database(&to.join(INTERRUPTED))?;
    if matches.get_flag("with-key") {
        write_private(&to.join("master.key"), &key)
            .with_context(|| format!("cannot write the master key into {}", to.display()))?;
    }
    report(&copied, "backup")?;
    if started.elapsed() > settings.leases.duration.0 {
        writeln!(
            std::io::stderr(),
            "warning: this took longer than leases.duration; what was deleted meanwhile may be missing: run it again"
        )?;
    }
    Ok(())
}

/// `lazuli restore`
pub(crate) async fn restore(matches: &ArgMatches, given: &Given) -> anyhow::Result<()> {
    let from = given_folder(matches)?;
    let settings = Configuration::load(given)?.settings;
    let database = from.join("lazuli.db");
    if !is_there(&database)? {
        bail!(
            "{} holds no backup: there is no lazuli.db in it",
            from.display()
        );
    }
    let (folder, _held) = DataFolder::hold(&settings.general.data_dir)?;
    if same(folder.path(), from) {
        bail!("the backup is the data folder itself: a server can be started on it");
    }
    let target = wire_up::open_database(&settings, &folder)?;
    if transfer::is_used(&target).await? {
        bail!(
            "the database is not empty: a restore fills a new one; give another --data-dir, or another database.url"
        );
    }
    let to = storage::open(&settings, folder.path()).await?;
    let source = embedded(&database)?;
    let shown = Ticker::new();
    rows(&source, &target, &shown).await?;
    let store = disk(from)?;
    let copied = transfer::copy_blobs(&target, &store, &to, &[], |progress| {
        shown.tell(|| line(progress));
    })
    .await?;
    shown.end();
    let (key, ours) = (from.join("master.key"), folder.path().join("master.key"));
    if is_there(&key)? && !is_there(&ours)? {
        let key = std::fs::read(&key).with_context(|| format!("cannot read {}", key.display()))?;
        write_private(&ours, &key)?;
    }
    target.close(Duration::from_mins(1)).await?;
    let _ = source.close(Duration::from_secs(10)).await;
    report(&copied, "restore")
}

fn is_there(path: &Path) -> anyhow::Result<bool> {
    path.try_exists()
        .with_context(|| format!("cannot look at {}", path.display()))
}

/// Whether the two are one folder.
fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn embedded(path: &Path) -> anyhow::Result<Db> {
    Db::open_sqlite(SqliteOptions::new(path))
        .with_context(|| format!("cannot open the database {}", path.display()))
}

fn disk(folder: &Path) -> anyhow::Result<Arc<dyn BlobStore>> {
    let store = DiskStore::open(folder, DiskOptions::default());
    Ok(Arc::new(store.with_context(|| {
        format!("cannot keep blobs in {}", folder.display())
    })?))
}

/// Databases of earlier backups into this folder, whole or interrupted.
fn earlier(folder: &Path) -> anyhow::Result<Vec<Db>> {
    let interrupted = folder.join(PART);
    let kept = folder.join(INTERRUPTED);
    if is_there(&interrupted)? {
        remove_database(&kept)?;
        replace_database(&interrupted, &kept)?;
    }
    let mut found = Vec::new();
    for path in [folder.join("lazuli.db"), kept] {
        if is_there(&path)? {
            found.push(embedded(&path)?);
        }
    }
    Ok(found)
}

/// The file and what SQLite keeps beside it.
fn files(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        name.into()
    })
}

fn remove_database(path: &Path) -> anyhow::Result<()> {
    for file in files(path) {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", file.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Puts a closed database in the place of another one, durably.
fn replace_database(from: &Path, to: &Path) -> anyhow::Result<()> {
    let outcome = (|| {
        let [_, wal, shm] = files(to);
        for stale in [wal, shm] {
            match std::fs::remove_file(stale) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::File::open(from)?.sync_all()?;
        for (old, new) in files(from).iter().zip(files(to)) {
            if old.try_exists()? {
                std::fs::rename(old, new)?;
            }
        }
        let folder = to.parent().unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()
    })();
    outcome.with_context(|| format!("cannot write {}", to.display()))
}

async fn rows(source: &Db, target: &Db, shown: &Arc<Ticker>) -> anyhow::Result<()> {
    let (source, target, shown) = (source.clone(), target.clone(), shown.clone());
    tokio::task::spawn_blocking(move || {
        transfer::copy_rows(&source, &target, move |progress| {
            shown.tell(|| line(progress));
        })
    })
    .await
    .context("copying rows ended early")??;
    Ok(())
}

/// A copy with holes is told, and is no success.
fn report(copied: &Copied, what: &str) -> anyhow::Result<()> {
    let Copied {
        brought,
        bytes,
        reused,
        missing,
    } = copied;
    writeln!(
        std::io::stdout(),
        "{brought} blobs copied ({bytes} bytes), {reused} were there already"
    )?;
    for digest in missing.iter().take(20) {
        writeln!(
            std::io::stderr(),
            "missing: the bytes of {digest} are not there, or damaged; pushing it again heals it"
        )?;
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "the {what} is complete but for {} blobs whose bytes could not be read",
        missing.len()
    )
}

/// How far a copy is.
pub(super) fn line(progress: Progress) -> String {
    match progress {
        Progress::Rows { table, done, all } => format!("{table}: {done} of {all} rows"),
        Progress::Blobs {
            blobs,
            all,
            bytes,
            all_bytes,
        } => format!(
            "blobs: {blobs} of {all}, {} of {} MiB",
            bytes >> 20,
            all_bytes >> 20
        ),
    }
}

//! The crash test of a server: see `lazuli_testkit::crash`. Run it with `cargo xtask crash`.

#![allow(clippy::disallowed_methods, reason = "the seed comes from the time")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lazuli_testkit::crash::damage::Damage;
use lazuli_testkit::crash::group::engines::{DatabaseKind, StorageKind};
use lazuli_testkit::crash::group::fault::Kind;
use lazuli_testkit::crash::group::{self, Plant};
use lazuli_testkit::crash::{Options, Report, clock, power, run};

const USAGE: &str = "\
usage: crash --binary PATH [--rounds N] [--seed N] [--longest SECONDS] [--folder PATH] [--damage KIND]
             [--kill KIND] [--clock KIND] [--nodes N] [--database KIND] [--storage KIND] [--faults KIND,...] [--plant KIND]

Kills a server at random moments under load, restarts it, and compares what it serves with what it acknowledged.

  --binary PATH      the server's program
  --rounds N         how many kills (200)
  --seed N           repeats the decisions of an earlier run; the timing differs
  --longest SECONDS  the longest load before a kill (2)
  --folder PATH      where the data goes, in a new folder `data`; it is kept. Otherwise it is kept if the test fails
  --damage KIND      after the last kill does damage that the check has to find: remove-blob, cut-blob, flip-bit,
                     old-database, remove-uploads
  --kill KIND        process (default: SIGKILL), or power: the disk forgets as well what was not flushed (needs root)
  --clock KIND       right (default), or set: to other hours, days and years, under load and before each start (needs
                     Debian's package libfaketime)

A group, on private engines; then other things happen too, and clients are spread over the nodes:

  --nodes N          how many nodes (1)
  --database KIND    sqlite (default), or postgres: a server with a synchronous standby
  --storage KIND     disk (default), s3: a Ceph RGW, or azure: an Azurite
  --faults KIND,...  only these: kill-node, kill-two, kill-all, kill-database, fail-over, kill-store,
                     database-network, store-network, sleep; clock, only when named (needs libfaketime)
  --plant KIND       breaks a promise, which the check has to find: stale-nodes, lost-fail-over, remove-object

Exit code 3: an engine is missing, and nothing was run.";

/// The exit code when an engine is missing.
const NOT_RUN: u8 = 3;

fn main() -> ExitCode {
    match parse().and_then(crash) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(NOT_RUN),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The options, and the temporary folder unless another was given.
fn parse() -> Result<(group::Options, Option<tempfile::TempDir>)> {
    let mut group = group::Options {
        crash: Options::new(PathBuf::new(), PathBuf::new(), fresh_seed()),
        nodes: 1,
        database: DatabaseKind::Sqlite,
        storage: StorageKind::Disk,
        only: Vec::new(),
        plant: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if matches!(name.as_str(), "--help" | "-h") {
            bail!("{USAGE}");
        }
        let value = arguments
            .next()
            .with_context(|| format!("{name} needs a value\n\n{USAGE}"))?;
        let options = &mut group.crash;
        match name.as_str() {
            "--nodes" => group.nodes = value.parse().context("--nodes")?,
            "--database" => {
                group.database = match value.as_str() {
                    "sqlite" => DatabaseKind::Sqlite,
                    "postgres" => DatabaseKind::Postgres,
                    _ => bail!("no such database: {value}"),
                }
            }
            "--storage" => {
                group.storage = match value.as_str() {
                    "disk" => StorageKind::Disk,
                    "s3" => StorageKind::S3,
                    "azure" => StorageKind::Azure,
                    _ => bail!("no such storage: {value}"),
                }
            }
            "--faults" => {
                let kinds = value.split(',').map(Kind::parse);
                group.only = kinds.collect::<Option<_>>().context("no such fault")?;
            }
            "--plant" => group.plant = Some(Plant::parse(&value).context("no such plant")?),
            "--binary" => options.binary = std::fs::canonicalize(&value).context(value)?,
            "--rounds" => options.rounds = value.parse().context("--rounds")?,
            "--seed" => options.seed = value.parse().context("--seed")?,
            "--longest" => {
                let seconds = value.parse().context("--longest")?;
                options.longest = Duration::try_from_secs_f64(seconds)?;
            }
            "--kill" => options.loses_power = one_of(&name, &value, "process", "power")?,
            "--clock" => options.sets_clock = one_of(&name, &value, "right", "set")?,
            "--folder" => options.folder = value.into(),
            "--damage" => {
                options.damage = Some(Damage::parse(&value).context("no such damage")?);
            }
            other => bail!("unknown argument {other}\n\n{USAGE}"),
        }
    }
    let options = &mut group.crash;
    if options.binary.as_os_str().is_empty() {
        bail!("--binary is missing\n\n{USAGE}");
    }
    if !options.folder.as_os_str().is_empty() {
        std::fs::create_dir_all(&options.folder)?;
        return Ok((group, None));
    }
    let temporary = tempfile::Builder::new().prefix("lazuli-crash-").tempdir()?;
    options.folder = temporary.path().into();
    Ok((group, Some(temporary)))
}

/// Whether the value is the second of the two that there are.
fn one_of(name: &str, value: &str, first: &str, second: &str) -> Result<bool> {
    match value {
        value if value == second => Ok(true),
        value if value == first => Ok(false),
        _ => bail!("{name}: {first} or {second}, not {value}"),
    }
}

/// Runs it again where it may mount. `None`: it is there already, or need not be.
fn elsewhere(options: &Options) -> Option<Result<bool>> {
    let why = if options.sets_clock && clock::library().is_none() {
        "libfaketime is not installed".to_owned()
    } else if options.loses_power && !power::is_inside() {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        match power::inside(&arguments) {
            Ok(status) if status.success() => return Some(Ok(true)),
            Ok(status) if status.code() == Some(NOT_RUN.into()) => return Some(Ok(false)),
            Ok(status) => return Some(Err(anyhow::anyhow!("see above: {status}"))),
            Err(why) => why,
        }
    } else {
        return None;
    };
    println!("NOT RUN: {why}");
    Some(Ok(false))
}

/// Whether it was run.
fn crash((group, temporary): (group::Options, Option<tempfile::TempDir>)) -> Result<bool> {
    let options = &group.crash;
    if let Some(outcome) = elsewhere(options) {
        return outcome;
    }
    let folder = options.folder.clone();
    println!(
        "seed {}, {} rounds, data in {}",
        options.seed,
        options.rounds,
        folder.display()
    );
    let mut progress = |line: &str| println!("{line}");
    let outcome = if group.is_group() {
        group::run(&group, &mut progress)
    } else {
        run(options, &mut progress).map(Some)
    };
    if let Ok(report) = &outcome {
        if let Some(report) = report {
            println!("{}", describe(options, report));
        }
    } else {
        println!(
            "FAILED: seed {}; data and log are kept in {}",
            options.seed,
            folder.display()
        );
        let _ = temporary.map(tempfile::TempDir::keep);
    }
    outcome.map(|report| report.is_some())
}

fn describe(options: &Options, report: &Report) -> String {
    let counts: Vec<String> = report
        .counts
        .iter()
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    format!(
        "{}\nfsck: {}\n{} rounds, {} acknowledged operations, lost 0, slowest start {:.2} s, seed {}",
        counts.join(", "),
        report.fsck,
        options.rounds,
        report.acknowledged(),
        report.slowest_start.as_secs_f64(),
        options.seed,
    )
}

/// A seed that differs from run to run.
fn fresh_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64) ^ u64::from(std::process::id())
}

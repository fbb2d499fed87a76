//! Three nodes behind nginx, as deploy/compose starts them, for programs outside: see `lazuli_testkit::nodes`. `cargo xtask
//! clients --nodes` runs it.

#![allow(
    clippy::disallowed_methods,
    reason = "it kills real processes in real time"
)]

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use lazuli_testkit::nodes::{Killer, Nodes, Pace};
use lazuli_testkit::server::PASSWORD;
use serde_json::{Value, json};

const USAGE: &str = "\
usage: nodes --binary PATH --folder PATH [--seed N] [--kill-every SECONDS]

Starts PostgreSQL, a Ceph RGW, three nodes and nginx, with the settings of deploy/compose, and says where nginx listens: a
line `ready ADDRESS PASSWORD`. With --kill-every one node, chosen by the seed, is killed (SIGKILL) about that often and started
again with an empty data folder; each kill is a line in FOLDER/kills, milliseconds of the Unix time.

The line `finish` on standard input ends it in order: the last line is what happened and what `lazuli fsck --verify` found,
as JSON. The end of standard input ends it at once.

Exit code 3: an engine is missing, and nothing was run.";

/// The exit code when an engine is missing.
const NOT_RUN: u8 = 3;

struct Options {
    binary: PathBuf,
    folder: PathBuf,
    seed: u64,
    every: Option<Duration>,
}

fn main() -> ExitCode {
    match parse().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(NOT_RUN),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Options> {
    let mut options = Options {
        binary: PathBuf::new(),
        folder: PathBuf::new(),
        seed: 0,
        every: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if matches!(name.as_str(), "--help" | "-h") {
            bail!("{USAGE}");
        }
        let value = arguments
            .next()
            .with_context(|| format!("{name} needs a value\n\n{USAGE}"))?;
        match name.as_str() {
            "--binary" => options.binary = std::fs::canonicalize(&value).context(value)?,
            "--folder" => options.folder = value.into(),
            "--seed" => options.seed = value.parse().context("--seed")?,
            "--kill-every" => {
                let seconds = value.parse().context("--kill-every")?;
                options.every = Some(Duration::try_from_secs_f64(seconds)?);
            }
            other => bail!("unknown argument {other}\n\n{USAGE}"),
        }
    }
    let is_missing = [&options.binary, &options.folder]
        .into_iter()
        .any(|path| path.as_os_str().is_empty());
    if is_missing {
        bail!("--binary and --folder are needed\n\n{USAGE}");
    }
    Ok(options)
}

/// Whether it was run.
fn run(options: &Options) -> Result<bool> {
    std::fs::create_dir_all(&options.folder)?;
    let Some(mut nodes) = Nodes::start(&options.binary, Some(&options.folder)) else {
        return Ok(false);
    };
    let killer = options
        .every
        .map(|every| {
            let every = every.as_millis() as u64;
            let pace = Pace {
                quiet: (every / 2, every),
                away: (0, every / 2),
            };
            nodes.kill_them(options.seed, pace)
        })
        .transpose()?;
    say(&format!("ready {} {PASSWORD}", nodes.address()))?;
    if !wait(options, killer.as_ref())? {
        return Ok(true);
    }
    let kills = killer.map_or(Ok(0), Killer::stop)?;
    let report = report(&mut nodes, kills)?;
    say(&report.to_string())?;
    Ok(true)
}

/// Notes kills until a line comes; whether it is `finish`.
fn wait(options: &Options, killer: Option<&Killer>) -> Result<bool> {
    let (line, lines) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = std::io::stdin().lock().read_line(&mut text);
        line.send(text)
    });
    let mut file = std::fs::File::create(options.folder.join("kills"))?;
    let mut noted = 0;
    loop {
        let line = lines.recv_timeout(Duration::from_millis(20));
        for kill in killer.iter().flat_map(|killer| killer.kills()).skip(noted) {
            let at = kill.at.duration_since(UNIX_EPOCH)?.as_millis();
            writeln!(file, "{at} node{}", kill.node + 1)?;
            noted += 1;
        }
        match line {
            Ok(line) => return Ok(line.trim() == "finish"),
            Err(_) if killer.is_some_and(|killer| !killer.is_running()) => return Ok(true),
            Err(_) => {}
        }
    }
}

fn report(nodes: &mut Nodes, kills: usize) -> Result<Value> {
    let traffic = nodes.traffic()?;
    let (fsck, problem) = match nodes.finish() {
        Ok(said) => (Value::from(said), Value::Null),
        Err(error) => (Value::Null, Value::from(format!("{error:#}"))),
    };
    Ok(json!({
        "kills": kills,
        "requests": traffic.by_node,
        "passed_on": traffic.passed_on,
        "bad_gateway": traffic.bad_gateway,
        "fsck": fsck,
        "problem": problem,
    }))
}

/// A line on standard output, at once.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

//! `cargo xtask test`: everything that CI runs, on a fresh machine with Rust and nothing else.

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::az;
use crate::clients;
use crate::crash;
use crate::deploy;
use crate::engines;
use crate::exec::Cmd;
use crate::leftovers;
use crate::report::Results;
use crate::{docs, tidy, workspace};

/// Seconds after which a part is taken to hang.
const PART_SECONDS: u64 = 1800;

/// A part of all, so that the test command stays short.
const SHORT_ON_NODES: [&str; 4] = ["skopeo", "crane", "oras", "docker"];

struct Part {
    name: &'static str,
    what: &'static str,
    run: fn(&mut Results),
}

const PARTS: &[Part] = &[
    Part {
        name: "packages",
        what: "the engines and tools that the tests need",
        run: engines::install,
    },
    Part {
        name: "fmt",
        what: "cargo fmt --check",
        run: fmt,
    },
    Part {
        name: "tidy",
        what: "the house rules",
        run: tidy::run,
    },
    Part {
        name: "clippy",
        what: "clippy on all targets, warnings are errors",
        run: clippy,
    },
    Part {
        name: "tests",
        what: "cargo test --workspace",
        run: tests,
    },
    Part {
        name: "docs",
        what: "cargo doc, warnings are errors",
        run: rustdoc,
    },
    Part {
        name: "release",
        what: "the release build of lazuli",
        run: release,
    },
    Part {
        name: "crash",
        what: "the release binary killed under load, a few times",
        run: crash::part,
    },
    Part {
        name: "deploy",
        what: "chart, compose file, unit, alerts and proxy with the release binary",
        run: deploy::part,
    },
    Part {
        name: "clients",
        what: "real clients against the release binary",
        run: real_clients,
    },
    Part {
        name: "az",
        what: "Azure's own command line against the release binary",
        run: az::part,
    },
    Part {
        name: "nodes",
        what: "some of them against three nodes behind nginx, of which one after the other is killed",
        run: clients_of_nodes,
    },
];

/// Runs the parts that are asked for, in order; false when something failed.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let Some(only) = parse(args)? else {
        return Ok(true);
    };
    let mut results = Results::new();
    let parts: Vec<&Part> = PARTS
        .iter()
        .filter(|part| only.is_empty() || only.contains(&part.name))
        .collect();
    // Packages come over the network while the compiler works.
    let fetch = parts.iter().any(needs_clients) && parts.len() > 1;
    let mut fetching = None;
    for (number, part) in parts.iter().enumerate() {
        results.announce(&format!(
            "{}/{} {}: {}",
            number + 1,
            parts.len(),
            part.name,
            part.what
        ));
        if needs_clients(part) {
            join(fetching.take());
        }
        (part.run)(&mut results);
        if fetch && number == 0 {
            fetching = Some(thread::spawn(|| {
                clients::install_all();
                az::install();
            }));
        }
    }
    join(fetching);
    Ok(results.summary())
}

fn join(fetching: Option<thread::JoinHandle<()>>) {
    // What it could not fetch is tried again, and reported, when it is needed.
    let _ = fetching.map(thread::JoinHandle::join);
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "a predicate of an iterator"
)]
fn needs_clients(part: &&Part) -> bool {
    matches!(part.name, "clients" | "az" | "nodes")
}

/// The parts asked for; empty means all. `None` when only the list was wanted.
fn parse(args: &[String]) -> Result<Option<Vec<&'static str>>> {
    let mut only = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => {
                for part in PARTS {
                    println!("{:<10} {}", part.name, part.what);
                }
                return Ok(None);
            }
            "--only" => {
                let name = args
                    .next()
                    .context("--only needs the name of a part; --list shows them")?;
                let part = PARTS.iter().find(|part| part.name == name);
                only.push(
                    part.with_context(|| format!("no part `{name}`; --list shows them"))?
                        .name,
                );
            }
            other => {
                bail!("unknown argument {other}; usage: cargo xtask test [--list] [--only PART]...")
            }
        }
    }
    Ok(Some(only))
}

/// The binary that [`build_release`] makes.
pub(crate) fn release_binary() -> PathBuf {
    workspace::target_dir().join("release/lazuli")
}

/// Builds the release binary; false when it does not build.
pub(crate) fn build_release(results: &mut Results) -> bool {
    results.case("release", "cargo build --release", || {
        cargo(&["build", "--release", "--package", "lazuli", "--locked"])
    })
}

fn release(results: &mut Results) {
    if build_release(results) {
        results.case(
            "docs",
            "pages that lazuli writes about itself are current",
            || docs::check_references(&release_binary()),
        );
    }
}

fn fmt(results: &mut Results) {
    results.case("fmt", "cargo fmt --check", || {
        cargo(&["fmt", "--all", "--check", "--", "--color", "never"])
    });
}

fn clippy(results: &mut Results) {
    results.case("clippy", "cargo clippy", || {
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ])
    });
}

fn rustdoc(results: &mut Results) {
    results.case("docs", "cargo doc", || {
        let doc = workspace::cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "-D warnings");
        finish(doc)
    });
}

fn tests(results: &mut Results) {
    let start = Instant::now();
    let run = workspace::cargo()
        .args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .env(leftovers::VARIABLE, leftovers::mark())
        .timeout(PART_SECONDS)
        .tee();
    let seconds = start.elapsed().as_secs_f64();
    let (passed, failed) = run
        .as_ref()
        .map(|out| count(&out.stdout))
        .unwrap_or_default();
    results.counted("tests", passed, failed, seconds);
    results.case("tests", "cargo test", || {
        let out = run?;
        anyhow::ensure!(
            out.status.success(),
            "{}: {failed} tests failed",
            out.status
        );
        anyhow::ensure!(passed > 0, "no test ran");
        Ok(())
    });
    results.case("tests", "no process is left behind", leftovers::check);
}

/// Sums the lines `test result: ok. 12 passed; 0 failed; ...`.
fn count(output: &str) -> (usize, usize) {
    let number = |line: &str, word: &str| -> usize {
        let before = line.split(word).next().unwrap_or_default();
        before
            .rsplit(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    };
    let lines = output
        .lines()
        .filter(|line| line.starts_with("test result:"));
    lines.fold((0, 0), |(passed, failed), line| {
        (
            passed + number(line, " passed"),
            failed + number(line, " failed"),
        )
    })
}

/// Whether there is a release binary; builds it if that was not tried yet.
pub(crate) fn has_release(results: &mut Results) -> bool {
    match results.tally("release") {
        (0, _) => build_release(results),
        (_, failed) => failed == 0,
    }
}

fn real_clients(results: &mut Results) {
    suites("clients", results, |results| {
        clients::run_all(&release_binary(), &[], results)
    });
}

fn clients_of_nodes(results: &mut Results) {
    let names = SHORT_ON_NODES.map(str::to_owned);
    suites("nodes", results, |results| {
        clients::run_on_nodes(
            &release_binary(),
            &names,
            clients::Deaths::default(),
            results,
        )
    });
}

fn suites(
    group: &str,
    results: &mut Results,
    run: impl FnOnce(&mut Results) -> Result<Option<&'static str>>,
) {
    if !has_release(results) {
        results.case(group, "start", || bail!("there is no release binary"));
        return;
    }
    let mut suites = Results::new();
    let run = run(&mut suites);
    results.append(suites);
    match run {
        Ok(None) => {}
        Ok(Some(why)) => results.not_run(group, "all", why),
        Err(error) => _ = results.case(group, "start", || Err(error)),
    }
}

fn cargo(args: &[&str]) -> Result<()> {
    finish(workspace::cargo().args(args))
}

fn finish(cmd: Cmd) -> Result<()> {
    let out = cmd.timeout(PART_SECONDS).tee()?;
    anyhow::ensure!(out.status.success(), "{}", out.status);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_test_programs_are_summed() {
        let output = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n\
            x\ntest result: FAILED. 10 passed; 3 failed; 1 ignored\n";
        assert_eq!(count(output), (12, 3));
    }

    #[test]
    fn arguments() {
        let args =
            |args: &[&str]| parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            args(&["--only", "fmt", "--only", "tidy"]).unwrap(),
            Some(vec!["fmt", "tidy"])
        );
        assert_eq!(args(&[]).unwrap(), Some(vec![]));
        assert_eq!(args(&["--list"]).unwrap(), None);
        assert!(args(&["--only", "nothing"]).is_err());
        assert!(args(&["-x"]).is_err());
    }
}

//! `cargo xtask crash`: kills the server, or nodes of a group and their engines, at random moments under load, and looks
//! whether they kept their word.
//!
//! The work is done by the program `crash` of lazuli-testkit; `cargo xtask crash --help` shows its flags.

use anyhow::Result;

use crate::report::Results;
use crate::{test, workspace};

/// Seconds after which even a long soak is taken to hang.
const SOAK_SECONDS: u64 = 6 * 3600;
/// The same for the part of the test command.
const PART_SECONDS: u64 = 600;
/// The parts of the test command: few rounds, and short ones.
const SHORT: [&[&str]; 4] = [
    &["--rounds", "8", "--longest", "0.8"],
    &["--kill", "power", "--rounds", "6", "--longest", "0.8"],
    &["--clock", "set", "--rounds", "6", "--longest", "0.8"],
    &[
        "--nodes",
        "3",
        "--database",
        "postgres",
        "--storage",
        "s3",
        "--rounds",
        "4",
        "--longest",
        "0.8",
    ],
];
/// The exit code of the program when this machine lacks an engine.
const NOT_RUN: i32 = 3;

/// Runs it with these flags, on the release binary unless one is given; false when it found something.
pub(crate) fn run(args: &[String]) -> bool {
    let mut results = Results::new();
    let is_given = args
        .iter()
        .any(|arg| matches!(arg.as_str(), "--binary" | "--help" | "-h"));
    if is_given || test::build_release(&mut results) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        results.case_if_possible("crash", &args.join(" "), || {
            driver(&args, is_given, SOAK_SECONDS)
        });
    }
    results.summary()
}

/// Short runs, as a part of the test command.
pub(crate) fn part(results: &mut Results) {
    let is_built = test::has_release(results);
    for args in SHORT {
        results.case_if_possible("crash", &args.join(" "), || {
            anyhow::ensure!(is_built, "there is no release binary");
            driver(args, false, PART_SECONDS)
        });
    }
}

/// Runs it; if it could not be run, why.
fn driver(args: &[&str], has_binary: bool, seconds: u64) -> Result<Option<&'static str>> {
    let build = ["build", "--package", "lazuli-testkit", "--bin", "crash"];
    workspace::cargo()
        .args(build)
        .arg("--locked")
        .timeout(PART_SECONDS)
        .run()?;
    let mut crash = crate::exec::Cmd::new(workspace::target_dir().join("debug/crash")).args(args);
    if !has_binary {
        crash = crash.arg("--binary").arg(test::release_binary());
    }
    let out = crash.timeout(seconds).tee()?;
    if out.status.code() == Some(NOT_RUN) {
        return Ok(Some("an engine is missing, as was said above"));
    }
    anyhow::ensure!(
        out.status.success(),
        "{}; what it found is above",
        out.status
    );
    Ok(None)
}

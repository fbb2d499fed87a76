//! What was acknowledged survives the loss of power, on SQLite and a disk; and a server that does not flush is found out.
//! (`cargo xtask crash --kill power` is the test itself.)

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use lazuli_testkit::crash::{Options, power, run};

/// Libraries that say of every flush that it is done.
const NO_FLUSH: &str = "int fsync(int fd) { return 0; } int fdatasync(int fd) { return 0; }";

/// Runs the calling test in a namespace in which it can mount. Where that is not possible a line that begins with `NOT
/// RUN:` says so, which is a failure under `CI=true`.
fn in_namespace(name: &str, test: fn()) {
    if power::is_inside() {
        return test();
    }
    let arguments = ["--exact", name, "--nocapture"].map(str::to_owned);
    match power::inside(&arguments) {
        Ok(status) => assert!(status.success(), "{status}"),
        Err(why) => {
            // Past the test harness's capture: this must be seen.
            let _ = writeln!(std::io::stderr().lock(), "NOT RUN: {name}: {why}");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
        }
    }
}

/// Some failures of power; what the check said.
fn outcome(rounds: u64, preload: Option<&Path>) -> Result<u64, String> {
    let folder = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_lazuli").into();
    let preload = preload.map(|library| ("LD_PRELOAD", library.display().to_string()));
    let options = Options {
        rounds,
        longest: Duration::from_millis(1500),
        loses_power: true,
        environment: preload.into_iter().collect(),
        ..Options::new(binary, folder.path().to_owned(), 1)
    };
    run(&options, &mut |line| println!("{line}"))
        .map(|report| report.acknowledged())
        .map_err(|error| format!("{error:#}"))
}

#[test]
fn what_was_acknowledged_survives_the_loss_of_power() {
    in_namespace("what_was_acknowledged_survives_the_loss_of_power", || {
        let acknowledged = outcome(2, None).unwrap();
        assert!(acknowledged > 20, "{acknowledged} operations are no load");
    });
}

#[test]
fn a_database_that_is_not_flushed_is_found() {
    in_namespace("a_database_that_is_not_flushed_is_found", || {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("lie.c"), folder.path().join("lie.so"));
        std::fs::write(&source, NO_FLUSH).unwrap();
        let built = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .status();
        assert!(built.unwrap().success());
        // As `loop` mounts it, the file system flushes by itself every few seconds: not before every failure.
        let found = outcome(3, Some(&library)).expect_err("lost transactions were not found");
        println!("{found}");
    });
}

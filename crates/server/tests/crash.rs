//! The crash test finds what it is for: a server whose data was damaged between a kill and the restart does not pass.
//! (`cargo xtask crash` is the test itself.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use lazuli_testkit::crash::damage::Damage;
use lazuli_testkit::crash::{Options, run};

/// Two kills, with damage after the second one; what the check said.
fn outcome(damage: Option<Damage>) -> Result<u64, String> {
    let folder = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_lazuli").into();
    let options = Options {
        rounds: 2,
        longest: Duration::from_millis(1500),
        damage,
        ..Options::new(binary, folder.path().to_owned(), 1)
    };
    let outcome = run(&options, &mut |line| println!("{line}"));
    outcome
        .map(|report| report.acknowledged())
        .map_err(|error| format!("{error:#}"))
}

/// The check finds the damage, and says this about it.
fn is_found(damage: Damage, expected: &str) {
    let found = outcome(Some(damage)).expect_err("the damage was not found");
    println!("{found}");
    assert!(found.contains("round 1 of seed 1: "), "{found}");
    assert!(found.contains(" violations\n"), "{found}");
    assert!(found.contains(expected), "{found}");
}

#[test]
fn a_server_that_keeps_its_word_passes() {
    let acknowledged = outcome(None).unwrap();
    assert!(acknowledged > 20, "{acknowledged} operations are no load");
}

#[test]
fn a_lost_blob_is_found() {
    is_found(Damage::RemoveBlob, "/blobs/sha");
}

#[test]
fn a_cut_blob_is_found() {
    is_found(Damage::CutBlob, "/blobs/sha");
}

#[test]
fn a_turned_bit_is_found() {
    is_found(Damage::FlipBit, "not the bytes that were pushed");
}

#[test]
fn a_lost_transaction_is_found() {
    is_found(Damage::OldDatabase, "the ledger has");
}

#[test]
fn a_lost_upload_is_found() {
    is_found(Damage::RemoveUploads, "BLOB_UPLOAD_UNKNOWN");
}

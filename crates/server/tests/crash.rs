//! The crash test finds what it is for: a server whose data was damaged between a kill and the restart does not pass.
//! (`cargo xtask crash` is the test itself.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use lazuli_testkit::crash::damage::Damage;
use lazuli_testkit::crash::group::engines::{DatabaseKind, StorageKind};
use lazuli_testkit::crash::group::{self, Plant};
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

/// Three nodes under two faults, of which the second breaks a promise on purpose; what the check said. `None`: this machine
/// lacks an engine, which was said.
fn group_outcome(plant: Option<Plant>) -> Option<Result<u64, String>> {
    let folder = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_lazuli").into();
    let options = group::Options {
        crash: Options {
            rounds: 2,
            longest: Duration::from_millis(1500),
            ..Options::new(binary, folder.path().to_owned(), 1)
        },
        nodes: 3,
        database: DatabaseKind::Postgres,
        storage: StorageKind::S3,
        only: Vec::new(),
        plant,
    };
    let outcome = group::run(&options, &mut |line| println!("{line}"));
    match outcome {
        Ok(report) => report.map(|report| Ok(report.acknowledged())),
        Err(error) => Some(Err(format!("{error:#}"))),
    }
}

/// The check finds what was broken, and says this about it.
fn is_found_in_group(plant: Plant, expected: &str) {
    let Some(outcome) = group_outcome(Some(plant)) else {
        return;
    };
    let found = outcome.expect_err("the broken promise was not found");
    println!("{found}");
    assert!(found.contains(" of seed 1"), "{found}");
    assert!(found.contains(" violations\n"), "{found}");
    assert!(found.contains(expected), "{found}");
}

#[test]
fn a_group_that_keeps_its_word_passes() {
    if let Some(outcome) = group_outcome(None) {
        let acknowledged = outcome.unwrap();
        assert!(acknowledged > 20, "{acknowledged} operations are no load");
    }
}

#[test]
fn nodes_that_answer_with_old_tags_are_found() {
    is_found_in_group(Plant::StaleNodes, "crash/");
}

#[test]
fn a_fail_over_that_loses_transactions_is_found() {
    is_found_in_group(Plant::LostFailOver, "the ledger has");
}

#[test]
fn an_object_lost_from_the_bucket_is_found() {
    is_found_in_group(Plant::RemoveObject, "missing, and a manifest names it");
}

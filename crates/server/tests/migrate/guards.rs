//! What a move refuses, before it writes anything, and what it waits for.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use lazuli_db::clock::{Clock, SystemClock};
use lazuli_db::{Db, SqliteOptions};
use lazuli_registry::gc;
use lazuli_registry::leases::Lease;
use lazuli_testkit::crash::clock::{SetClock, library};
use lazuli_testkit::server::Server;

use crate::places::*;

fn remove_database(folder: &Path) {
    for name in ["lazuli.db", "lazuli.db-wal", "lazuli.db-shm"] {
        let _ = std::fs::remove_file(folder.join(name));
    }
}

#[test]
fn a_place_that_got_lost_is_refused_as_often_as_it_is_asked_for() {
    let old = Server::start(LAZULI, &[]);
    push(&old.admin(), 1, 300_000);
    let place = Place::folder();
    succeed(&mut migrate(&old, &place, &[]));
    // What was pushed there would be gone, were it filled again from here.
    remove_database(&place.data());
    for _ in 0..3 {
        refused(&mut migrate(&old, &place, &[]), "there is nothing now");
    }
    std::fs::remove_dir_all(place.data()).unwrap();
    let other = Place::folder();
    for _ in 0..2 {
        refused(&mut migrate(&old, &place, &[]), "there is nothing now");
        refused(&mut migrate(&old, &other, &[]), "was moved to");
    }
    for unmade in [place.data(), other.data()] {
        assert!(!unmade.try_exists().unwrap());
    }

    // After that was said, it may begin anew.
    succeed(&mut old.command(&["migrate", "--abort"]));
    succeed(&mut migrate(&old, &other, &[]));
}

#[test]
fn a_folder_that_has_blobs_is_refused() {
    let old = Server::start(LAZULI, &[]);
    push(&old.admin(), 1, 300_000);
    let place = Place::folder();
    let file = blob_files(&old.data()).remove(0);
    let others = place.data().join(file.strip_prefix(old.data()).unwrap());
    std::fs::create_dir_all(others.parent().unwrap()).unwrap();
    std::fs::copy(file, &others).unwrap();
    for _ in 0..2 {
        refused(
            &mut migrate(&old, &place, &["--prepare"]),
            "the store of the new place is not empty",
        );
    }
    std::fs::remove_file(others).unwrap();
    succeed(&mut migrate(&old, &place, &["--prepare"]));
    // Its own ones are no hindrance.
    succeed(&mut migrate(&old, &place, &[]));
}

#[test]
fn a_bucket_folder_that_another_database_uses_is_refused() {
    let Some(place) = Place::shared() else {
        return;
    };
    let old = Server::start(LAZULI, &[]);
    push(&old.admin(), 1, 300_000);
    succeed(&mut migrate(&old, &place, &["--prepare"]));
    let other = place.with_another_database();
    for _ in 0..2 {
        refused(
            &mut migrate(&old, &other, &[]),
            "the store of the new place is not empty",
        );
    }
    push(&old.admin(), 2, 300_000);
    succeed(&mut migrate(&old, &place, &[]));
}

#[test]
fn a_pass_of_garbage_collection_ends_before_writes_pause() {
    let old = Server::start(LAZULI, &[]);
    push(&old.admin(), 1, 300_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let db = Db::open_sqlite(SqliteOptions::new(old.data().join("lazuli.db"))).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let collecting = runtime.block_on(async {
        loop {
            let long = Duration::from_mins(30);
            let lease = Lease::acquire(&db, &clock, gc::LEASE, "a pass", long).await;
            if let Some(lease) = lease.unwrap() {
                return lease;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let place = Place::folder();
    let mut command = migrate(&old, &place, &[]);
    let mut moving = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(moving.stdout.take().unwrap()).lines();
    let mut until = |words: &str| {
        lines
            .by_ref()
            .map(|line| line.unwrap())
            .any(|line| line.contains(words))
    };
    assert!(until("waiting for the end of a pass of garbage collection"));
    // Not paused.
    push(&old.admin(), 2, 300_000);
    runtime.block_on(collecting.release()).unwrap();
    assert!(until("takes no writes"));
    assert!(moving.wait().unwrap().success());
    let mut new = place.server(&[]);
    new.restart();
    assert_eq!(pull(&new.admin(), 2, 300_000), 200);
}

/// Of a PostgreSQL source the server's clock counts, as for its nodes: with this machine's, leases of others would seem over.
#[test]
fn a_machine_whose_clock_is_wrong_takes_no_running_move_for_a_dead_one() {
    let Some(place) = Place::shared() else {
        return;
    };
    if library().is_none() {
        lazuli_testkit::not_run("moves by a wrong clock", "no libfaketime");
        return;
    }
    let mut old = place.server(&[]);
    old.restart();
    push(&old.admin(), 1, 300_000);
    let soon = "CAST((EXTRACT(EPOCH FROM clock_timestamp()) + 300) * 1000000 AS BIGINT)";
    place.psql(&format!(
        "INSERT INTO leases VALUES ('migrate', 'other', 1, {soon})"
    ));
    let folder = tempfile::tempdir().unwrap();
    let clock = SetClock::new(&folder.path().join("clock")).unwrap();
    clock.set_to("+600").unwrap();
    let target = Place::folder();
    refused(
        migrate(&old, &target, &[])
            .arg("--config")
            .arg(place.file())
            .envs(clock.environment()),
        "another `lazuli migrate` is at work",
    );
    place.psql(&format!(
        "INSERT INTO closings (name, value) VALUES ('moving', 'other ' || {soon} || ' x')"
    ));
    refused(
        old.command(&["admin", "reset-password"])
            .arg("--config")
            .arg(place.file())
            .envs(clock.environment()),
        "is being moved to x",
    );
}

//! Backups beside a running server, and servers made from them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Output;

use lazuli_testkit::images::{pull, push};
use lazuli_testkit::postgres::Database;
use lazuli_testkit::server::Server;
use lazuli_wire::oci::{Algorithm, Digest};

const LAZULI: &str = env!("CARGO_BIN_EXE_lazuli");

fn run(server: &Server, arguments: &[&str]) -> Output {
    let output = server.command(arguments).output().unwrap();
    println!(
        "{arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_backup_made_beside_a_server_becomes_a_server() {
    let server = Server::start(LAZULI, &[]);
    let admin = server.admin();
    push(&admin, 1, 300_000);
    push(&admin, 2, 20);
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("data");
    let output = run(&server, &["backup", text(&backup), "--with-key"]);
    assert!(output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .starts_with("1 blobs copied (300000 bytes), 0 were")
    );

    // Again: only what is new.
    push(&admin, 3, 200_000);
    let output = run(&server, &["backup", text(&backup)]);
    assert!(output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .starts_with("1 blobs copied (200000 bytes), 1 were")
    );
    // After the backup: not in it.
    push(&admin, 4, 1000);

    // It is a data folder itself.
    let copy = Server::new(LAZULI, place.path(), &[]);
    assert_eq!(copy.data(), backup);
    assert!(run(&copy, &["fsck", "--verify"]).status.success());

    // Another place is filled from it.
    let empty = tempfile::tempdir().unwrap();
    let mut restored = Server::new(LAZULI, empty.path(), &[]);
    assert!(run(&restored, &["restore", text(&backup)]).status.success());
    restored.restart();
    let client = restored.admin();
    let found = [(1, 300_000), (2, 20), (3, 200_000), (4, 1000)]
        .map(|(seed, size)| pull(&client, seed, size));
    assert_eq!(found, [200, 200, 200, 404]);
    push(&client, 5, 50_000);
    restored.stop();
    let fsck = run(&restored, &["fsck", "--verify"]);
    assert!(fsck.status.success());
    // Only an empty one.
    let refused = run(&restored, &["restore", text(&backup)]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not empty"));
}

#[test]
fn a_backup_moves_a_registry_to_postgresql() {
    let Some(database) = Database::create() else {
        return;
    };
    let server = Server::start(LAZULI, &[]);
    push(&server.admin(), 1, 300_000);
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    assert!(
        run(&server, &["backup", text(&backup), "--with-key"])
            .status
            .success()
    );
    let empty = tempfile::tempdir().unwrap();
    let parts = database.url();
    let part = |name: &str| parts.split(' ').find_map(|p| p.strip_prefix(name)).unwrap();
    let url = format!(
        "postgres://postgres@{}/{}",
        part("host=").replace('/', "%2F"),
        part("dbname=")
    );
    let mut moved = Server::new(LAZULI, empty.path(), &[("LAZULI_DATABASE_URL", &url)]);
    let restore = ["restore", text(&backup), "--database-url", &url];
    assert!(run(&moved, &restore).status.success());
    moved.restart();
    assert_eq!(pull(&moved.admin(), 1, 300_000), 200);
    push(&moved.admin(), 2, 100_000);
    // And back from there.
    let again = place.path().join("again");
    let backup = ["backup", text(&again), "--database-url", &url];
    assert!(run(&moved, &backup).status.success());
}

#[test]
fn a_backup_with_a_hole_says_so() {
    let mut server = Server::start(LAZULI, &[]);
    push(&server.admin(), 1, 300_000);
    push(&server.admin(), 2, 200_000);
    server.stop();
    let digest = Digest::of(Algorithm::Sha256, &vec![1; 300_000]).to_string();
    let hex = digest.strip_prefix("sha256:").unwrap();
    let folder = server.data().join("blobs/1/sha256").join(&hex[..2]);
    let file = std::fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let place = tempfile::tempdir().unwrap();
    let output = run(&server, &["backup", text(place.path())]);
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains(&digest) && errors.contains("but for 1 blobs"),
        "{errors}"
    );
    // What can be had is there.
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("1 blobs copied (200000 bytes)"));
}

//! A database on a server belongs to one data folder: blobs are on that folder's disk.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Output};

use lazuli_testkit::postgres::Database;
use lazuli_testkit::server::{Server, free_port};

fn start(folder: &std::path::Path, url: &str) -> Output {
    let mut command = Command::new("timeout");
    command.args([
        "20",
        env!("CARGO_BIN_EXE_lazuli"),
        "--https",
        "off",
        "--http",
    ]);
    command
        .arg(free_port().to_string())
        .arg("--data-dir")
        .arg(folder);
    command.env("LAZULI_DATABASE_URL", url).output().unwrap()
}

#[test]
fn a_second_data_folder_on_the_same_database_is_refused() {
    let Some(database) = Database::create() else {
        return;
    };
    let parts = database.url();
    let part = |name: &str| parts.split(' ').find_map(|p| p.strip_prefix(name)).unwrap();
    let url = format!(
        "postgres://postgres@{}/{}",
        part("host=").replace('/', "%2F"),
        part("dbname=")
    );
    let mut server = Server::start(
        env!("CARGO_BIN_EXE_lazuli"),
        &[("LAZULI_DATABASE_URL", &url)],
    );
    assert!(server.stop());

    let other = tempfile::tempdir().unwrap();
    let folder = other.path().join("data");
    std::fs::create_dir(&folder).unwrap();
    // The same key, so that nothing but the blobs is amiss.
    std::fs::copy(server.data().join("master.key"), folder.join("master.key")).unwrap();
    let refused = start(&folder, &url);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("are in another data folder"), "{text}");

    server.restart();
    assert_eq!(
        server.admin().get("/v2/").status,
        200,
        "its own folder is as good as before"
    );
}

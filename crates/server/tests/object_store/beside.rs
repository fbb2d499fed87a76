//! Commands where no server ran: everything is in the database and the bucket, as in a fresh container beside nodes.

use std::path::Path;
use std::process::{Command, Output};

use lazuli_testkit::postgres::Database;

use crate::nodes::shared;
use crate::stores::{self, Bucket};
use crate::support::*;

fn run(folder: &Path, bucket: &Bucket, without: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let environment = bucket
        .environment
        .iter()
        .filter(|(name, _)| *name != without);
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_lazuli"))
        .args(arguments)
        .arg("--data-dir")
        .arg(folder)
        .env_remove("LAZULI_ADMIN_PASSWORD")
        .envs(environment.map(|(name, value)| (*name, value)))
        .output()
        .unwrap();
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn commands_need_no_data_folder_when_everything_is_elsewhere() {
    let (Some(database), Some(bucket)) = (Database::create(), stores::s3()) else {
        return;
    };
    let bucket = shared(bucket, &database);
    let server = bucket.serve();
    let content = bytes(60_000, 90);
    let blob = push(&server, "a", &content);
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let works = |arguments: &[&str]| {
        let (code, text) = run(&folder, &bucket, "", arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
        text
    };
    let checked = works(&["fsck", "--verify"]);
    assert!(checked.contains("checked 1 blobs"), "{checked}");
    works(&["gc", "status"]);
    works(&["scrub", "status"]);
    works(&["gc", "run", "--watch"]);
    works(&["scrub", "run"]);
    works(&["admin", "rotate-keys"]);
    let copy = parent.path().join("backup");
    works(&["backup", copy.to_str().unwrap()]);
    works(&["migrate", "--abort"]);
    assert!(server.admin().get(&blob).body == content);
    // A password has to go somewhere.
    let (code, text) = run(&folder, &bucket, "", &["admin", "reset-password"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("give the password by LAZULI_ADMIN_PASSWORD"),
        "{text}"
    );
    assert!(!folder.exists(), "nothing is written there");

    // What is not elsewhere is said.
    for (without, says) in [
        (
            "LAZULI_MASTER_KEY",
            "the master key of the servers has to be given",
        ),
        ("LAZULI_STORAGE_URL", "there is no data folder at"),
        ("LAZULI_DATABASE_URL", "there is no data folder at"),
    ] {
        let (code, text) = run(&folder, &bucket, without, &["gc", "status"]);
        assert_eq!(code, Some(1), "{without}: {text}");
        assert!(text.contains(says), "{without}: {text}");
    }
}

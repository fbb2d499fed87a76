//! Azure with a shared access signature for one container, in place of the account's key.

use std::process::Command;

use lazuli_testkit::object_stores::azurite::Azurite;

use crate::stores::{Bucket, azure};
use crate::support::*;

/// A container, and the settings that lead there with a signature that may do this.
fn with_signature(permissions: &str) -> Option<(Bucket, tempfile::TempDir)> {
    let mut bucket = azure()?;
    let azurite = Azurite::shared()?;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sas");
    // As Azure's portal shows it, and as an editor ends a line.
    let token = format!("?{}\n", azurite.sas(&bucket.name, permissions));
    std::fs::write(&file, token).unwrap();
    bucket
        .environment
        .retain(|(name, _)| *name != "LAZULI_STORAGE_SECRET_KEY");
    let file = file.to_str().unwrap().to_owned();
    Some((bucket.with("LAZULI_STORAGE_SAS_TOKEN_FILE", file), folder))
}

#[test]
fn a_shared_access_signature_is_enough_for_azure() {
    let Some((bucket, _folder)) = with_signature("racwdl") else {
        return;
    };
    let server = bucket.serve();
    assert!(
        server.log_tail().contains("cannot sign addresses"),
        "it is said that bytes go through the server: {}",
        server.log_tail()
    );
    for (number, size) in [10, 60_000, LARGE].into_iter().enumerate() {
        let content = bytes(size, number as u64);
        let target = push(&server, "a", &content);
        let response = server.admin().get(&target);
        assert_eq!(response.status, 200, "{response:?}\n{}", server.log_tail());
        assert!(response.body == content);
        let part = server
            .admin()
            .send("GET", &target, &[("Range", "bytes=2-7")], &[]);
        assert_eq!((part.status, part.body.as_slice()), (206, &content[2..8]));
    }
    // In pieces, which a part of the container keeps meanwhile.
    let content = bytes(LARGE, 7);
    let session = start(&server, "a");
    let response = server
        .admin()
        .send("PATCH", &session, &[OCTETS], &content[..LARGE / 2]);
    assert_eq!(response.status, 202, "{response:?}");
    let session = location(&response);
    let response = finish(&server, &session, &content, &content[LARGE / 2..]);
    assert_eq!(response.status, 201, "{response:?}");
    let target = format!("/v2/a/blobs/{}", digest(&content));
    assert!(server.admin().get(&target).body == content);
    assert_eq!(server.admin().delete(&target).status, 202);
    assert_eq!(server.admin().get(&target).status, 404);
}

/// What it may not do is told at the start, and the signature is not.
#[test]
fn a_signature_that_is_not_enough_is_told_at_the_start() {
    let Some((bucket, folder)) = with_signature("rl") else {
        return;
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_lazuli"));
    command.args(["--http", "127.0.0.1:0", "--https", "off", "--data-dir"]);
    command.arg(folder.path().join("data"));
    let output = command.envs(bucket.environment.clone()).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("the object store az://") && said.contains("cannot be used"),
        "{said}"
    );
    assert!(!said.contains("sig="), "{said}");
}

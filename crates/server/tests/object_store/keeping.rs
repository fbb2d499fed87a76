//! What is in the bucket is checked, healed and freed.

use std::process::Output;
use std::time::{Duration, Instant};

use lazuli_testkit::object_stores::rgw::Rgw;
use lazuli_testkit::server::Server;

use crate::stores::{self, Bucket};
use crate::support::*;

fn fsck(server: &Server, bucket: &Bucket, more: &[&str]) -> Output {
    let arguments: Vec<&str> = ["fsck"].iter().chain(more).copied().collect();
    let mut command = server.command(&arguments);
    command.envs(bucket.environment.iter().map(|(k, v)| (*k, v)));
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// The object with the bytes of a blob of that size.
fn object_of(rgw: &Rgw, bucket: &Bucket, size: usize) -> String {
    let size = size.to_string();
    let has_size = |name: &String| {
        let head = rgw.send("HEAD", &format!("/{}/{name}", bucket.name), &[], &[]);
        head.header("content-length") == Some(&*size)
    };
    let mut found = objects(rgw, &bucket.name).into_iter().filter(has_size);
    found.next().expect("an object of that size")
}

#[test]
fn what_is_gone_is_404_is_told_by_fsck_and_is_healed_by_a_push() {
    let Some(rgw) = Rgw::shared() else { return };
    for redirect in ["false", "true"] {
        let bucket =
            stores::bucket_of(rgw, rgw.address()).with("LAZULI_STORAGE_REDIRECT", redirect);
        let mut server = bucket.serve();
        for (number, size) in [60_000, LARGE].into_iter().enumerate() {
            let content = bytes(size, 20 + number as u64);
            let target = push(&server, "a", &content);
            let sound = fsck(&server, &bucket, &["--verify"]);
            assert_eq!(sound.status.code(), Some(0), "{}", text(&sound));
            // Other bytes of the same length: only reading them shows it.
            let object = format!("/{}/{}", bucket.name, object_of(rgw, &bucket, size));
            let altered = bytes(size, 99);
            assert_eq!(rgw.send("PUT", &object, &[], &altered).status, 200);
            assert_eq!(fsck(&server, &bucket, &[]).status.code(), Some(0));
            let found = fsck(&server, &bucket, &["--verify"]);
            assert_eq!(found.status.code(), Some(4), "{}", text(&found));
            assert!(text(&found).contains(&digest(&content)), "{}", text(&found));
            assert_eq!(rgw.send("DELETE", &object, &[], &[]).status, 204);
            let found = fsck(&server, &bucket, &[]);
            assert_eq!(found.status.code(), Some(4), "{}", text(&found));
            // A server that has not looked yet, and one that has it in memory.
            if redirect == "false" {
                assert_eq!(server.admin().get(&target).status, 404);
            }
            server.restart();
            for _ in 0..2 {
                assert_eq!(server.admin().get(&target).status, 404);
                assert_eq!(server.admin().head(&target).status, 404);
            }
            push(&server, "a", &content);
            let response = server.admin().get(&target);
            let healed = if redirect == "true" {
                assert_eq!(response.status, 307);
                follow(&response, &[])
            } else {
                response
            };
            assert_eq!(healed.status, 200);
            assert!(healed.body == content);
            let sound = fsck(&server, &bucket, &["--verify"]);
            assert_eq!(sound.status.code(), Some(0), "{}", text(&sound));
        }
    }
}

#[test]
fn deleted_blobs_and_sessions_that_ended_leave_nothing_in_the_bucket() {
    let Some(rgw) = Rgw::shared() else { return };
    let bucket = stores::bucket_of(rgw, rgw.address())
        .with("LAZULI_UPLOADS_EXPIRY", "5s")
        .with("LAZULI_LEASES_DURATION", "1s")
        .with("LAZULI_GC_INTERVAL", "1s");
    let server = bucket.serve();
    for (number, size) in [60_000, LARGE].into_iter().enumerate() {
        let target = push(&server, "a", &bytes(size, 30 + number as u64));
        assert_eq!(server.admin().delete(&target).status, 202);
    }
    // One is abandoned, one ended by its client, one cut off in the middle of its only request.
    let large = bytes(LARGE, 40);
    let abandoned = start(&server, "a");
    let begun = server.admin().send("PATCH", &abandoned, &[OCTETS], &large);
    assert_eq!(begun.status, 202, "{begun:?}");
    let ended = start(&server, "a");
    let begun = server.admin().send("PATCH", &ended, &[OCTETS], &large);
    assert_eq!(multiparts(rgw, &bucket.name).len(), 2);
    assert_eq!(server.admin().delete(&location(&begun)).status, 204);
    assert_eq!(multiparts(rgw, &bucket.name).len(), 1);
    let mismatch = start(&server, "a");
    let begun = server.admin().send("PATCH", &mismatch, &[OCTETS], &large);
    let refused = finish(&server, &location(&begun), &bytes(10, 41), b"");
    assert_eq!(refused.status, 400, "{refused:?}");
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let left = objects(rgw, &bucket.name);
        let parts = multiparts(rgw, &bucket.name);
        if left.is_empty() && parts.is_empty() {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{left:?} {parts:?}\n{}",
            server.log_tail()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_blob_is_found_in_the_bucket_by_its_digest() {
    let Some(rgw) = Rgw::shared() else { return };
    let bucket = stores::bucket_of(rgw, rgw.address());
    let server = bucket.serve();
    for (number, size) in [60_000, LARGE].into_iter().enumerate() {
        let content = bytes(size, 50 + number as u64);
        push(&server, "a", &content);
        let hex = digest(&content).replace("sha256:", "");
        let folder = format!("registry/blobs/1/sha256/{}/{hex}-", &hex[..2]);
        let names = objects(rgw, &bucket.name);
        let name = names.iter().find(|name| name.starts_with(&folder));
        let name = name.unwrap_or_else(|| panic!("{folder} {names:?}"));
        let mut found = rgw.send("GET", &format!("/{}/{name}", bucket.name), &[], &[]);
        if size == LARGE {
            let pointer = found.json();
            assert_eq!(pointer["digest"], digest(&content));
            let object = pointer["object"].as_str().unwrap();
            found = rgw.send("GET", &format!("/{}/{object}", bucket.name), &[], &[]);
        }
        assert!(found.body == content);
    }
}

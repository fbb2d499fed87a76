//! Conditional requests (RFC 9110, section 13).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use lazuli_api::ApiOptions;

#[test]
fn reading_is_refused_when_the_content_is_another_one() {
    let server = Server::start(ApiOptions::default());
    let (_, image) = server.push_image("a", "v1", "first");
    let blob = server.push_blob("a", &bytes(300_000));
    let other = format!("\"{}\"", sha256(b"other"));
    for (target, digest) in [
        ("/v2/a/manifests/v1".to_owned(), &image),
        (format!("/v2/a/blobs/{blob}"), &blob),
    ] {
        let same = format!("\"{digest}\"");
        let both = format!("{other}, {same}");
        let weak = format!("W/{same}");
        // The second time from memory.
        for _ in 0..2 {
            for method in ["GET", "HEAD"] {
                let status = |headers: &[(&str, &str)]| {
                    server.admin().send(method, &target, headers, &[]).status
                };
                for right in [&same, &both, "*"] {
                    assert_eq!(status(&[("If-Match", right)]), 200, "{method} {target}");
                }
                for wrong in [&other, &weak, "x", ""] {
                    assert_eq!(status(&[("If-Match", wrong)]), 412, "{method} {target}");
                }
                let known = [("If-Match", &*same), ("If-None-Match", &*weak)];
                assert_eq!(status(&known), 304);
                let neither = [("If-Match", &*other), ("If-None-Match", &*same)];
                assert_eq!(status(&neither), 412);
            }
        }
    }
}

#[test]
fn a_push_may_demand_that_the_tag_is_new_or_that_it_exists() {
    let server = Server::start(ApiOptions::default());
    server.push_image("a", "v1", "first");
    let second = manifest(&sha256(b"{}"), "second");
    let status = |tag: &str, condition| {
        let answer = server.put_manifest("a", tag, &[condition], &second);
        answer.status
    };
    assert_eq!(status("v1", ("If-None-Match", "*")), 412);
    assert_eq!(status("v2", ("If-Match", "*")), 412);
    assert_eq!(server.admin().head("/v2/a/manifests/v2").status, 404);
    assert_eq!(status("v2", ("If-None-Match", "*")), 201);
    assert_eq!(status("v2", ("If-None-Match", "*")), 412);
    assert_eq!(status("v1", ("If-Match", "*")), 201);
    // Several fields are not understood.
    for second_field in ["\"x\"", "*"] {
        let both = [("If-None-Match", "*"), ("If-None-Match", second_field)];
        assert_eq!(server.put_manifest("a", "v9", &both, &second).status, 400);
        let both = [("If-Match", "*"), ("If-Match", second_field)];
        assert_eq!(server.put_manifest("a", "v1", &both, &second).status, 400);
    }
    // Not for a push by digest, which changes nothing that could be expected.
    let digest = sha256(second.as_bytes());
    assert_eq!(status(&digest, ("If-None-Match", "*")), 400);
}

#[test]
fn a_delete_with_a_condition_does_not_happen() {
    let server = Server::start(ApiOptions::default());
    server.push_image("a", "v1", "first");
    for condition in [("If-Match", "*"), ("If-None-Match", "*")] {
        let answer = server
            .admin()
            .send("DELETE", "/v2/a/manifests/v1", &[condition], &[]);
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    assert_eq!(server.admin().head("/v2/a/manifests/v1").status, 200);
}

//! What redirects change, and only they: GET of a blob that is in the bucket is answered 307 instead of 200 or 206.

use crate::stores::{self, Bucket};
use crate::support::*;

fn redirects(bucket: &Bucket) {
    let server = bucket.serve();
    let (inline, small, large) = (bytes(100, 1), bytes(70_000, 2), bytes(LARGE, 3));
    let inline_at = push(&server, "a", &inline);
    for content in [&small, &large] {
        let target = push(&server, "a", content);
        for _ in 0..2 {
            let response = server.admin().get(&target);
            assert_eq!((response.status, response.body.len()), (307, 0));
            assert_eq!(response.header("cache-control"), Some("no-store"));
            let name = digest(content);
            assert_eq!(response.header("docker-content-digest"), Some(&*name));
            let followed = follow(&response, &[]);
            assert_eq!(followed.status, 200);
            assert!(followed.body == **content);
        }
        // The client asks there for the range that it asked for here.
        let range = [("Range", "bytes=10-19")];
        let response = server.admin().send("GET", &target, &range, &[]);
        assert_eq!(response.status, 307);
        let followed = follow(&response, &range);
        assert_eq!((followed.status, &*followed.body), (206, &content[10..20]));
        // What the store would read in another way is answered from here.
        let known = format!("\"{}\"", digest(content));
        for (condition, status) in [
            (("If-Match", known.as_str()), 206),
            (("If-Range", known.as_str()), 206),
            (("If-Range", "\"other\""), 200),
        ] {
            let response = server
                .admin()
                .send("GET", &target, &[range[0], condition], &[]);
            assert_eq!(response.status, status, "{condition:?}");
        }
        let several = [("Range", "bytes=0-1,5-6")];
        let response = server.admin().send("GET", &target, &several, &[]);
        assert_eq!((response.status, &response.body), (200, content));
        // As without redirects: HEAD, ranges that cannot be, what the client has already, and who may not ask.
        let head = server.admin().head(&target);
        let length = content.len().to_string();
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some(&*length))
        );
        let beyond = [("Range", "bytes=99999999-")];
        assert_eq!(
            server.admin().send("GET", &target, &beyond, &[]).status,
            416
        );
        let known = format!("\"{}\"", digest(content));
        let condition = [("If-None-Match", &*known)];
        assert_eq!(
            server.admin().send("GET", &target, &condition, &[]).status,
            304
        );
        assert_eq!(server.anonymous().get(&target).status, 401);
        let elsewhere = target.replace("/v2/a/", "/v2/b/");
        assert_eq!(server.admin().get(&elsewhere).status, 404);
        // The address is for this object and nothing else.
        let response = server.admin().get(&target);
        let url = response.header("location").unwrap();
        assert!(!url.contains("lazuli:") && url.contains("registry/"));
        let other = lazuli_testkit::http::Response {
            headers: vec![("location".to_owned(), url.replace("registry/", "registrz/"))],
            ..response
        };
        assert!(follow(&other, &[]).status >= 400);
    }
    // What is in the database comes from there.
    let response = server.admin().get(&inline_at);
    assert_eq!((response.status, &*response.body), (200, &*inline));
}

#[test]
fn blobs_are_fetched_from_ceph_itself() {
    let Some(bucket) = stores::s3() else { return };
    redirects(&bucket);
}

#[test]
fn blobs_are_fetched_from_azurite_itself() {
    let Some(bucket) = stores::azure() else {
        return;
    };
    redirects(&bucket);
}

#[test]
fn smaller_blobs_go_through_the_server_if_so_configured() {
    let Some(bucket) = stores::s3() else { return };
    let server = bucket.with("LAZULI_STORAGE_REDIRECT_FROM", "1MiB").serve();
    let (small, large) = (bytes(1 << 19, 1), bytes(1 << 20, 2));
    let response = server.admin().get(&push(&server, "a", &small));
    assert_eq!(response.status, 200);
    assert!(response.body == small);
    let response = server.admin().get(&push(&server, "a", &large));
    assert_eq!(response.status, 307);
}

#[test]
fn only_the_chosen_clients_are_sent_to_the_store() {
    let content = bytes(70_000, 4);
    for (setting, value, admin, anonymous, elsewhere) in [
        ("LAZULI_STORAGE_REDIRECT_FOR", "signed-in", 307, 200, 307),
        ("LAZULI_STORAGE_REDIRECT_FOR", "anonymous", 200, 307, 200),
        (
            "LAZULI_STORAGE_REDIRECT_NETWORKS",
            "10.0.0.0/8",
            200,
            200,
            307,
        ),
    ] {
        let Some(bucket) = stores::s3() else { return };
        let server = bucket
            .with(setting, value)
            .with("LAZULI_ANONYMOUS_PULL", "true")
            .with("LAZULI_TRUSTED_PROXIES", "127.0.0.1")
            .serve();
        let target = push(&server, "a", &content);
        // As through a proxy.
        let from = [("X-Forwarded-For", "10.1.2.3")];
        // Twice: the second answer comes from memory.
        for _ in 0..2 {
            let answers = [
                (admin, server.admin().get(&target)),
                (anonymous, server.anonymous().get(&target)),
                (elsewhere, server.admin().send("GET", &target, &from, &[])),
            ];
            for (number, (status, answer)) in answers.into_iter().enumerate() {
                assert_eq!(answer.status, status, "{setting}={value}, {number}");
                let body = if status == 307 {
                    follow(&answer, &[]).body
                } else {
                    answer.body
                };
                assert!(body == content, "{setting}={value}, {number}");
            }
        }
    }
}

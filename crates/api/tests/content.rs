//! What is served, from memory and from disk, and the headers it comes with.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use lazuli_api::{ApiOptions, Cors, Ended, MetricsAccess};
use lazuli_testkit::http::Connection;

#[test]
fn a_manifest_from_memory_is_the_same_answer_as_from_the_database() {
    let server = Server::start(ApiOptions::default());
    let (body, digest) = server.push_image("a", "v1", "");
    let first = server.admin().get("/v2/a/manifests/v1");
    let second = server.admin().get("/v2/a/manifests/v1");
    let head = server.admin().head("/v2/a/manifests/v1");
    assert_eq!(first.body, body.as_bytes());
    assert_eq!(second.body, first.body);
    for response in [&first, &second, &head] {
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-type"), Some(OCI));
        assert_eq!(response.header("docker-content-digest"), Some(&*digest));
        assert_eq!(response.header("etag"), Some(&*format!("\"{digest}\"")));
        assert_eq!(
            response.header("content-length"),
            Some(&*body.len().to_string())
        );
        let names: Vec<_> = response.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), first.headers.len(), "{names:?}");
        assert!(response.header("host").is_none() && response.header("authorization").is_none());
    }
}

#[test]
fn a_push_moves_a_tag_only_from_where_it_was_expected() {
    let server = Server::start(ApiOptions::default());
    let (_, first) = server.push_image("a", "v1", "first");
    let config = sha256(b"{}");
    let second = manifest(&config, "second");
    let wrong = format!("\"{}\"", sha256(b"elsewhere"));
    let refused = server.put_manifest("a", "v1", &[("If-Match", &wrong)], &second);
    assert_eq!(refused.status, 412, "{refused:?}");
    assert_eq!(
        server
            .admin()
            .head("/v2/a/manifests/v1")
            .header("docker-content-digest"),
        Some(&*first)
    );
    let right = format!("\"{first}\"");
    assert_eq!(
        server
            .put_manifest("a", "v1", &[("If-Match", &right)], &second)
            .status,
        201
    );
    assert_eq!(
        server
            .put_manifest("a", "v1", &[("If-Match", &right)], &second)
            .status,
        412
    );
    for unknown in [("If-None-Match", "\"x\""), ("If-Match", "W/\"x\"")] {
        assert_eq!(
            server.put_manifest("a", "v1", &[unknown], &second).status,
            400
        );
    }
}

#[test]
fn blobs_in_the_database_and_on_disk_are_served_alike() {
    let server = Server::start(ApiOptions::default());
    for length in [0, 1, 1000, 5000, 300_000, 1_500_000] {
        let content = bytes(length);
        let digest = server.push_blob("a", &content);
        let target = format!("/v2/a/blobs/{digest}");
        for _ in 0..2 {
            let response = server.admin().get(&target);
            assert_eq!(response.status, 200);
            assert!(response.body == content, "{length}");
            assert_eq!(response.header("accept-ranges"), Some("bytes"));
            assert_eq!(
                response.header("content-type"),
                Some("application/octet-stream")
            );
            assert_eq!(response.header("etag"), Some(&*format!("\"{digest}\"")));
        }
        let head = server.admin().head(&target);
        assert_eq!(head.header("content-length"), Some(&*length.to_string()));
        if length > 10 {
            let range = [("Range", "bytes=5-")];
            let part = server.admin().send("GET", &target, &range, &[]);
            assert_eq!(part.status, 206);
            assert!(part.body == content[5..]);
            let head = server.admin().send("HEAD", &target, &range, &[]);
            assert_eq!(head.header("content-length"), Some(&*length.to_string()));
            let known = [("If-None-Match", &*format!("\"{digest}\""))];
            for method in ["GET", "HEAD"] {
                assert_eq!(
                    server.admin().send(method, &target, &known, &[]).status,
                    304
                );
            }
        }
    }
}

#[test]
fn one_connection_carries_every_kind_of_request() {
    let server = Server::start(ApiOptions::default());
    let authorization = lazuli_testkit::server::basic("lazuli", PASSWORD);
    let credentials = ("Authorization", authorization.as_str());
    let content = bytes(400_000);
    let digest = sha256(&content);
    let mut connection = Connection::open(server.address).unwrap();
    let mut send = |method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]| {
        let headers: Vec<_> = headers.iter().copied().chain([credentials]).collect();
        connection.send(method, target, &headers, body).unwrap()
    };
    let started = send("POST", "/v2/a/blobs/uploads/", &[], &[]);
    let place = started.header("location").unwrap().to_owned();
    let chunked = [("Transfer-Encoding", "chunked")];
    let appended = send("PATCH", &place, &chunked, &content[..100_000]);
    assert_eq!(
        (appended.status, appended.header("range")),
        (202, Some("0-99999"))
    );
    let place = appended.header("location").unwrap().to_owned();
    let early = send("PATCH", &place, &[("Content-Range", "5-6")], b"xy");
    assert_eq!(
        (early.status, early.header("range")),
        (416, Some("0-99999"))
    );
    let done = send(
        "PUT",
        &format!("{place}?digest={digest}"),
        &[],
        &content[100_000..],
    );
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!(send("GET", "/v2/none/tags/list", &[], &[]).status, 404);
    let blob = send("GET", &format!("/v2/a/blobs/{digest}"), &[], &[]);
    assert!(blob.body == content);
    let deleted = send("DELETE", &format!("/v2/a/blobs/{digest}"), &[], &[]);
    assert_eq!(deleted.status, 202);
    assert!(
        deleted
            .header("x-ms-ratelimit-remaining-calls-per-second")
            .is_some()
    );
    assert_eq!(
        send("HEAD", &format!("/v2/a/blobs/{digest}"), &[], &[]).status,
        404
    );
}

#[test]
fn listings_are_paged_and_linked() {
    let server = Server::start(ApiOptions::default());
    for tag in ["a", "b", "c", "d"] {
        server.push_image("some/where", tag, "");
    }
    server.push_image("else", "x", "");
    let page = server.admin().get("/v2/some/where/tags/list?n=2&last=a");
    assert_eq!(page.body, br#"{"name":"some/where","tags":["b","c"]}"#);
    assert_eq!(
        page.header("link"),
        Some("</v2/some/where/tags/list?last=c&n=2&orderby=>; rel=\"next\"")
    );
    let page = server.admin().get("/v2/_catalog?n=1");
    assert_eq!(page.body, br#"{"repositories":["else"]}"#);
    assert_eq!(
        page.header("link"),
        Some("</v2/_catalog?last=else&n=1&orderby=>; rel=\"next\"")
    );
    let bad = server.admin().get("/v2/_catalog?n=x");
    assert_eq!(
        (bad.status, bad.error_code().as_str()),
        (400, "PAGINATION_NUMBER_INVALID")
    );
    assert_eq!(server.admin().get("/v2/_catalog?n=1&n=2").status, 400);
    let many = "x=1&".repeat(500);
    assert_eq!(
        server.admin().get(&format!("/v2/_catalog?{many}")).status,
        414
    );
}

#[test]
fn referrers_are_filtered_by_one_or_several_types() {
    let server = Server::start(ApiOptions::default());
    let (_, subject) = server.push_image("a", "v1", "");
    for (i, kind) in ["x/one", "x/two", "x/three"]
        .iter()
        .cycle()
        .take(30)
        .enumerate()
    {
        let body = manifest(&sha256(b"{}"), &i.to_string()).replacen(
            '{',
            &format!(
                r#"{{"artifactType":"{kind}","subject":{{"mediaType":"{OCI}","digest":"{subject}","size":2}},"#
            ),
            1,
        );
        assert_eq!(
            server
                .put_manifest("a", &sha256(body.as_bytes()), &[], &body)
                .status,
            201
        );
    }
    let count = |query: &str| {
        let response = server
            .admin()
            .get(&format!("/v2/a/referrers/{subject}?{query}"));
        assert_eq!(response.status, 200);
        let applied = response.header("oci-filters-applied").map(str::to_owned);
        let number = response.json()["manifests"].as_array().unwrap().len();
        (number, applied, response.header("link").map(str::to_owned))
    };
    let applied = Some("artifactType".to_owned());
    assert_eq!(count(""), (30, None, None));
    assert_eq!(count("artifactType=x/two"), (10, applied.clone(), None));
    assert_eq!(
        count("artifactType=x/two&artifactType=x/one"),
        (20, applied, None)
    );
    // Pages with a filter lead through everything that passes it.
    let mut target = format!("/v2/a/referrers/{subject}?n=4&artifactType=x/two&artifactType=x/one");
    let mut seen = std::collections::HashSet::new();
    for pages in 1.. {
        let response = server.admin().get(&target);
        for entry in response.json()["manifests"].as_array().unwrap() {
            assert!(seen.insert(entry["digest"].as_str().unwrap().to_owned()));
        }
        let Some(link) = response.header("link") else {
            break;
        };
        assert!(pages < 20);
        target = link[1..].split('>').next().unwrap().to_owned();
    }
    assert_eq!(seen.len(), 20);
}

#[test]
fn operators_see_health_and_metrics() {
    let server = Server::start(ApiOptions::default());
    server.push_image("a", "v1", "");
    server.admin().get("/v2/a/manifests/v1");
    assert_eq!(server.anonymous().get("/healthz").status, 200);
    let ready = server.anonymous().get("/readyz");
    assert_eq!(ready.status, 200);
    let text = String::from_utf8(ready.body).unwrap();
    assert_eq!(
        text,
        "database reads: ok\ndatabase writes: ok\nblob store: ok\n"
    );
    let metrics = server.anonymous().get("/metrics");
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let text = String::from_utf8(metrics.body).unwrap();
    for line in [
        "lazuli_http_requests_total{endpoint=\"manifest\",status=\"2xx\"} 2",
        "lazuli_http_requests_total{endpoint=\"upload\",status=\"2xx\"} 1",
        "# TYPE lazuli_http_connections_open gauge",
        "# EOF",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
    }
    assert!(
        !text.contains("/v2/") && !text.contains("repository"),
        "names nothing clients chose"
    );
    // What came through a proxy is not local.
    let proxied = [("X-Forwarded-For", "203.0.113.9")];
    assert_eq!(
        server
            .anonymous()
            .send("GET", "/metrics", &proxied, &[])
            .status,
        404
    );
    assert_eq!(
        server.anonymous().send("POST", "/healthz", &[], &[]).status,
        405
    );
    let off = Server::start(ApiOptions {
        metrics: MetricsAccess::Off,
        ..ApiOptions::default()
    });
    assert_eq!(off.anonymous().get("/metrics").status, 404);
    assert_eq!(off.stop(), Ended::Complete);
}

#[test]
fn browsers_are_answered_and_only_listed_origins_let_in() {
    let server = Server::start(ApiOptions {
        cors: Cors {
            origins: vec!["https://portal.example".into()],
        },
        ..ApiOptions::default()
    });
    let ask = |origin: &str| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
        server
            .anonymous()
            .send("OPTIONS", "/v2/a/manifests/v1", &headers, &[])
    };
    let allowed = ask("https://portal.example");
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("allow"), Some("GET, HEAD, PUT, DELETE"));
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://portal.example")
    );
    assert!(
        allowed
            .header("access-control-allow-headers")
            .unwrap()
            .contains("Authorization")
    );
    assert_eq!(
        ask("https://evil.example").header("access-control-allow-origin"),
        None
    );
    let headers = [("Origin", "https://portal.example")];
    let refused = server.anonymous().send("GET", "/v2/", &headers, &[]);
    assert_eq!(
        refused.header("access-control-allow-origin"),
        Some("https://portal.example")
    );
    assert!(
        refused
            .header("access-control-expose-headers")
            .unwrap()
            .contains("WWW-Authenticate")
    );
}

#[test]
fn deletion_can_be_switched_off() {
    let server = Server::start(ApiOptions {
        delete_enabled: false,
        ..ApiOptions::default()
    });
    let (_, digest) = server.push_image("a", "v1", "");
    for (target, allow) in [
        ("/v2/a/manifests/v1".to_owned(), "GET, HEAD, PUT"),
        (format!("/v2/a/blobs/{digest}"), "GET, HEAD"),
    ] {
        let refused = server.admin().delete(&target);
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, Some(allow))
        );
    }
    // An upload session is no content.
    let started = server
        .admin()
        .send("POST", "/v2/a/blobs/uploads/", &[], &[]);
    assert_eq!(
        server
            .admin()
            .delete(started.header("location").unwrap())
            .status,
        204
    );
}

#[test]
fn paths_outside_the_planes_are_not_found() {
    let server = Server::start(ApiOptions::default());
    for target in ["/v1/", "/v2x", "/oauth2/", "/acr", "/v2/a/b"] {
        assert_eq!(server.admin().get(target).status, 404, "{target}");
    }
    for target in [
        "/v2/../etc/passwd",
        "/v2/a/%2e%2e/manifests/v1",
        "/v2/a//manifests/v1",
    ] {
        assert_eq!(server.admin().get(target).status, 400, "{target}");
    }
    assert_eq!(
        server
            .anonymous()
            .send("PUT", "/oauth2/token", &[], &[])
            .status,
        405
    );
    let form = bytes(100_000);
    assert_eq!(
        server
            .anonymous()
            .send("POST", "/oauth2/token", &[], &form)
            .status,
        413
    );
}

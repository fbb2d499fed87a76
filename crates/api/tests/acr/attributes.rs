//! Attributes, and what both planes have to do with each other.

use lazuli_api::ApiOptions;

use crate::common::*;
use crate::patch;

#[test]
fn a_lock_is_told_on_both_planes() {
    let server = Server::start(ApiOptions::default());
    let (body, digest) = server.push_image("a", "v1", "");
    let config = sha256(b"{}");
    assert_eq!(server.admin().get("/v2/a/manifests/v1").status, 200);
    assert_eq!(
        server.admin().get(&format!("/v2/a/blobs/{config}")).status,
        200
    );
    let all = r#"{"deleteEnabled":false,"writeEnabled":false,"readEnabled":false}"#;
    assert_eq!(patch(&server, "/acr/v1/a", all).status, 200);
    let admin = server.admin();
    for refused in [
        admin.get("/v2/a/manifests/v1"),
        admin.get(&format!("/v2/a/manifests/{digest}")),
        admin.get(&format!("/v2/a/blobs/{config}")),
        admin.get(&format!("/v2/a/referrers/{digest}")),
        admin.delete(&format!("/v2/a/manifests/{digest}")),
        admin.delete("/v2/a/manifests/v1"),
        admin.delete(&format!("/v2/a/blobs/{config}")),
        admin.delete("/acr/v1/a"),
        server.put_manifest("a", "v2", &[], &body),
        admin.send(
            "POST",
            &format!("/v2/a/blobs/uploads/?digest={}", sha256(b"x")),
            &[],
            b"x",
        ),
    ] {
        let outcome = (refused.status, refused.error_code());
        assert_eq!(outcome, (405, "REGISTRY_DISALLOWED_OPERATION".to_owned()));
    }
    // A HEAD is refused alike; what is known of it can be read.
    assert_eq!(admin.head("/v2/a/manifests/v1").status, 405);
    assert_eq!(admin.get("/acr/v1/a/_tags/v1").status, 200);
    assert_eq!(admin.get("/v2/a/tags/list").status, 200);
    let none = r#"{"deleteEnabled":true,"writeEnabled":true,"readEnabled":true}"#;
    assert_eq!(patch(&server, "/acr/v1/a", none).status, 200);
    assert_eq!(admin.get("/v2/a/manifests/v1").body, body.as_bytes());
}

#[test]
fn bodies_that_say_nothing_sensible_change_nothing() {
    let server = Server::start(ApiOptions::default());
    server.push_image("a", "v1", "");
    for body in [
        "",
        "null",
        "[]",
        r#"{"writeEnabled":"false"}"#,
        r#"{"immutable":true}"#,
        r#"{"teleportEnabled":true}"#,
        r#"{"quarantineState":"Passed"}"#,
    ] {
        let refused = patch(&server, "/acr/v1/a", body);
        assert_eq!(refused.status, 400, "{body}: {refused:?}");
    }
    let found = server.admin().get("/acr/v1/a").json();
    assert_eq!(found["changeableAttributes"]["writeEnabled"], true);
}

#[test]
fn the_other_plane_does_what_azures_libraries_need() {
    let server = Server::start(ApiOptions::default());
    let (_, digest) = server.push_image("a/b", "v1", "");
    let config = sha256(b"{}");
    let escape = |digest: &str| digest.replace(':', "%3A");
    // A range that goes beyond the end.
    let target = format!("/v2/a%2Fb/blobs/{}", escape(&config));
    let range = [("Range", "bytes=0-4194303")];
    let part = server.admin().send("GET", &target, &range, &[]);
    assert_eq!(part.status, 206, "{part:?}");
    assert_eq!(part.header("content-range"), Some("bytes 0-1/2"));
    let manifest = format!("/v2/a%2Fb/manifests/{}", escape(&digest));
    let found = server.admin().get(&manifest);
    assert_eq!(found.header("docker-content-digest"), Some(digest.as_str()));
    assert!(found.header("content-length").is_some());
    assert_eq!(server.admin().delete(&manifest).status, 202);
    let blob = server.push_blob("a/b", b"another");
    let gone = server
        .admin()
        .delete(&format!("/v2/a%2Fb/blobs/{}", escape(&blob)));
    assert_eq!(gone.status, 202);
    assert_eq!(gone.header("docker-content-digest"), Some(blob.as_str()));
    // A withdrawn kind of manifest is given only to those who ask for it.
    let kind = "application/vnd.oci.artifact.manifest.v1+json";
    let body = format!(r#"{{"mediaType":"{kind}","artifactType":"x/y","blobs":[]}}"#);
    let headers = [("Content-Type", kind)];
    let target = "/v2/a%2Fb/manifests/old";
    let pushed = server
        .admin()
        .send("PUT", target, &headers, body.as_bytes());
    assert_eq!(pushed.status, 201, "{pushed:?}");
    let accept = |kind| server.admin().send("GET", target, &[("Accept", kind)], &[]);
    assert_eq!(accept(OCI).status, 404);
    assert_eq!(accept(kind).status, 200);
    assert_eq!(accept("*/*").status, 200);
}

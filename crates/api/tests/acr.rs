//! The data plane of Azure Container Registry.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use lazuli_api::ApiOptions;
use lazuli_testkit::http::Response;
use serde_json::{Value, json};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn patch(server: &Server, target: &str, body: &str) -> Response {
    let headers = [("Content-Type", "application/json")];
    server
        .admin()
        .send("PATCH", target, &headers, body.as_bytes())
}

/// The names in a list of objects.
fn names(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    let name = |item: &Value| item[key].as_str().unwrap().to_owned();
    items.map(name).collect()
}

/// The target of a `Link` header.
fn next(response: &Response) -> Option<String> {
    let link = response.header("link")?;
    let target = link.strip_prefix('<').unwrap();
    Some(target.strip_suffix(">; rel=\"next\"").unwrap().to_owned())
}

#[test]
fn every_route_challenges_for_what_it_needs() {
    let server = Server::start(ApiOptions::default());
    let host = server.address;
    let head = format!("Bearer realm=\"http://{host}/oauth2/token\",service=\"{host}\"");
    let manifest = format!("/acr/v1/a%2Fb/_manifests/{}", DIGEST.replace(':', "%3A"));
    let restore = format!("/acr/v1/_deleted/a/b/_manifests/{DIGEST}");
    for (method, target, scope) in [
        ("GET", "/acr/v1/_catalog", "registry:catalog:*"),
        ("GET", "/acr/v1/a/b", "repository:a/b:metadata_read"),
        ("PATCH", "/acr/v1/a%2Fb", "repository:a/b:metadata_write"),
        ("DELETE", "/acr/v1/a%2Fb", "repository:a/b:delete"),
        ("GET", "/acr/v1/a%2Fb/_tags", "repository:a/b:metadata_read"),
        (
            "HEAD",
            "/acr/v1/a/b/_tags/v1",
            "repository:a/b:metadata_read",
        ),
        (
            "PATCH",
            "/acr/v1/a/b/_tags/v1",
            "repository:a/b:metadata_write",
        ),
        ("DELETE", "/acr/v1/a/b/_tags/v1", "repository:a/b:delete"),
        (
            "GET",
            "/acr/v1/a/b/_manifests",
            "repository:a/b:metadata_read",
        ),
        ("GET", &manifest, "repository:a/b:metadata_read"),
        ("PATCH", &manifest, "repository:a/b:metadata_write"),
        (
            "GET",
            "/acr/v1/_deleted/_catalog",
            "registry:deleted_catalog:*",
        ),
        (
            "GET",
            "/acr/v1/_deleted/a/b/_tags",
            "repository:a/b:deleted_read",
        ),
        (
            "GET",
            "/acr/v1/_deleted/a/b/_manifests",
            "repository:a/b:deleted_read",
        ),
        ("POST", &restore, "repository:a/b:deleted_restore"),
        (
            "GET",
            "/acr/v1/a/b/_streaming",
            "repository:a/b:metadata_read",
        ),
        (
            "POST",
            "/acr/v1/a/b/_streaming",
            "repository:a/b:pull,push",
        ),
        (
            "GET",
            "/acr/v1/a/b/_operations/1",
            "repository:a/b:metadata_read",
        ),
        (
            "POST",
            "/acr/v1/a/b/_operations/1:cancel",
            "repository:a/b:metadata_write",
        ),
        (
            "PUT",
            "/acr/v1/a/b/_metadata/k",
            "repository:a/b:metadata_write",
        ),
    ] {
        let body = if method == "PATCH" { "{}" } else { "" };
        let response = server
            .anonymous()
            .send(method, target, &[], body.as_bytes());
        assert_eq!(response.status, 401, "{method} {target}");
        let expected = format!("{head},scope=\"{scope}\"");
        let challenge = response.header("www-authenticate");
        assert_eq!(challenge, Some(&*expected), "{method} {target}");
        // A token for just that is enough, and one for anything else is not.
        let token = server.with_token(scope);
        let allowed = token.send(method, target, &[], body.as_bytes());
        assert_ne!(allowed.status, 401, "{method} {target}: {allowed:?}");
        let other = server.with_token("repository:other:*");
        let refused = other.send(method, target, &[], body.as_bytes());
        assert_eq!(refused.status, 401, "{method} {target}");
    }
}

#[test]
fn a_large_body_without_a_token_is_challenged_and_the_connection_goes_on() {
    let server = Server::start(ApiOptions::default());
    server.push_image("a", "v1", "");
    let body = vec![b' '; 60_000];
    let response = server.anonymous().send("PATCH", "/acr/v1/a", &[], &body);
    assert_eq!(response.status, 401);
    let huge = vec![b' '; 70_000];
    let refused = server.admin().send("PATCH", "/acr/v1/a", &[], &huge);
    assert_eq!(refused.status, 413, "{refused:?}");
}

#[test]
fn a_repository_is_described_changed_and_deleted() {
    let server = Server::start(ApiOptions::default());
    let (_, digest) = server.push_image("a/b", "v1", "");
    server.push_image("a/b", "v2", "");
    let login_server = server.address.to_string();
    let get = |target: &str| server.admin().get(target);
    let response = get("/acr/v1/a%2Fb");
    assert_eq!(response.status, 200, "{response:?}");
    assert!(response.header("x-ms-correlation-request-id").is_some());
    assert_eq!(
        response.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    let mut found = response.json();
    for time in ["createdTime", "lastUpdateTime"] {
        let text = found[time].as_str().unwrap().to_owned();
        let (_, digits) = text.strip_suffix('Z').unwrap().split_once('.').unwrap();
        assert_eq!(digits.len(), 7, "{text}");
        found[time] = Value::Null;
    }
    assert_eq!(
        found,
        json!({
            "registry": login_server,
            "imageName": "a/b",
            "createdTime": null,
            "lastUpdateTime": null,
            "manifestCount": 1,
            "tagCount": 2,
            "changeableAttributes": {
                "deleteEnabled": true,
                "writeEnabled": true,
                "readEnabled": true,
                "listEnabled": true,
                "teleportEnabled": false
            }
        })
    );
    assert_eq!(get("/acr/v1/a/b").json(), response.json());
    let changed = patch(&server, "/acr/v1/a/b", r#"{"listEnabled":false}"#);
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.json()["changeableAttributes"]["listEnabled"], false);
    for catalog in ["/acr/v1/_catalog", "/v2/_catalog"] {
        assert_eq!(get(catalog).json(), json!({"repositories": []}));
    }
    let deleted = server.admin().delete("/acr/v1/a/b");
    assert_eq!(deleted.status, 202, "{deleted:?}");
    assert!(
        deleted
            .header("x-ms-ratelimit-remaining-calls-per-second")
            .is_some()
    );
    assert_eq!(
        deleted.json(),
        json!({"manifestsDeleted": [digest], "tagsDeleted": ["v1", "v2"]})
    );
    for gone in [
        server.admin().delete("/acr/v1/a/b"),
        get("/acr/v1/a/b"),
        get("/acr/v1/a/b/_tags"),
        get("/acr/v1/a/b/_manifests"),
        patch(&server, "/acr/v1/a/b", "{}"),
    ] {
        let outcome = (gone.status, gone.error_code());
        assert_eq!(outcome, (404, "NAME_UNKNOWN".to_owned()));
    }
}

#[test]
fn tags_are_listed_described_changed_and_removed() {
    let server = Server::start(ApiOptions::default());
    let (_, one) = server.push_image("a", "v1", "one");
    let (_, two) = server.push_image("a", "v2", "two");
    server.push_image("a", "v0", "one");
    let get = |target: &str| server.admin().get(target);
    let listed = get("/acr/v1/a/_tags").json();
    assert_eq!(listed["imageName"], "a");
    assert_eq!(names(&listed["tags"], "name"), ["v0", "v1", "v2"]);
    let of = |query: &str| {
        names(
            &get(&format!("/acr/v1/a/_tags{query}")).json()["tags"],
            "name",
        )
    };
    assert_eq!(of("?orderby=timedesc"), ["v0", "v2", "v1"]);
    assert_eq!(of("?orderby=timeasc"), ["v1", "v2", "v0"]);
    assert_eq!(of("?orderby=&last=v1&n=1"), ["v2"]);
    assert_eq!(of("?orderby=timedesc&last=v0"), ["v2", "v1"]);
    assert_eq!(of(&format!("?digest={one}")), ["v0", "v1"]);
    let page = get("/acr/v1/a/_tags?n=1&api-version=2021-07-01");
    assert_eq!(
        page.header("link"),
        Some("</acr/v1/a/_tags?last=v0&n=1&orderby=>; rel=\"next\"")
    );
    let page = get(&format!(
        "/acr/v1/a/_tags?n=1&digest={}",
        one.replace(':', "%3A")
    ));
    let page = get(&next(&page).unwrap());
    assert_eq!(names(&page.json()["tags"], "name"), ["v1"]);
    assert_eq!(next(&page), None);
    let mut target = Some("/acr/v1/a/_tags?n=1&orderby=timedesc".to_owned());
    let mut all = Vec::new();
    while let Some(page) = target.map(|target| get(&target)) {
        all.extend(names(&page.json()["tags"], "name"));
        target = next(&page);
    }
    assert_eq!(all, ["v0", "v2", "v1"]);

    let found = get("/acr/v1/a/_tags/v2").json();
    assert_eq!(found["tag"]["digest"], two.as_str());
    assert_eq!(found["tag"]["signed"], false);
    let changed = patch(&server, "/acr/v1/a/_tags/v2", r#"{"writeEnabled":false}"#);
    assert_eq!(
        changed.json()["tag"]["changeableAttributes"]["writeEnabled"],
        false
    );
    let refused = server.admin().delete("/acr/v1/a/_tags/v2");
    let outcome = (refused.status, refused.error_code());
    assert_eq!(outcome, (405, "REGISTRY_DISALLOWED_OPERATION".to_owned()));
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    let message = refused.json()["errors"][0]["message"].to_string();
    assert!(
        message.contains("writeEnabled of the tag v2 is false"),
        "{message}"
    );
    assert_eq!(server.admin().delete("/acr/v1/a/_tags/v1").status, 202);
    for gone in [
        server.admin().delete("/acr/v1/a/_tags/v1"),
        get("/acr/v1/a/_tags/v1"),
        patch(&server, "/acr/v1/a/_tags/v1", "{}"),
        get("/acr/v1/a/_tags/%21"),
    ] {
        let outcome = (gone.status, gone.error_code());
        assert_eq!(outcome, (404, "TAG_UNKNOWN".to_owned()));
    }
    // The manifest stays.
    assert_eq!(get(&format!("/v2/a/manifests/{one}")).status, 200);
}

#[test]
fn manifests_are_listed_described_and_changed() {
    let server = Server::start(ApiOptions::default());
    let config = server.push_blob("a", br#"{"architecture":"arm64","os":"linux"}"#);
    let body = manifest(&config, "").replace("\"size\":2", "\"size\":37");
    assert_eq!(server.put_manifest("a", "v1", &[], &body).status, 201);
    let digest = sha256(body.as_bytes());
    let target = format!("/acr/v1/a/_manifests/{}", digest.replace(':', "%3A"));
    let mut found = server.admin().get(&target).json();
    found["manifest"]["createdTime"] = Value::Null;
    found["manifest"]["lastUpdateTime"] = Value::Null;
    let expected = json!({
        "registry": server.address.to_string(),
        "imageName": "a",
        "manifest": {
            "digest": digest,
            "imageSize": 37,
            "createdTime": null,
            "lastUpdateTime": null,
            "architecture": "arm64",
            "os": "linux",
            "mediaType": OCI,
            "configMediaType": "application/vnd.oci.image.config.v1+json",
            "tags": ["v1"],
            "changeableAttributes": {
                "deleteEnabled": true,
                "writeEnabled": true,
                "readEnabled": true,
                "listEnabled": true
            }
        }
    });
    assert_eq!(found, expected);
    let listed = server.admin().get("/acr/v1/a/_manifests?orderby=timedesc");
    assert_eq!(
        names(&listed.json()["manifests"], "digest"),
        [digest.clone()]
    );
    let marked = r#"{"quarantineState":"Passed","quarantineDetails":"{\"by\":\"me\"}"}"#;
    let changed = patch(&server, &target, marked).json();
    let attributes = &changed["manifest"]["changeableAttributes"];
    assert_eq!(attributes["quarantineState"], "Passed");
    assert_eq!(attributes["quarantineDetails"], r#"{"by":"me"}"#);
    let unknown = server
        .admin()
        .get(&format!("/acr/v1/a/_manifests/{DIGEST}"));
    assert_eq!(unknown.error_code(), "MANIFEST_UNKNOWN");
    // A malformed digest is not one that is not there.
    for target in [
        "/acr/v1/a/_manifests/sha256:abc",
        "/acr/v1/a/_manifests?last=v1",
        "/acr/v1/a/_tags?digest=v1",
    ] {
        let refused = server.admin().get(target);
        let outcome = (refused.status, refused.error_code());
        assert_eq!(outcome, (400, "DIGEST_INVALID".to_owned()), "{target}");
    }
    let is_known = server.admin().send("DELETE", &target, &[], &[]);
    assert_eq!(
        (is_known.status, is_known.header("allow")),
        (405, Some("GET, HEAD, PATCH"))
    );
}

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
fn the_catalog_has_an_order_on_both_planes() {
    let server = Server::start(ApiOptions::default());
    for name in ["b", "c", "a"] {
        server.push_image(name, "v1", "");
    }
    for plane in ["/acr/v1/_catalog", "/v2/_catalog"] {
        let list = |query: &str| server.admin().get(&format!("{plane}{query}"));
        let all = |query: &str| list(query).json()["repositories"].clone();
        assert_eq!(all(""), json!(["a", "b", "c"]));
        assert_eq!(all("?orderby="), json!(["a", "b", "c"]));
        assert_eq!(all("?orderby=timeasc"), json!(["b", "c", "a"]));
        assert_eq!(all("?orderby=timedesc&n=2"), json!(["a", "c"]));
        let page = list("?n=2");
        let expected = format!("<{plane}?last=b&n=2&orderby=>; rel=\"next\"");
        assert_eq!(page.header("link"), Some(&*expected));
        let page = list("?orderby=timedesc&n=2");
        let rest = server.admin().get(&next(&page).unwrap());
        assert_eq!(rest.json()["repositories"], json!(["b"]));
        assert_eq!(list("?orderby=name").status, 400);
        assert_eq!(list("?n=x").error_code(), "PAGINATION_NUMBER_INVALID");
    }
}

#[test]
fn what_is_not_there_yet_is_named() {
    let server = Server::start(ApiOptions::default());
    server.push_image("a", "v1", "");
    let admin = server.admin();
    let catalog = admin.get("/acr/v1/_deleted/_catalog");
    assert_eq!(catalog.json(), json!({"repositories": []}));
    let tags = admin.get("/acr/v1/_deleted/a/_tags").json();
    assert_eq!(
        (&tags["imageName"], &tags["tags"]),
        (&json!("a"), &json!([]))
    );
    let manifests = admin.get("/acr/v1/_deleted/a/_manifests").json();
    assert_eq!(manifests["manifests"], json!([]));
    let streaming = admin.get("/acr/v1/a/_streaming").json();
    assert_eq!(streaming, json!({"convertPushedImages": false}));
    let restore = format!("/acr/v1/_deleted/a/_manifests/{DIGEST}?force=False");
    for (method, target, status, text) in [
        ("POST", restore.as_str(), 404, "soft delete"),
        ("POST", "/acr/v1/a/_streaming", 405, "artifact streaming"),
        ("GET", "/acr/v1/a/_operations/x", 404, "artifact streaming"),
        (
            "POST",
            "/acr/v1/a/_operations/x:cancel",
            404,
            "artifact streaming",
        ),
        ("GET", "/acr/v1/a/_metadata", 405, "metadata"),
        ("PUT", "/acr/v1/a/_tags/v1/_metadata/k", 405, "metadata"),
    ] {
        let refused = admin.send(method, target, &[], b"{}");
        assert_eq!(refused.status, status, "{target}: {refused:?}");
        let message = refused.json()["errors"][0]["message"].to_string();
        assert!(message.contains(text), "{message}");
    }
}

#[test]
fn an_anonymous_caller_reads_what_is_known_and_changes_nothing() {
    let server = Server::start(ApiOptions::default());
    let (_, digest) = server.push_image("a", "v1", "");
    server.allow_anonymous_pull();
    let anyone = server.anonymous();
    for target in [
        "/acr/v1/_catalog".to_owned(),
        "/acr/v1/a".to_owned(),
        "/acr/v1/a/_tags/v1".to_owned(),
        format!("/acr/v1/a/_manifests/{digest}"),
    ] {
        assert_eq!(anyone.get(&target).status, 200, "{target}");
    }
    for (method, target) in [
        ("PATCH", "/acr/v1/a"),
        ("PATCH", "/acr/v1/a/_tags/v1"),
        ("DELETE", "/acr/v1/a"),
        ("DELETE", "/acr/v1/a/_tags/v1"),
    ] {
        let refused = anyone.send(method, target, &[], b"{}");
        assert_eq!(refused.status, 401, "{method} {target}");
    }
}

#[test]
fn nothing_is_deleted_where_deletion_is_off() {
    let server = Server::start(ApiOptions {
        delete_enabled: false,
        ..ApiOptions::default()
    });
    server.push_image("a", "v1", "");
    for target in ["/acr/v1/a", "/acr/v1/a/_tags/v1"] {
        let refused = server.admin().delete(target);
        assert_eq!(refused.status, 405, "{target}");
        assert_eq!(refused.header("allow"), Some("GET, HEAD, PATCH"));
    }
}

#[test]
fn a_path_that_is_none_is_refused_by_its_reason() {
    let server = Server::start(ApiOptions::default());
    for (target, status, code) in [
        ("/acr/v1/A", 400, "NAME_INVALID"),
        ("/acr/v1/a%252Fb", 400, "NAME_INVALID"),
        ("/acr/v1/a/_nothing", 404, "UNSUPPORTED"),
        ("/acr/v2/a", 404, "UNSUPPORTED"),
        ("/acr/v1/_deleted/a", 404, "UNSUPPORTED"),
    ] {
        let refused = server.admin().get(target);
        let outcome = (refused.status, refused.error_code());
        assert_eq!(outcome, (status, code.to_owned()), "{target}");
    }
    let options = server.admin().send("OPTIONS", "/acr/v1/a", &[], &[]);
    assert_eq!(options.status, 204);
    assert_eq!(options.header("allow"), Some("GET, HEAD, PATCH, DELETE"));
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

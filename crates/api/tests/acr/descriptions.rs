//! Repositories, tags and manifests, described and listed.

use lazuli_api::ApiOptions;
use serde_json::{Value, json};

use crate::common::*;
use crate::{DIGEST, names, next, patch};

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
        std::slice::from_ref(&digest)
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

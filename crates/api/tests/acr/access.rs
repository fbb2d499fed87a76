//! Who is let in, and what is not there.

use lazuli_api::ApiOptions;
use serde_json::json;

use crate::DIGEST;
use crate::common::*;

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
        ("POST", "/acr/v1/a/b/_streaming", "repository:a/b:pull,push"),
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

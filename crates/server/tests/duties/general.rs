//! Errors, headers and the rest: G01–G09.

use crate::support::*;

#[test]
fn g01_a_namespace_parameter_is_not_proxied_and_never_uses_credentials() {
    let name = repository();
    let (body, _) = push_image(&name, "v1");
    let response = admin().get(&format!("/v2/{name}/manifests/v1?ns=docker.io"));
    // Not a mirror of anything: answered from this registry, without claiming a namespace.
    assert_eq!(
        (
            response.status,
            response.body.as_slice(),
            response.header("oci-namespace")
        ),
        (200, body.as_bytes(), None)
    );
    assert_eq!(
        server()
            .anonymous()
            .get(&format!("/v2/{name}/manifests/v1?ns=docker.io"))
            .status,
        401
    );
}

#[test]
fn g02_other_methods_are_405_with_allow() {
    let name = repository();
    let (_, digest) = push_image(&name, "v1");
    for (method, target) in [
        ("POST", "/v2/".to_owned()),
        ("PATCH", format!("/v2/{name}/manifests/v1")),
        ("POST", format!("/v2/{name}/manifests/v1")),
        ("PUT", format!("/v2/{name}/blobs/{digest}")),
        ("POST", format!("/v2/{name}/tags/list")),
        ("DELETE", format!("/v2/{name}/referrers/{digest}")),
        ("PUT", "/v2/_catalog".to_owned()),
    ] {
        let response = admin().send(method, &target, &[], &[]);
        refused(&response, 405, "UNSUPPORTED");
        assert!(
            response
                .header("allow")
                .is_some_and(|a| !a.contains(method)),
            "{method} {target} {response:?}"
        );
    }
}

/// It is told so, in every form of the condition, and only then.
pub(crate) fn nothing_changed(target: &str) {
    let ask = |condition: &str| admin().send("GET", target, &[("If-None-Match", condition)], &[]);
    let first = admin().get(target);
    let etag = first.header("etag").unwrap().to_owned();
    for condition in [
        etag.clone(),
        format!("\"x\", {etag}"),
        format!("W/{etag}"),
        "*".to_owned(),
    ] {
        let response = ask(&condition);
        assert_eq!(
            (response.status, response.body.len()),
            (304, 0),
            "{condition}"
        );
        assert_eq!(response.header("etag"), Some(etag.as_str()));
    }
    assert_eq!(ask("\"other\"").status, 200);
}

#[test]
fn g02_conditional_requests_are_answered_304_when_nothing_changed() {
    let name = repository();
    let (_, digest) = push_image(&name, "v1");
    for reference in ["v1", &digest] {
        nothing_changed(&format!("/v2/{name}/manifests/{reference}"));
    }
    push_image(&name, "v1");
    let moved = admin().send(
        "GET",
        &format!("/v2/{name}/manifests/v1"),
        &[("If-None-Match", &format!("\"{digest}\""))],
        &[],
    );
    assert_eq!(moved.status, 200);
}

#[test]
fn g03_no_redirect_is_sent_while_blobs_are_on_the_local_disk() {
    let name = repository();
    let digest = push_blob(&name, &bytes(9000));
    assert_eq!(
        admin().get(&format!("/v2/{name}/blobs/{digest}")).status,
        200
    );
}

#[test]
fn g04_errors_are_json_with_upper_case_codes_from_the_table() {
    let name = repository();
    push_image(&name, "v1");
    for (target, status, code) in [
        (
            format!("/v2/{name}/manifests/none"),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            format!("/v2/{name}/blobs/{}", sha256(b"none")),
            404,
            "BLOB_UNKNOWN",
        ),
        (
            format!("/v2/{name}/blobs/sha256:abc"),
            400,
            "DIGEST_INVALID",
        ),
        ("/v2/UPPER/tags/list".to_owned(), 400, "NAME_INVALID"),
        ("/v2/none/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
    ] {
        let response = admin().get(&target);
        refused(&response, status, code);
        assert_eq!(
            response
                .header("content-type")
                .map(|t| t.starts_with("application/json")),
            Some(true)
        );
    }
    let nowhere = admin().get("/v2/a/b/c/nothing/here");
    assert_eq!(nowhere.status, 404);
}

#[test]
fn g06_warnings_have_the_form_299_and_stay_below_4096_bytes() {
    let name = repository();
    let config = descriptor(EMPTY, &push_blob(&name, b"{}"), 2);
    let response = put_manifest(&name, "v1", OCI, &image(OCI, &config, &[], ""));
    let warnings: Vec<_> = response
        .headers
        .iter()
        .filter(|(n, _)| n == "warning")
        .map(|(_, v)| v.as_str())
        .collect();
    assert!(!warnings.is_empty());
    assert!(warnings.iter().map(|w| w.len()).sum::<usize>() <= 4096);
    for warning in warnings {
        assert!(
            warning.starts_with("299 - \"") && warning.ends_with('"'),
            "{warning}"
        );
    }
}

#[test]
fn g07_base_is_401_with_a_challenge_or_200_with_the_api_version() {
    for target in ["/v2/", "/v2"] {
        let response = server().anonymous().get(target);
        refused(&response, 401, "UNAUTHORIZED");
        let host = server().http();
        assert_eq!(
            response.header("www-authenticate"),
            Some(
                format!("Bearer realm=\"http://{host}/oauth2/token\",service=\"{host}\"").as_str()
            )
        );
        assert_eq!(
            response.header("docker-distribution-api-version"),
            Some("registry/2.0")
        );
        let response = admin().get(target);
        assert_eq!(
            (
                response.status,
                response.header("docker-distribution-api-version")
            ),
            (200, Some("registry/2.0"))
        );
    }
}

#[test]
fn g08_extension_discovery_is_404_or_a_list() {
    let response = admin().get("/v2/_oci/ext/discover");
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["extensions"], serde_json::json!([]));
}

#[test]
fn g09_digest_grammar_is_checked_by_algorithm() {
    let name = repository();
    let hex = |n: usize| "a".repeat(n);
    for bad in [
        format!("sha256:{}", hex(63)),
        format!("sha256:{}", hex(65)),
        format!("sha256:{}", hex(64).to_uppercase()),
        format!("sha512:{}", hex(64)),
        format!("SHA256:{}", hex(64)),
        format!("blake3:{}", hex(64)),
        format!("sha256+b64:{}", hex(64)),
        format!("sha256:{}g", hex(63)),
    ] {
        refused(
            &admin().get(&format!("/v2/{name}/blobs/{bad}")),
            400,
            "DIGEST_INVALID",
        );
        assert_eq!(
            admin().get(&format!("/v2/{name}/manifests/{bad}")).status,
            400,
            "{bad}"
        );
    }
}

//! Pull: P01–P19.

use crate::support::*;

#[test]
fn p01_all_pull_apis_are_present() {
    let name = repository();
    let (body, digest) = push_image(&name, "v1");
    let blob = serde_json::from_str::<serde_json::Value>(&body).unwrap()["config"]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    for target in [
        "manifests/v1".to_owned(),
        format!("manifests/{digest}"),
        format!("blobs/{blob}"),
    ] {
        for method in ["GET", "HEAD"] {
            assert_eq!(
                admin()
                    .send(method, &format!("/v2/{name}/{target}"), &[], &[])
                    .status,
                200,
                "{method} {target}"
            );
        }
    }
}

#[test]
fn p02_repository_name_matches_the_grammar_else_name_invalid() {
    for good in [
        "a",
        "a0",
        "a/b/c",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a---b",
        "0",
        "library/x.y__z-1",
    ] {
        let response = admin().get(&format!("/v2/{good}/tags/list"));
        assert_eq!(response.status, 404, "{good}");
        assert_eq!(response.error_code(), "NAME_UNKNOWN", "{good}");
    }
    for bad in [
        "A", "a/B", "a..b", "a___b", "a._b", "-a", "a-", "a/-b", "a.", ".a", "_a", "a_", "a%20b",
        "a%5Cb", "%C3%A9", "a/b_/c",
    ] {
        let response = admin().get(&format!("/v2/{bad}/tags/list"));
        refused(&response, 400, "NAME_INVALID");
    }
}

#[test]
fn p03_repository_name_of_255_bytes_is_usable_and_a_longer_one_refused() {
    let long = "a".repeat(240);
    let (body, digest) = push_image(&long, "v1");
    assert_eq!(
        admin().get(&format!("/v2/{long}/manifests/{digest}")).body,
        body.as_bytes()
    );
    refused(
        &admin().get(&format!("/v2/{}/tags/list", "a".repeat(256))),
        400,
        "NAME_INVALID",
    );
}

#[test]
fn p04_tag_has_at_most_128_characters_of_its_alphabet() {
    let name = repository();
    let body = prepare_image(&name);
    for good in ["a", "_", "A.b-c_9", &"x".repeat(128), "0"] {
        assert_eq!(put_manifest(&name, good, OCI, &body).status, 201, "{good}");
        assert_eq!(
            admin().get(&format!("/v2/{name}/manifests/{good}")).body,
            body.as_bytes()
        );
    }
    for bad in [".a", "-a", &"x".repeat(129), "a+b", "a%20b", "%C3%A9"] {
        let response = put_manifest(&name, bad, OCI, &body);
        assert_eq!(response.status, 400, "{bad} {response:?}");
        assert!(
            matches!(
                response.error_code().as_str(),
                "TAG_INVALID" | "MANIFEST_INVALID"
            ),
            "{bad} {response:?}"
        );
    }
}

#[test]
fn p05_reference_is_a_tag_or_a_digest_and_nothing_else() {
    let name = repository();
    push_image(&name, "v1");
    for bad in [
        "sha256:abc",
        "sha256:",
        ":",
        "v1:v2",
        "sha256:XYZ",
        "sha256%3Aabc",
    ] {
        let response = admin().get(&format!("/v2/{name}/manifests/{bad}"));
        refused(&response, 400, "DIGEST_INVALID");
    }
}

#[test]
fn p06_manifest_get_answers_the_exact_bytes() {
    let name = repository();
    let config = descriptor(CONFIG, &push_blob(&name, b"{ }"), 3);
    let odd = format!(
        "{{ \"layers\": [ ],\n\t\"config\":{config}, \"schemaVersion\": 2,  \"x\":1.0e2,\"mediaType\":\"{OCI}\"  }}\n\n"
    );
    assert_eq!(put_manifest(&name, "v1", OCI, &odd).status, 201);
    for reference in ["v1".to_owned(), sha256(odd.as_bytes())] {
        let response = admin().get(&format!("/v2/{name}/manifests/{reference}"));
        assert_eq!(
            (response.status, response.body.as_slice()),
            (200, odd.as_bytes())
        );
    }
}

#[test]
fn p07_content_type_equals_the_pushed_one() {
    let name = repository();
    let config = push_blob(&name, b"{}");
    let docker = image(
        DOCKER,
        &descriptor("application/vnd.docker.container.image.v1+json", &config, 2),
        &[],
        "",
    );
    let list = format!(r#"{{"schemaVersion":2,"mediaType":"{DOCKER_LIST}","manifests":[]}}"#);
    let oci = image(OCI, &descriptor(CONFIG, &config, 2), &[], "");
    for (tag, media_type, body) in [
        ("d", DOCKER, docker),
        ("l", DOCKER_LIST, list),
        ("o", OCI, oci),
        ("i", INDEX, index(&[], "")),
    ] {
        assert_eq!(
            put_manifest(&name, tag, media_type, &body).status,
            201,
            "{tag}"
        );
        assert_eq!(
            admin()
                .get(&format!("/v2/{name}/manifests/{tag}"))
                .header("content-type"),
            Some(media_type)
        );
        assert_eq!(
            admin()
                .head(&format!("/v2/{name}/manifests/{tag}"))
                .header("content-type"),
            Some(media_type)
        );
    }
}

#[test]
fn p08_content_type_has_no_parameters() {
    let name = repository();
    let body = prepare_image(&name);
    assert_eq!(
        put_manifest(&name, "v1", &format!("{OCI}; charset=utf-8"), &body).status,
        201
    );
    assert_eq!(
        admin()
            .get(&format!("/v2/{name}/manifests/v1"))
            .header("content-type"),
        Some(OCI)
    );
}

#[test]
fn p09_docker_content_digest_on_manifest_get() {
    let name = repository();
    let (_, digest) = push_image(&name, "v1");
    assert_eq!(
        admin()
            .get(&format!("/v2/{name}/manifests/v1"))
            .header("docker-content-digest"),
        Some(digest.as_str())
    );
    assert_eq!(
        admin()
            .get(&format!("/v2/{name}/manifests/{digest}"))
            .header("docker-content-digest"),
        Some(digest.as_str())
    );
}

#[test]
fn p10_manifest_not_found_is_404_manifest_unknown_or_name_unknown() {
    let name = repository();
    push_image(&name, "v1");
    refused(
        &admin().get(&format!("/v2/{name}/manifests/v2")),
        404,
        "MANIFEST_UNKNOWN",
    );
    refused(
        &admin().get(&format!("/v2/{name}/manifests/{}", sha256(b"no"))),
        404,
        "MANIFEST_UNKNOWN",
    );
    refused(
        &admin().get("/v2/no/such/manifests/v1"),
        404,
        "NAME_UNKNOWN",
    );
}

#[test]
fn p11_accept_never_changes_the_bytes_and_withdrawn_types_are_only_given_when_asked_for() {
    let name = repository();
    let (body, _) = push_image(&name, "v1");
    for accept in [
        "*/*",
        INDEX,
        "text/html",
        OCI,
        "application/json;q=0.5, */*;q=0.1",
    ] {
        let response = admin().send(
            "GET",
            &format!("/v2/{name}/manifests/v1"),
            &[("Accept", accept)],
            &[],
        );
        assert_eq!(
            (
                response.status,
                response.body.as_slice(),
                response.header("content-type")
            ),
            (200, body.as_bytes(), Some(OCI)),
            "{accept}"
        );
    }
    let withdrawn =
        "application/vnd.oci.image.manifest.v1+json".replace("image.manifest", "artifact.manifest");
    let blob = push_blob(&name, b"data");
    let artifact = format!(
        r#"{{"mediaType":"{withdrawn}","artifactType":"a/b","blobs":[{}]}}"#,
        descriptor("a/b", &blob, 4)
    );
    assert_eq!(put_manifest(&name, "w", &withdrawn, &artifact).status, 201);
    let ask = |accept: &str| {
        admin().send(
            "GET",
            &format!("/v2/{name}/manifests/w"),
            &[("Accept", accept)],
            &[],
        )
    };
    assert_eq!(ask(&withdrawn).body, artifact.as_bytes());
    refused(&ask(OCI), 404, "MANIFEST_UNKNOWN");
}

#[test]
fn p12_blob_get_answers_the_exact_bytes() {
    let name = repository();
    for len in [0, 1, 100, 4096, 4097, 70_000, 3_000_000] {
        let content = bytes(len);
        let digest = push_blob(&name, &content);
        let response = admin().get(&format!("/v2/{name}/blobs/{digest}"));
        assert_eq!(response.status, 200);
        assert!(response.body == content, "{len} bytes");
        assert_eq!(
            response.header("content-length"),
            Some(len.to_string().as_str())
        );
    }
}

#[test]
fn p13_docker_content_digest_on_blob_get_in_the_requested_algorithm() {
    let name = repository();
    for content in [bytes(10), bytes(100_000)] {
        for digest in [sha256(&content), sha512(&content)] {
            assert_eq!(put_blob(&name, &content, &digest).status, 201);
            for method in ["GET", "HEAD"] {
                let response =
                    admin().send(method, &format!("/v2/{name}/blobs/{digest}"), &[], &[]);
                assert_eq!(
                    (response.status, response.header("docker-content-digest")),
                    (200, Some(digest.as_str()))
                );
            }
        }
    }
}

#[test]
fn p14_blob_not_found_in_that_repository_is_404_even_if_it_exists_elsewhere() {
    let (name, other) = (repository(), repository());
    let digest = push_blob(&name, &bytes(100));
    push_image(&other, "v1");
    for method in ["GET", "HEAD"] {
        assert_eq!(
            admin()
                .send(method, &format!("/v2/{other}/blobs/{digest}"), &[], &[])
                .status,
            404
        );
    }
    refused(
        &admin().get(&format!("/v2/{other}/blobs/{digest}")),
        404,
        "BLOB_UNKNOWN",
    );
}

#[test]
fn p15_range_requests_follow_rfc_9110() {
    let name = repository();
    for len in [3000, 200_000] {
        let content = bytes(len);
        let target = format!("/v2/{name}/blobs/{}", push_blob(&name, &content));
        assert_eq!(admin().get(&target).header("accept-ranges"), Some("bytes"));
        for (range, start, end) in [
            ("bytes=500-1499", 500, 1500),
            ("bytes=500-", 500, len),
            ("bytes=-500", len - 500, len),
            ("bytes=2000-999999", 2000, len),
            ("bytes=0-0", 0, 1),
            ("bytes=-999999", 0, len),
        ] {
            let response = admin().send("GET", &target, &[("Range", range)], &[]);
            assert_eq!(response.status, 206, "{range}");
            assert!(response.body == content[start..end], "{range}");
            assert_eq!(
                response.header("content-range"),
                Some(format!("bytes {start}-{}/{len}", end - 1).as_str())
            );
            assert_eq!(
                response.header("content-length"),
                Some((end - start).to_string().as_str())
            );
        }
        for range in [
            format!("bytes={len}-"),
            "bytes=999999-9999999".to_owned(),
            "bytes=-0".to_owned(),
        ] {
            let response = admin().send("GET", &target, &[("Range", &range)], &[]);
            assert_eq!(response.status, 416, "{range}");
            assert_eq!(
                response.header("content-range"),
                Some(format!("bytes */{len}").as_str())
            );
        }
        let backwards = admin().send("GET", &target, &[("Range", "bytes=500-0")], &[]);
        assert!(backwards.status == 416 || (backwards.status == 200 && backwards.body == content));
    }
}

#[test]
fn p16_multi_range_is_never_answered_with_wrong_bytes() {
    let name = repository();
    let content = bytes(3000);
    let digest = push_blob(&name, &content);
    let target = format!("/v2/{name}/blobs/{digest}");
    for range in [
        "bytes=0-1,5-6",
        "bytes=a-b",
        "items=0-1",
        "bytes=",
        "bytes=1-2-3",
    ] {
        let response = admin().send("GET", &target, &[("Range", range)], &[]);
        assert_eq!(
            (response.status, response.body == content),
            (200, true),
            "{range}"
        );
    }
}

#[test]
fn p17_head_answers_200_with_digest_and_exact_length_and_no_body() {
    let name = repository();
    let (body, digest) = push_image(&name, "v1");
    for reference in ["v1", digest.as_str()] {
        let response = admin().head(&format!("/v2/{name}/manifests/{reference}"));
        assert_eq!(
            (response.status, response.header("content-length")),
            (200, Some(body.len().to_string().as_str()))
        );
        assert_eq!(
            response.header("docker-content-digest"),
            Some(digest.as_str())
        );
    }
    for len in [0, 50, 50_000] {
        let digest = push_blob(&name, &bytes(len));
        let response = admin().head(&format!("/v2/{name}/blobs/{digest}"));
        assert_eq!(
            (response.status, response.header("content-length")),
            (200, Some(len.to_string().as_str()))
        );
        assert_eq!(
            response.header("docker-content-digest"),
            Some(digest.as_str())
        );
    }
}

#[test]
fn p18_head_of_what_is_missing_is_404() {
    let name = repository();
    push_image(&name, "v1");
    for target in [
        "manifests/v2".to_owned(),
        format!("manifests/{}", sha256(b"x")),
        format!("blobs/{}", sha256(b"x")),
    ] {
        let response = admin().head(&format!("/v2/{name}/{target}"));
        assert_eq!((response.status, response.body.len()), (404, 0));
    }
}

#[test]
fn p19_pull_from_a_nonexistent_repository_is_404() {
    refused(
        &admin().get("/v2/never/pushed/manifests/latest"),
        404,
        "NAME_UNKNOWN",
    );
    refused(
        &admin().get("/v2/never/pushed/tags/list"),
        404,
        "NAME_UNKNOWN",
    );
    assert_eq!(
        admin()
            .get(&format!("/v2/never/pushed/blobs/{}", sha256(b"x")))
            .status,
        404
    );
}

//! Push of manifests: M01–M15.

use crate::support::*;

#[test]
fn m01_a_manifest_whose_subject_is_absent_is_accepted() {
    let name = repository();
    let digest = push_referrer(&name, &sha256(b"never pushed"), "a/b", "");
    assert_eq!(
        admin()
            .head(&format!("/v2/{name}/manifests/{digest}"))
            .status,
        200
    );
}

#[test]
fn m02_a_manifest_that_names_missing_blobs_is_refused_and_names_them() {
    let name = repository();
    let config = descriptor(CONFIG, &push_blob(&name, b"{}"), 2);
    let missing = [sha256(b"missing 1"), sha256(b"missing 2")];
    let layers: Vec<_> = missing.iter().map(|d| descriptor(LAYER, d, 9)).collect();
    let response = put_manifest(&name, "v1", OCI, &image(OCI, &config, &layers, ""));
    refused(&response, 404, "MANIFEST_BLOB_UNKNOWN");
    let text = String::from_utf8_lossy(&response.body).into_owned();
    assert!(missing.iter().all(|d| text.contains(d.as_str())), "{text}");
    assert_eq!(
        admin().head(&format!("/v2/{name}/manifests/v1")).status,
        404
    );
    // A sparse index is accepted: its children may live elsewhere.
    let sparse = index(&[descriptor(OCI, &sha256(b"a child"), 100)], "");
    assert_eq!(put_manifest(&name, "sparse", INDEX, &sparse).status, 201);
}

#[test]
fn m03_parameters_of_content_type_are_ignored() {
    let name = repository();
    let body = prepare_image(&name);
    for (i, suffix) in ["; charset=utf-8", ";charset=\"utf-8\"", " ; a=b; c=d"]
        .iter()
        .enumerate()
    {
        assert_eq!(
            put_manifest(&name, &format!("v{i}"), &format!("{OCI}{suffix}"), &body).status,
            201,
            "{suffix}"
        );
    }
}

#[test]
fn m04_a_manifest_is_stored_byte_for_byte() {
    let name = repository();
    let body = prepare_image(&name).replace(',', " ,\r\n\t");
    assert_eq!(put_manifest(&name, "v1", OCI, &body).status, 201);
    assert_eq!(
        admin().get(&format!("/v2/{name}/manifests/v1")).body,
        body.as_bytes()
    );
}

#[test]
fn m05_a_push_is_201_with_a_pullable_location() {
    let name = repository();
    let body = prepare_image(&name);
    for reference in ["v1".to_owned(), sha256(body.as_bytes())] {
        let response = put_manifest(&name, &reference, OCI, &body);
        assert_eq!(response.status, 201);
        assert_eq!(admin().get(&location(&response)).body, body.as_bytes());
    }
}

#[test]
fn m06_docker_content_digest_is_the_clients_digest() {
    let name = repository();
    let body = prepare_image(&name);
    for (reference, digest) in [
        ("v1".to_owned(), sha256(body.as_bytes())),
        (sha256(body.as_bytes()), sha256(body.as_bytes())),
        (sha512(body.as_bytes()), sha512(body.as_bytes())),
    ] {
        let response = put_manifest(&name, &reference, OCI, &body);
        assert_eq!(
            (response.status, response.header("docker-content-digest")),
            (201, Some(digest.as_str()))
        );
        let found = admin().get(&format!("/v2/{name}/manifests/{reference}"));
        assert_eq!(
            (found.status, found.header("docker-content-digest")),
            (200, Some(digest.as_str()))
        );
    }
}

#[test]
fn m07_a_push_by_digest_sets_its_tag_parameters_all_or_none() {
    let name = repository();
    let body = prepare_image(&name);
    let digest = sha256(body.as_bytes());
    let tags: Vec<String> = (0..10).map(|i| format!("t{i}")).collect();
    let query = tags
        .iter()
        .map(|t| format!("tag={t}"))
        .collect::<Vec<_>>()
        .join("&");
    let response = put_manifest(&name, &format!("{digest}?{query}"), OCI, &body);
    assert_eq!(response.status, 201, "{response:?}");
    let named: Vec<_> = response
        .headers
        .iter()
        .filter(|(n, _)| n == "oci-tag")
        .map(|(_, v)| v.clone())
        .collect();
    assert_eq!(named.join(",").replace(' ', ""), tags.join(","));
    for tag in &tags {
        assert_eq!(
            admin()
                .head(&format!("/v2/{name}/manifests/{tag}"))
                .header("docker-content-digest"),
            Some(digest.as_str())
        );
    }
    let many = (0..200)
        .map(|i| format!("tag=m{i}"))
        .collect::<Vec<_>>()
        .join("&");
    let response = put_manifest(&name, &format!("{digest}?{many}"), OCI, &body);
    assert_eq!(response.status, 414, "{response:?}");
    let bad = put_manifest(&name, &format!("{digest}?tag=good&tag=.bad"), OCI, &body);
    assert_eq!(bad.status, 400);
    assert_eq!(
        admin().head(&format!("/v2/{name}/manifests/good")).status,
        404,
        "all or none"
    );
}

#[test]
fn m08_a_manifest_of_4_mb_is_accepted_and_a_larger_one_is_413() {
    let name = repository();
    let config = descriptor(CONFIG, &push_blob(&name, b"{}"), 2);
    let annotations: Vec<_> = (0..390)
        .map(|i| format!(r#""k{i}":"{}""#, "x".repeat(10_000)))
        .collect();
    let large = image(
        OCI,
        &config,
        &[],
        &format!(r#","annotations":{{{}}}"#, annotations.join(",")),
    );
    assert!(large.len() > 3_900_000);
    assert_eq!(put_manifest(&name, "large", OCI, &large).status, 201);
    assert!(admin().get(&format!("/v2/{name}/manifests/large")).body == large.as_bytes());
    let limit = 4 << 20;
    let padded = |len: usize| {
        image(OCI, &config, &[], "").replacen('{', &format!("{{{}", " ".repeat(len)), 1)
    };
    let base = padded(0).len();
    assert_eq!(
        put_manifest(&name, "exact", OCI, &padded(limit - base)).status,
        201
    );
    refused(
        &put_manifest(&name, "over", OCI, &padded(limit - base + 1)),
        413,
        "SIZE_INVALID",
    );
    let chunked = admin().try_send(
        "PUT",
        &format!("/v2/{name}/manifests/over"),
        &[("Content-Type", OCI), ("Transfer-Encoding", "chunked")],
        padded(limit).as_bytes(),
    );
    if let Ok(response) = chunked {
        assert_eq!(response.status, 413);
    }
    assert_eq!(
        admin().head(&format!("/v2/{name}/manifests/over")).status,
        404
    );
}

#[test]
fn m09_unknown_types_and_fields_are_accepted_and_kept() {
    let name = repository();
    let config = descriptor("application/x.unknown+thing", &push_blob(&name, b"{}"), 2);
    let layer = descriptor("made/up", &push_blob(&name, b"layer"), 5);
    let extra = r#","artifactType":"application/vnd.made.up","org.example.field":{"deep":[1,2,{"x":null}]},"newArray":[]"#;
    let body = image(OCI, &config, &[layer], extra);
    assert_eq!(put_manifest(&name, "v1", OCI, &body).status, 201);
    assert_eq!(
        admin().get(&format!("/v2/{name}/manifests/v1")).body,
        body.as_bytes()
    );
}

#[test]
fn m10_no_layers_and_foreign_layers_that_were_never_pushed_are_accepted() {
    let name = repository();
    let config = descriptor(CONFIG, &push_blob(&name, b"{}"), 2);
    assert_eq!(
        put_manifest(&name, "none", OCI, &image(OCI, &config, &[], "")).status,
        201
    );
    for media_type in [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ] {
        let foreign = format!(
            r#"{{"mediaType":"{media_type}","digest":"{}","size":9,"urls":["https://example.com/x"]}}"#,
            sha256(media_type.as_bytes())
        );
        let body = image(OCI, &config, &[foreign], "");
        assert_eq!(
            put_manifest(&name, "foreign", OCI, &body).status,
            201,
            "{media_type}"
        );
        assert_eq!(
            admin().get(&format!("/v2/{name}/manifests/foreign")).body,
            body.as_bytes()
        );
    }
}

#[test]
fn m11_oci_subject_is_answered_when_the_subject_was_processed() {
    let name = repository();
    let (_, subject) = push_image(&name, "v1");
    let config = descriptor(EMPTY, &push_blob(&name, b"{}"), 2);
    let refers = format!(
        r#","artifactType":"a/b","subject":{}"#,
        descriptor(OCI, &subject, 10)
    );
    let response = put_manifest(&name, "sig", OCI, &image(OCI, &config, &[], &refers));
    assert_eq!(
        (response.status, response.header("oci-subject")),
        (201, Some(subject.as_str()))
    );
    let response = put_manifest(&name, "idx", INDEX, &index(&[], &refers));
    assert_eq!(
        (response.status, response.header("oci-subject")),
        (201, Some(subject.as_str()))
    );
    assert_eq!(
        put_manifest(&name, "v2", OCI, &prepare_image(&name)).header("oci-subject"),
        None
    );
}

#[test]
fn m12_media_type_must_equal_content_type_and_image_and_index_must_not_be_mixed() {
    let name = repository();
    let body = prepare_image(&name);
    refused(
        &put_manifest(&name, "v1", DOCKER, &body),
        400,
        "MANIFEST_INVALID",
    );
    refused(
        &put_manifest(&name, "v1", INDEX, &body),
        400,
        "MANIFEST_INVALID",
    );
    refused(
        &put_manifest(&name, "v1", "application/json", &body),
        400,
        "MANIFEST_INVALID",
    );
    let mixed = body.replacen('{', r#"{"manifests":[],"#, 1);
    refused(
        &put_manifest(&name, "v1", OCI, &mixed),
        400,
        "MANIFEST_INVALID",
    );
    let mixed = index(&[], r#","layers":[]"#);
    refused(
        &put_manifest(&name, "v1", INDEX, &mixed),
        400,
        "MANIFEST_INVALID",
    );
    let twice = body.replacen('{', &format!(r#"{{"mediaType":"{OCI}","#), 1);
    refused(
        &put_manifest(&name, "v1", OCI, &twice),
        400,
        "MANIFEST_INVALID",
    );
    for junk in [
        "",
        "{}",
        "[]",
        "null",
        "{",
        "\u{feff}{}",
        &"[".repeat(100_000),
        &format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000)),
    ] {
        refused(
            &put_manifest(&name, "v1", OCI, junk),
            400,
            "MANIFEST_INVALID",
        );
    }
    assert_eq!(
        admin().head(&format!("/v2/{name}/manifests/v1")).status,
        404
    );
}

#[test]
fn m13_data_is_never_filled_in_and_must_match_its_descriptor_if_given() {
    let name = repository();
    let digest = push_blob(&name, b"{}");
    let with = |data: &str| {
        format!(r#"{{"mediaType":"{EMPTY}","digest":"{digest}","size":2,"data":"{data}"}}"#)
    };
    let extra = r#","artifactType":"a/b""#;
    let good = image(OCI, &with("e30="), &[], extra);
    assert_eq!(put_manifest(&name, "v1", OCI, &good).status, 201);
    assert_eq!(
        admin().get(&format!("/v2/{name}/manifests/v1")).body,
        good.as_bytes()
    );
    for bad in ["e31=", "e30gIA==", "!!!!"] {
        refused(
            &put_manifest(&name, "v2", OCI, &image(OCI, &with(bad), &[], extra)),
            400,
            "MANIFEST_INVALID",
        );
    }
}

#[test]
fn m14_an_empty_config_without_artifact_type_is_accepted_with_a_warning() {
    let name = repository();
    let config = descriptor(EMPTY, &push_blob(&name, b"{}"), 2);
    let response = put_manifest(&name, "v1", OCI, &image(OCI, &config, &[], ""));
    assert_eq!(response.status, 201, "{response:?}");
    assert!(
        response
            .header("warning")
            .is_some_and(|w| w.starts_with("299 - \"")),
        "{response:?}"
    );
    let quiet = put_manifest(
        &name,
        "v2",
        OCI,
        &image(OCI, &config, &[], r#","artifactType":"a/b""#),
    );
    assert_eq!((quiet.status, quiet.header("warning")), (201, None));
}

#[test]
fn m15_a_push_by_digest_of_other_bytes_is_400() {
    let name = repository();
    let body = prepare_image(&name);
    for wrong in [sha256(b"other"), sha512(b"other")] {
        refused(
            &put_manifest(&name, &wrong, OCI, &body),
            400,
            "DIGEST_INVALID",
        );
        assert_eq!(
            admin()
                .head(&format!("/v2/{name}/manifests/{wrong}"))
                .status,
            404
        );
    }
}

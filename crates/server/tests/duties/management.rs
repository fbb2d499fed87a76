//! Content management: X01–X07.

use crate::support::*;

#[test]
fn x01_delete_of_a_tag_is_202_and_later_404() {
    let name = repository();
    push_image(&name, "v1");
    push_image(&name, "v2");
    assert_eq!(
        admin().delete(&format!("/v2/{name}/manifests/v1")).status,
        202
    );
    assert_eq!(admin().get(&format!("/v2/{name}/manifests/v1")).status, 404);
    refused(
        &admin().delete(&format!("/v2/{name}/manifests/v1")),
        404,
        "MANIFEST_UNKNOWN",
    );
}

#[test]
fn x02_deleting_a_tag_leaves_the_manifest_and_its_other_tags() {
    let name = repository();
    let (body, digest) = push_image(&name, "v1");
    assert_eq!(put_manifest(&name, "v2", OCI, &body).status, 201);
    assert_eq!(
        admin().delete(&format!("/v2/{name}/manifests/v1")).status,
        202
    );
    for reference in ["v2", &digest] {
        assert_eq!(
            admin()
                .get(&format!("/v2/{name}/manifests/{reference}"))
                .body,
            body.as_bytes()
        );
    }
}

#[test]
fn x03_delete_of_a_manifest_by_digest_is_202_and_of_an_unknown_one_404() {
    let name = repository();
    let (_, digest) = push_image(&name, "v1");
    assert_eq!(
        admin()
            .delete(&format!("/v2/{name}/manifests/{digest}"))
            .status,
        202
    );
    assert_eq!(
        admin()
            .get(&format!("/v2/{name}/manifests/{digest}"))
            .status,
        404
    );
    assert_eq!(
        admin()
            .delete(&format!("/v2/{name}/manifests/{digest}"))
            .status,
        404
    );
    refused(
        &admin().delete(&format!("/v2/no/such/manifests/{digest}")),
        404,
        "NAME_UNKNOWN",
    );
}

#[test]
fn x04_tags_that_name_a_deleted_manifest_disappear() {
    let name = repository();
    let (body, digest) = push_image(&name, "v1");
    put_manifest(&name, "v2", OCI, &body);
    push_image(&name, "other");
    assert_eq!(
        admin()
            .delete(&format!("/v2/{name}/manifests/{digest}"))
            .status,
        202
    );
    for tag in ["v1", "v2"] {
        refused(
            &admin().get(&format!("/v2/{name}/manifests/{tag}")),
            404,
            "MANIFEST_UNKNOWN",
        );
    }
    assert_eq!(
        admin().get(&format!("/v2/{name}/tags/list")).json()["tags"],
        serde_json::json!(["other"])
    );
}

#[test]
fn x05_a_deleted_referrer_leaves_the_list() {
    let name = repository();
    let (_, subject) = push_image(&name, "v1");
    let referrer = push_referrer(&name, &subject, "a/b", "");
    let target = format!("/v2/{name}/referrers/{subject}");
    assert_eq!(
        admin().get(&target).json()["manifests"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        admin()
            .delete(&format!("/v2/{name}/manifests/{referrer}"))
            .status,
        202
    );
    assert_eq!(
        admin().get(&target).json()["manifests"],
        serde_json::json!([])
    );
}

#[test]
fn x06_delete_of_a_blob_is_202_and_of_an_absent_one_404() {
    let name = repository();
    for len in [50, 50_000] {
        let digest = push_blob(&name, &bytes(len));
        let target = format!("/v2/{name}/blobs/{digest}");
        assert_eq!(admin().get(&target).status, 200);
        let response = admin().delete(&target);
        assert_eq!(
            (response.status, response.header("docker-content-digest")),
            (202, Some(digest.as_str()))
        );
        assert_eq!(admin().get(&target).status, 404);
        refused(&admin().delete(&target), 404, "BLOB_UNKNOWN");
    }
}

#[test]
fn x07_a_deletion_is_visible_at_once() {
    let name = repository();
    for i in 0..30 {
        let (_, digest) = push_image(&name, "v1");
        let blob = push_blob(&name, &bytes(10 + i));
        for _ in 0..2 {
            assert_eq!(
                admin().head(&format!("/v2/{name}/manifests/v1")).status,
                200
            );
            assert_eq!(
                admin().head(&format!("/v2/{name}/blobs/{blob}")).status,
                200
            );
        }
        admin().delete(&format!("/v2/{name}/manifests/{digest}"));
        admin().delete(&format!("/v2/{name}/blobs/{blob}"));
        for target in [
            "manifests/v1",
            &format!("manifests/{digest}"),
            &format!("blobs/{blob}"),
        ] {
            assert_eq!(
                admin().head(&format!("/v2/{name}/{target}")).status,
                404,
                "{target}"
            );
        }
    }
}

//! Push of blobs, the life of sessions and mounts: U16–U23.

use crate::support::*;

#[test]
fn u16_delete_of_a_session_is_204_and_ends_it() {
    let name = repository();
    for with_data in [0, 10, 123_457] {
        let mut target = start(&name);
        if with_data > 0 {
            target = location(&patch(&target, 0, &bytes(with_data)));
        }
        assert_eq!(admin().delete(&target).status, 204);
        refused(&admin().get(&target), 404, "BLOB_UPLOAD_UNKNOWN");
        refused(&admin().delete(&target), 404, "BLOB_UPLOAD_UNKNOWN");
        let finish = with_query(&target, &format!("digest={}", sha256(b"x")));
        refused(
            &admin().send("PUT", &finish, &[OCTETS], b"x"),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        );
    }
}

#[test]
fn u18_an_unknown_session_is_404_blob_upload_unknown() {
    let name = repository();
    let id = "01234567-89ab-4def-8123-456789abcdef";
    for id in [id, &format!("{id}?_state=0123456789abcdef"), "not-a-uuid"] {
        let target = format!("/v2/{name}/blobs/uploads/{id}");
        refused(&admin().get(&target), 404, "BLOB_UPLOAD_UNKNOWN");
        refused(
            &admin().send("PATCH", &target, &[OCTETS], b"x"),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        );
        refused(
            &admin().send(
                "PUT",
                &with_query(&target, &format!("digest={}", sha256(b"x"))),
                &[OCTETS],
                b"x",
            ),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        );
        refused(&admin().delete(&target), 404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[test]
fn u19_a_session_is_bound_to_its_repository() {
    let (name, other) = (repository(), repository());
    for chunk in [None, Some(bytes(50)), Some(bytes(50_000))] {
        let mut target = start(&name);
        if let Some(chunk) = &chunk {
            target = location(&patch(&target, 0, chunk));
        }
        let stolen = target.replace(&format!("/{name}/"), &format!("/{other}/"));
        assert_ne!(stolen, target);
        refused(&admin().get(&stolen), 404, "BLOB_UPLOAD_UNKNOWN");
        refused(
            &admin().send("PATCH", &stolen, &[OCTETS], b"x"),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        );
        assert_eq!(admin().get(&target).status, 204, "unharmed");
    }
}

#[test]
fn u20_mount_is_201_with_location_and_digest() {
    let (source, target) = (repository(), repository());
    for content in [bytes(30), bytes(30_000)] {
        let digest = push_blob(&source, &content);
        let response = admin().send(
            "POST",
            &format!("/v2/{target}/blobs/uploads/?mount={digest}&from={source}"),
            &[],
            &[],
        );
        assert_eq!(
            (response.status, response.header("docker-content-digest")),
            (201, Some(digest.as_str()))
        );
        assert!(admin().get(&location(&response)).body == content);
        assert!(location(&response).contains(&target));
    }
}

#[test]
fn u21_mount_without_from_finds_a_repository_the_caller_may_read() {
    let (source, target) = (repository(), repository());
    let content = bytes(300);
    let digest = push_blob(&source, &content);
    let response = admin().send(
        "POST",
        &format!("/v2/{target}/blobs/uploads/?mount={digest}"),
        &[],
        &[],
    );
    assert_eq!(response.status, 201);
    assert!(admin().get(&location(&response)).body == content);
}

#[test]
fn u22_a_mount_that_cannot_be_done_is_202_and_its_session_usable() {
    let (source, target) = (repository(), repository());
    let content = bytes(300);
    push_image(&source, "v1");
    for query in [
        format!("mount={}&from={source}", sha256(&content)),
        format!("mount={}", sha256(&content)),
        format!("mount={}&from=no/such", sha256(&content)),
    ] {
        let response = admin().send(
            "POST",
            &format!("/v2/{target}/blobs/uploads/?{query}"),
            &[],
            &[],
        );
        assert_eq!(response.status, 202, "{query}");
        assert_eq!(
            admin()
                .head(&format!("/v2/{target}/blobs/{}", sha256(&content)))
                .status,
            404
        );
    }
    let response = admin().send(
        "POST",
        &format!(
            "/v2/{target}/blobs/uploads/?mount={}&from={source}",
            sha256(&content)
        ),
        &[],
        &[],
    );
    let done = admin().send(
        "PUT",
        &with_query(
            &location(&response),
            &format!("digest={}", sha256(&content)),
        ),
        &[OCTETS],
        &content,
    );
    assert_eq!(done.status, 201);
}

#[test]
fn u23_mount_requires_the_right_to_pull_from_the_source() {
    let (source, target) = (repository(), repository());
    let digest = push_blob(&source, &bytes(300));
    let token = token_for(&format!("repository:{target}:pull,push"));
    let only_target = server()
        .anonymous()
        .with_authorization(format!("Bearer {token}"));
    for query in [
        format!("mount={digest}&from={source}"),
        format!("mount={digest}"),
    ] {
        let response = only_target.send(
            "POST",
            &format!("/v2/{target}/blobs/uploads/?{query}"),
            &[],
            &[],
        );
        assert_eq!(response.status, 202, "{query}: as if it were not there");
        assert_eq!(
            admin().head(&format!("/v2/{target}/blobs/{digest}")).status,
            404
        );
    }
    let token = token_for(&format!(
        "repository:{target}:pull,push repository:{source}:pull"
    ));
    let both = server()
        .anonymous()
        .with_authorization(format!("Bearer {token}"));
    let response = both.send(
        "POST",
        &format!("/v2/{target}/blobs/uploads/?mount={digest}&from={source}"),
        &[],
        &[],
    );
    assert_eq!(response.status, 201);
}

/// An access token of the admin for some scopes.
pub(crate) fn token_for(scope: &str) -> String {
    let target = format!(
        "/oauth2/token?service={}&scope={}",
        server().http(),
        scope.replace(' ', "%20")
    );
    let response = admin().get(&target);
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["access_token"].as_str().unwrap().to_owned()
}

//! Ways around the rights on a repository: answers kept in memory, mounts, sessions, listings.

use lazuli_testkit::http::Client;

use crate::support::{
    Image, OCI, Target, access_token, bearer, bytes, descriptor, image, location, push_blob,
    put_manifest, send, sha256, start_upload, with_query,
};

fn status(client: &Client, method: &str, path: &str) -> u16 {
    send(client, method, path, &[], &[]).status
}

#[test]
fn an_answer_kept_in_memory_is_given_to_nobody_without_the_right() {
    let target = Target::start();
    let admin = target.admin();
    let secret = Image::push(&admin, "secret/app", 5);
    let small = push_blob(&admin, "secret/app", b"small enough for memory");
    let paths = [
        "/v2/secret/app/manifests/v1".to_owned(),
        format!("/v2/secret/app/manifests/{}", secret.digest()),
        format!("/v2/secret/app/blobs/{}", secret.layer_digest()),
        format!("/v2/secret/app/blobs/{small}"),
        "/v2/secret/app/tags/list".to_owned(),
        "/v2/_catalog".to_owned(),
        format!("/v2/secret/app/referrers/{}", secret.digest()),
    ];
    let reader = bearer(&target, "repository:secret/app:pull registry:catalog:*");
    let other = bearer(&target, "repository:public/app:pull,push");
    let push_only = bearer(&target, "repository:secret/app:push");
    for path in &paths {
        for _ in 0..3 {
            assert_eq!(status(&reader, "GET", path), 200, "{path}");
        }
        for method in ["GET", "HEAD"] {
            for stranger in [&target.anonymous(), &other, &push_only] {
                assert_eq!(status(stranger, method, path), 401, "{method} {path}");
                // Not by asking whether it changed, either.
                let known = [("If-None-Match", "*")];
                assert_eq!(
                    send(stranger, method, path, &known, &[]).status,
                    401,
                    "{path}"
                );
                let part = [("Range", "bytes=0-0")];
                assert_eq!(
                    send(stranger, method, path, &part, &[]).status,
                    401,
                    "{path}"
                );
            }
        }
        // The strangers' requests made nobody else a stranger.
        assert_eq!(status(&reader, "GET", path), 200, "{path}");
    }
}

#[test]
fn content_of_one_repository_cannot_be_read_through_another() {
    let target = Target::start();
    let admin = target.admin();
    let secret = Image::push(&admin, "secret/app", 5);
    Image::push(&admin, "public/app", 50);
    let client = bearer(&target, "repository:public/app:pull,push");
    for (kind, digest) in [
        ("blobs", secret.layer_digest()),
        ("manifests", secret.digest()),
    ] {
        assert_eq!(
            status(&admin, "GET", &format!("/v2/secret/app/{kind}/{digest}")),
            200
        );
        assert_eq!(
            status(&client, "GET", &format!("/v2/public/app/{kind}/{digest}")),
            404
        );
        assert_eq!(
            status(&client, "HEAD", &format!("/v2/public/app/{kind}/{digest}")),
            404
        );
    }
    // A manifest that lists the other repository's blobs does not link them.
    let config = bytes(90, 10);
    push_blob(&client, "public/app", &config);
    let stolen = image(&config, &secret.layer, "");
    let response = put_manifest(&client, "public/app", "stolen", OCI, &stolen);
    assert_eq!(
        (response.status, response.error_code().as_str()),
        (404, "MANIFEST_BLOB_UNKNOWN")
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        descriptor(OCI, &secret.digest(), secret.manifest.len())
    );
    let _ = put_manifest(
        &client,
        "public/app",
        "stolen",
        crate::support::INDEX,
        &index,
    );
    assert_eq!(
        status(
            &client,
            "GET",
            &format!("/v2/public/app/manifests/{}", secret.digest())
        ),
        404
    );
    assert_eq!(
        status(
            &client,
            "GET",
            &format!("/v2/public/app/blobs/{}", secret.layer_digest())
        ),
        404
    );
}

#[test]
fn deleted_content_stays_deleted_when_another_repository_touches_it() {
    let target = Target::start();
    let admin = target.admin();
    let first = Image::push(&admin, "first/app", 5);
    let blob = format!("/v2/first/app/blobs/{}", first.layer_digest());
    let manifest = format!("/v2/first/app/manifests/{}", first.digest());
    for path in [&blob, &manifest] {
        assert_eq!(status(&admin, "GET", path), 200);
        assert_eq!(status(&admin, "DELETE", path), 202);
        assert_eq!(status(&admin, "GET", path), 404);
    }
    let second = Image::push(&admin, "second/app", 5);
    assert_eq!(second.digest(), first.digest());
    assert_eq!(status(&admin, "GET", &blob.replace("first", "second")), 200);
    assert_eq!(
        status(&admin, "GET", &manifest.replace("first", "second")),
        200
    );
    for path in [&blob, &manifest, "/v2/first/app/manifests/v1"] {
        assert_eq!(status(&admin, "GET", path), 404, "{path}");
        assert_eq!(status(&admin, "HEAD", path), 404, "{path}");
    }
}

#[test]
fn a_mount_needs_the_right_to_read_the_source_and_tells_nothing_without_it() {
    let target = Target::start();
    let admin = target.admin();
    let digest = push_blob(&admin, "secret/app", &bytes(1, 5000));
    let absent = sha256(b"nobody has this");
    let client = bearer(&target, "repository:public/app:pull,push");
    let mount = |client: &Client, digest: &str, from: &str| {
        let path = format!("/v2/public/app/blobs/uploads/?mount={digest}{from}");
        send(client, "POST", &path, &[], &[])
    };
    for from in [
        "",
        "&from=secret/app",
        "&from=secret%2Fapp",
        "&from=no/such",
        "&from=../secret/app",
        "&from=SECRET/APP",
        "&from=",
        "&from=secret/app%00",
    ] {
        let (denied, missing) = (mount(&client, &digest, from), mount(&client, &absent, from));
        assert_eq!(
            denied.status, missing.status,
            "{from}: one tells the two apart"
        );
        assert_ne!(denied.status, 201, "{from}");
        let names = |response: &lazuli_testkit::http::Response| -> Vec<String> {
            response
                .headers
                .iter()
                .map(|(name, _)| name.clone())
                .collect()
        };
        assert_eq!(names(&denied), names(&missing), "{from}");
        assert_eq!(
            status(&client, "GET", &format!("/v2/public/app/blobs/{digest}")),
            404,
            "{from}"
        );
    }
    // Pushing to the source is no right to read it.
    let pusher = bearer(
        &target,
        "repository:public/app:pull,push repository:secret/app:push,delete,metadata_read",
    );
    assert_eq!(mount(&pusher, &digest, "&from=secret/app").status, 202);
    assert_eq!(mount(&pusher, &digest, "").status, 202);
    let reader = bearer(
        &target,
        "repository:public/app:pull,push repository:secret/app:pull",
    );
    assert_eq!(mount(&reader, &digest, "&from=secret/app").status, 201);
    assert_eq!(
        status(&client, "GET", &format!("/v2/public/app/blobs/{digest}")),
        200
    );
}

#[test]
fn an_upload_belongs_to_its_repository() {
    let target = Target::start();
    let admin = target.admin();
    // Without a byte it lives in its address only; with one it has a row.
    for first in [&b""[..], b"some"] {
        let mine = start_upload(&admin, "mine/app");
        if !first.is_empty() {
            let range = [("Content-Range", "0-3")];
            assert_eq!(send(&admin, "PATCH", &mine, &range, first).status, 202);
        }
        let theirs = mine.replace("/mine/", "/theirs/");
        let client = bearer(&target, "repository:theirs/app:pull,push");
        let digest = sha256(&[first, b"x"].concat());
        for (client, path) in [(&admin, &theirs), (&client, &theirs), (&client, &mine)] {
            let expected = if path == &mine { 401 } else { 404 };
            assert_eq!(status(client, "GET", path), expected);
            assert_eq!(send(client, "PATCH", path, &[], b"x").status, expected);
            assert_eq!(
                send(
                    client,
                    "PUT",
                    &with_query(path, &format!("digest={digest}")),
                    &[],
                    b"x"
                )
                .status,
                expected
            );
            assert_eq!(status(client, "DELETE", path), expected);
        }
        let finish = with_query(&mine, &format!("digest={digest}"));
        assert_eq!(send(&admin, "PUT", &finish, &[], b"x").status, 201);
    }
}

#[test]
fn the_state_in_an_upload_address_cannot_be_made_up() {
    let mut target = Target::start();
    let admin = target.admin();
    let genuine = start_upload(&admin, "mine/app");
    let (path, query) = genuine.split_once('?').unwrap();
    let state = query.strip_prefix("_state=").unwrap();
    let other = location(&send(
        &admin,
        "POST",
        "/v2/mine/app/blobs/uploads/",
        &[],
        &[],
    ));
    let other_state = other.split_once("_state=").unwrap().1;
    // Until its first byte an upload is in no table: after a restart its state is all there is.
    target.restart();
    let flip = |place: usize| {
        let mut text = state.to_owned();
        let digit = if &text[place..=place] == "0" {
            "1"
        } else {
            "0"
        };
        text.replace_range(place..=place, digit);
        text
    };
    for forged in [
        String::new(),
        flip(0),
        flip(15),
        flip(17),
        flip(20),
        flip(state.len() - 1),
        state[..state.len() - 1].to_owned(),
        format!("{state}0"),
        state
            .to_uppercase()
            .replace(|c: char| c.is_ascii_digit(), "f"),
        "0".repeat(state.len()),
        "%c3%a9".repeat(state.len() / 2),
        other_state.to_owned(),
        format!("{state}&_state={other_state}"),
    ] {
        let response = send(
            &admin,
            "PATCH",
            &format!("{path}?_state={forged}"),
            &[],
            b"x",
        );
        assert!(
            matches!(response.status, 400 | 404),
            "{forged}: {response:?}"
        );
    }
    assert_eq!(send(&admin, "PATCH", &genuine, &[], b"x").status, 202);
}

#[test]
fn lists_and_referrers_show_nothing_to_those_who_may_not_read() {
    let target = Target::start();
    let admin = target.admin();
    let subject = Image::push(&admin, "secret/app", 5);
    let referrer = image(
        &bytes(5, 60),
        &subject.layer,
        &format!(
            r#","artifactType":"a/b","subject":{}"#,
            descriptor(OCI, &subject.digest(), subject.manifest.len())
        ),
    );
    assert_eq!(
        put_manifest(
            &admin,
            "secret/app",
            &sha256(referrer.as_bytes()),
            OCI,
            &referrer
        )
        .status,
        201
    );
    let referrers = |name: &str| format!("/v2/{name}/referrers/{}", subject.digest());
    let found = send(&admin, "GET", &referrers("secret/app"), &[], &[]).json();
    assert_eq!(found["manifests"].as_array().unwrap().len(), 1);
    let client = bearer(&target, "repository:public/app:pull,push");
    assert_eq!(status(&client, "GET", &referrers("secret/app")), 401);
    let found = send(&client, "GET", &referrers("public/app"), &[], &[]).json();
    assert!(found["manifests"].as_array().unwrap().is_empty());
    for query in ["", "?n=1", "?last=secret", "?n=10&last=a"] {
        assert_eq!(status(&client, "GET", &format!("/v2/_catalog{query}")), 401);
        assert_eq!(
            status(&client, "GET", &format!("/v2/secret/app/tags/list{query}")),
            401
        );
    }
    let metadata = bearer(&target, "repository:secret/app:metadata_read");
    assert_eq!(status(&metadata, "GET", &referrers("secret/app")), 401);
}

#[test]
fn a_token_never_carries_more_than_its_request_and_its_maker_may() {
    let target = Target::start();
    Image::push(&target.admin(), "a/app", 5);
    // Anonymous pull is off: nobody gets a token without credentials, whatever it asks for.
    for scope in [
        "",
        "repository:a/app:pull",
        "registry:catalog:*",
        "repository:*:*",
    ] {
        let path = format!("/oauth2/token?service={}&scope={scope}", target.host());
        assert_eq!(status(&target.anonymous(), "GET", &path), 401, "{scope}");
    }
    // What a token may cannot be widened by trading it for another one.
    let narrow = access_token(&target, "repository:a/app:pull");
    let user = lazuli_wire::token::TOKEN_USERNAME;
    let client = target
        .anonymous()
        .with_authorization(lazuli_testkit::server::basic(user, &narrow));
    let path = format!(
        "/oauth2/token?service={}&scope=repository:a/app:pull,push,delete",
        target.host()
    );
    let answer = send(&client, "GET", &path, &[], &[]);
    if answer.status == 200 {
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let client = target
            .anonymous()
            .with_authorization(format!("Bearer {token}"));
        assert_eq!(status(&client, "GET", "/v2/a/app/manifests/v1"), 200);
        assert_eq!(status(&client, "DELETE", "/v2/a/app/manifests/v1"), 401);
        assert_eq!(status(&client, "POST", "/v2/a/app/blobs/uploads/"), 401);
    } else {
        assert_eq!(answer.status, 401);
    }
}

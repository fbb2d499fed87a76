//! Bodies that are too large, too deep, or never end: refused, and memory stays bounded.

use crate::support::{
    INDEX, OCI, Target, bearer, descriptor, image, put_manifest, send, send_without_end, sha256,
    start_upload, with_query,
};

/// Peak memory of the server without optimisation, in KiB.
const MOST_KIB: u64 = 100 << 10;

fn assert_memory_is_bounded(target: &Target) {
    let peak = target.peak_memory();
    assert!(peak < MOST_KIB, "{peak} KiB");
}

/// A manifest with this value under a key that nobody knows.
fn with_value(value: &str) -> String {
    image(b"{}", b"layer", &format!(r#","unknown":{value}"#))
}

#[test]
fn huge_and_deep_manifests_are_refused_in_bounded_memory() {
    let target = Target::start();
    let admin = target.admin();
    let limit = 4 << 20;
    let nested = |open: &str, close: &str, depth: usize| {
        with_value(&(open.repeat(depth) + "0" + &close.repeat(depth)))
    };
    let list = |entry: &str, count: usize| format!("[{}]", vec![entry; count].join(","));
    let blob = descriptor("a/b", &sha256(b"x"), 1);
    for (what, body, statuses) in [
        ("one byte too many", "x".repeat(limit + 1), &[413][..]),
        ("an array too deep", nested("[", "]", 100_000), &[400]),
        (
            "an object too deep",
            nested(r#"{"a":"#, "}", 100_000),
            &[400],
        ),
        ("an array as deep as 40", nested("[", "]", 40), &[400]),
        ("never closed", "[".repeat(limit), &[400]),
        ("objects never closed", r#"{"a":"#.repeat(limit / 5), &[400]),
        (
            "a number without end",
            with_value(&"9".repeat(limit - 500)),
            &[400, 404],
        ),
        (
            "an exponent without end",
            with_value(&format!("1e{}", "9".repeat(limit - 500))),
            &[400, 404],
        ),
        (
            "a string without end",
            format!("{{\"a\":\"{}", "x".repeat(limit - 100)),
            &[400],
        ),
        (
            "many small values",
            with_value(&list("0", 1_500_000)),
            &[400, 404],
        ),
        (
            "many empty objects",
            with_value(&list("{}", 1_000_000)),
            &[400, 404],
        ),
        (
            "many keys",
            format!(
                "{{{}}}",
                (0..300_000)
                    .map(|i| format!("\"k{i}\":0"))
                    .collect::<Vec<_>>()
                    .join(",")
            ),
            &[400],
        ),
        (
            "many annotations",
            image(
                b"{}",
                b"l",
                &format!(
                    ",\"annotations\":{{{}}}",
                    (0..100_000)
                        .map(|i| format!("\"k{i}\":\"v\""))
                        .collect::<Vec<_>>()
                        .join(",")
                ),
            ),
            &[400],
        ),
        (
            "many layers",
            image(b"{}", b"l", "").replace(
                "\"layers\":[",
                &format!("\"layers\":[{},", vec![blob.as_str(); 20_000].join(",")),
            ),
            &[400],
        ),
        ("only spaces", " ".repeat(limit), &[400]),
        ("only zeroes", "\0".repeat(limit), &[400]),
        (
            "escapes",
            with_value(&format!("\"{}\"", "\\ud800".repeat(500_000))),
            &[400, 404],
        ),
    ] {
        let response = put_manifest(&admin, "bodies/json", "v1", OCI, &body);
        assert!(statuses.contains(&response.status), "{what}: {response:?}");
        assert!(
            response.body.len() < 64 << 10,
            "{what}: the answer has {} bytes",
            response.body.len()
        );
        let response = put_manifest(&admin, "bodies/json", "v1", INDEX, &body);
        assert!(
            (400..500).contains(&response.status),
            "{what}: {response:?}"
        );
    }
    assert_memory_is_bounded(&target);
}

#[test]
fn the_largest_manifests_many_at_a_time_fit_in_bounded_memory() {
    let target = Target::start();
    let body = with_value(&format!("\"{}\"", "x".repeat((4 << 20) - 1000)));
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                let response = put_manifest(&target.admin(), "bodies/many", "v1", OCI, &body);
                assert!(
                    matches!(response.status, 400 | 404 | 429 | 503),
                    "{response:?}"
                );
            });
        }
    });
    assert_memory_is_bounded(&target);
    assert_eq!(send(&target.admin(), "GET", "/v2/", &[], &[]).status, 200);
}

#[test]
fn a_chunked_body_without_end_is_cut_on_every_route() {
    let target = Target::with(&[("LAZULI_LIMITS_BLOB_BYTES", "8MiB")]);
    let admin = target.admin();
    let credentials = format!(
        "Authorization: {}\r\n",
        lazuli_testkit::server::basic("lazuli", lazuli_testkit::server::PASSWORD)
    );
    let digest = sha256(b"anything");
    let upload = start_upload(&admin, "bodies/endless");
    // What an early answer lets a client still send is thrown away, a while and no longer.
    let cases = [
        (
            "PUT",
            "/v2/bodies/endless/manifests/v1".to_owned(),
            &[413][..],
        ),
        (
            "PUT",
            format!("/v2/bodies/endless/manifests/{digest}"),
            &[413],
        ),
        (
            "POST",
            format!("/v2/bodies/endless/blobs/uploads/?digest={digest}"),
            &[413],
        ),
        ("PATCH", upload.clone(), &[413]),
        (
            "PUT",
            with_query(
                &start_upload(&admin, "bodies/endless"),
                &format!("digest={digest}"),
            ),
            &[413],
        ),
        (
            "POST",
            "/v2/bodies/endless/blobs/uploads/".to_owned(),
            &[202, 400, 413],
        ),
        (
            "POST",
            format!("/v2/bodies/endless/blobs/uploads/?mount={digest}&from=a"),
            &[202, 400, 413],
        ),
        (
            "DELETE",
            "/v2/bodies/endless/manifests/v1".to_owned(),
            &[400, 404, 413],
        ),
        (
            "DELETE",
            start_upload(&admin, "bodies/endless"),
            &[204, 400, 413],
        ),
        ("POST", "/oauth2/token".to_owned(), &[413]),
        ("POST", "/oauth2/exchange".to_owned(), &[413]),
        ("GET", "/v2/".to_owned(), &[400]),
        ("POST", "/healthz".to_owned(), &[405]),
        ("PUT", "/metrics".to_owned(), &[405]),
        ("POST", "/no/such/route".to_owned(), &[404]),
    ];
    std::thread::scope(|scope| {
        for (method, path, statuses) in &cases {
            let (target, credentials) = (&target, &credentials);
            scope.spawn(move || {
                let (status, sent) = send_without_end(target, method, path, credentials);
                assert!(
                    statuses.contains(&status),
                    "{method} {path}: {status} after {sent} bytes"
                );
            });
        }
    });
    assert_memory_is_bounded(&target);
    // What was cut is nowhere, and the session takes nothing half.
    assert_eq!(
        send(
            &admin,
            "GET",
            &format!("/v2/bodies/endless/blobs/{digest}"),
            &[],
            &[]
        )
        .status,
        404
    );
    assert_eq!(
        send(&admin, "GET", "/v2/bodies/endless/tags/list", &[], &[]).status,
        404
    );
}

#[test]
fn a_body_without_end_from_somebody_without_rights_is_refused_unread() {
    let target = Target::start();
    let digest = sha256(b"anything");
    for (method, path) in [
        ("PUT", "/v2/bodies/endless/manifests/v1".to_owned()),
        (
            "POST",
            format!("/v2/bodies/endless/blobs/uploads/?digest={digest}"),
        ),
        (
            "PATCH",
            "/v2/bodies/endless/blobs/uploads/0a8a2c9e-5b1f-4c1e-9a3d-0123456789ab".to_owned(),
        ),
    ] {
        let (status, _) = send_without_end(&target, method, &path, "");
        assert_eq!(status, 401, "{method} {path}");
    }
    assert_memory_is_bounded(&target);
}

#[test]
fn an_announced_length_beyond_the_limit_is_refused_before_a_byte_is_sent() {
    let target = Target::with(&[("LAZULI_LIMITS_BLOB_BYTES", "1MiB")]);
    let admin = target.admin();
    let digest = sha256(b"anything");
    let upload = start_upload(&admin, "bodies/large");
    for length in ["4194305", "99999999999", "9223372036854775807"] {
        for (method, path) in [
            ("PUT", "/v2/bodies/large/manifests/v1".to_owned()),
            (
                "POST",
                format!("/v2/bodies/large/blobs/uploads/?digest={digest}"),
            ),
            ("PATCH", upload.clone()),
            ("PUT", with_query(&upload, &format!("digest={digest}"))),
            ("POST", "/oauth2/token".to_owned()),
        ] {
            let response = send(&admin, method, &path, &[("Content-Length", length)], &[]);
            assert_eq!(response.status, 413, "{method} {path} {length}");
            assert_eq!(response.header("connection"), Some("close"));
        }
    }
    assert_memory_is_bounded(&target);
}

#[test]
fn a_blob_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
    let target = Target::with(&[("LAZULI_LIMITS_BLOB_BYTES", "1MiB")]);
    let client = bearer(&target, "repository:bodies/limit:pull,push");
    for (length, status) in [(1 << 20, 201), ((1 << 20) + 1, 413)] {
        let content = vec![7; length];
        let path = format!(
            "/v2/bodies/limit/blobs/uploads/?digest={}",
            sha256(&content)
        );
        for headers in [&[][..], &[("Transfer-Encoding", "chunked")]] {
            let response = client.try_send("POST", &path, headers, &content);
            // A client that cannot send all of it may find the connection closed.
            if let Ok(response) = response {
                assert_eq!(response.status, status, "{length} {headers:?}");
            } else {
                assert_eq!(status, 413);
            }
        }
        // By chunks, the sum counts.
        let upload = start_upload(&client, "bodies/limit");
        let range = format!("0-{}", (1 << 19) - 1);
        let half = &content[..1 << 19];
        assert_eq!(
            send(
                &client,
                "PATCH",
                &upload,
                &[("Content-Range", &range)],
                half
            )
            .status,
            202
        );
        let rest = with_query(&upload, &format!("digest={}", sha256(&content)));
        assert_eq!(
            send(&client, "PUT", &rest, &[], &content[1 << 19..]).status,
            status
        );
    }
}

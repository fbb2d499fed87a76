//! Push of blobs: U01–U15.

use lazuli_testkit::http::Connection;

use crate::support::*;

#[test]
fn u01_invalid_digest_or_unsupported_algorithm_is_400_digest_invalid() {
    let name = repository();
    for bad in [
        "sha256:abc",
        "nonsense",
        "sha256:",
        "",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        &format!("sha256:{}", "G".repeat(64)),
    ] {
        let target = with_query(&start(&name), &format!("digest={bad}"));
        refused(
            &admin().send("PUT", &target, &[OCTETS], b"x"),
            400,
            "DIGEST_INVALID",
        );
        let single = format!("/v2/{name}/blobs/uploads/?digest={bad}");
        if !bad.is_empty() {
            refused(
                &admin().send("POST", &single, &[OCTETS], b"x"),
                400,
                "DIGEST_INVALID",
            );
        }
    }
    let blake3 = format!("blake3:{}", "a".repeat(64));
    refused(
        &admin().send(
            "PUT",
            &with_query(&start(&name), &format!("digest={blake3}")),
            &[OCTETS],
            b"x",
        ),
        400,
        "DIGEST_INVALID",
    );
    let target = start(&name);
    refused(
        &admin().send("PUT", &target, &[OCTETS], b"x"),
        400,
        "DIGEST_INVALID",
    );
}

#[test]
fn u02_post_uploads_is_202_with_a_location() {
    let response = admin().send(
        "POST",
        &format!("/v2/{}/blobs/uploads/", repository()),
        &[],
        &[],
    );
    assert_eq!(response.status, 202);
    assert!(location(&response).contains("/blobs/uploads/"));
}

#[test]
fn u03_location_carries_a_unique_session_id() {
    let name = repository();
    let ids: std::collections::HashSet<String> = (0..20)
        .map(|_| {
            let response = admin().send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], &[]);
            let id = response.header("docker-upload-uuid").unwrap().to_owned();
            assert_eq!((id.len(), id.matches('-').count()), (36, 4), "{id}");
            assert!(location(&response).contains(&id));
            id
        })
        .collect();
    assert_eq!(ids.len(), 20);
}

#[test]
fn u04_put_with_digest_is_201_with_a_pullable_location() {
    let name = repository();
    for content in [bytes(0), bytes(2), bytes(100_000)] {
        let response = put_blob(&name, &content, &sha256(&content));
        assert_eq!(response.status, 201);
        assert_eq!(
            response.header("docker-content-digest"),
            Some(sha256(&content).as_str())
        );
        assert!(admin().get(&location(&response)).body == content);
    }
}

#[test]
fn u05_single_post_with_digest_is_201() {
    let name = repository();
    for content in [bytes(0), bytes(30), bytes(100_000)] {
        for digest in [sha256(&content), sha512(&content)] {
            let response = admin().send(
                "POST",
                &format!("/v2/{name}/blobs/uploads/?digest={digest}"),
                &[OCTETS],
                &content,
            );
            assert_eq!(response.status, 201);
            assert!(admin().get(&location(&response)).body == content);
        }
    }
}

#[test]
fn u06_content_that_does_not_match_its_digest_or_length_is_refused_and_nothing_stored() {
    let name = repository();
    for len in [20, 100_000] {
        let (content, wrong) = (bytes(len), sha256(b"other"));
        refused(&put_blob(&name, &content, &wrong), 400, "DIGEST_INVALID");
        let single = format!("/v2/{name}/blobs/uploads/?digest={wrong}");
        refused(
            &admin().send("POST", &single, &[OCTETS], &content),
            400,
            "DIGEST_INVALID",
        );
        let chunked = location(&patch(&start(&name), 0, &content));
        refused(
            &admin().send(
                "PUT",
                &with_query(&chunked, &format!("digest={wrong}")),
                &[],
                &[],
            ),
            400,
            "DIGEST_INVALID",
        );
        let streamed = admin().send(
            "PATCH",
            &start(&name),
            &[OCTETS, ("Transfer-Encoding", "chunked")],
            &content,
        );
        let streamed = with_query(&location(&streamed), &format!("digest={wrong}"));
        refused(
            &admin().send("PUT", &streamed, &[], &[]),
            400,
            "DIGEST_INVALID",
        );
        for digest in [&wrong, &sha256(&content)] {
            assert_eq!(
                admin().head(&format!("/v2/{name}/blobs/{digest}")).status,
                404
            );
        }
        // A body shorter than its Content-Length: the connection ends first.
        let mut connection = Connection::open(server().http()).unwrap();
        let target = with_query(&start(&name), &format!("digest={}", sha256(&content)));
        let authorization =
            lazuli_testkit::server::basic("lazuli", lazuli_testkit::server::PASSWORD);
        let head = format!(
            "PUT {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: {}\r\n\r\n",
            len + 1
        );
        connection.write(head.as_bytes()).unwrap();
        connection.write(&content).unwrap();
        drop(connection);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(
            admin()
                .head(&format!("/v2/{name}/blobs/{}", sha256(&content)))
                .status,
            404
        );
    }
}

#[test]
fn u07_a_chunked_session_starts_with_an_empty_post() {
    let name = repository();
    let response = admin().send(
        "POST",
        &format!("/v2/{name}/blobs/uploads/"),
        &[("Content-Length", "0")],
        &[],
    );
    assert_eq!(response.status, 202);
    assert_eq!(patch(&location(&response), 0, b"abc").status, 202);
}

#[test]
fn u08_digest_algorithm_is_honoured_and_an_unsupported_one_refused() {
    let name = repository();
    let content = bytes(50_000);
    let response = admin().send(
        "POST",
        &format!("/v2/{name}/blobs/uploads/?digest-algorithm=sha512"),
        &[],
        &[],
    );
    assert_eq!(response.status, 202);
    let next = location(&patch(&location(&response), 0, &content));
    let done = admin().send(
        "PUT",
        &with_query(&next, &format!("digest={}", sha512(&content))),
        &[],
        &[],
    );
    assert_eq!(done.status, 201);
    for bad in ["md5", "sha3", "SHA256", ""] {
        let response = admin().send(
            "POST",
            &format!("/v2/{name}/blobs/uploads/?digest-algorithm={bad}"),
            &[],
            &[],
        );
        refused(&response, 400, "DIGEST_INVALID");
    }
}

#[test]
fn u09_no_minimum_chunk_length_is_announced_and_none_is_needed() {
    let name = repository();
    let response = admin().send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], &[]);
    assert_eq!(response.header("oci-chunk-min-length"), None);
    let mut target = location(&response);
    for (i, byte) in b"one".iter().enumerate() {
        let response = patch(&target, i, &[*byte]);
        assert_eq!(response.status, 202);
        target = location(&response);
    }
    assert_eq!(
        admin()
            .send(
                "PUT",
                &with_query(&target, &format!("digest={}", sha256(b"one"))),
                &[],
                &[]
            )
            .status,
        201
    );
}

#[test]
fn u10_content_range_is_start_to_end_inclusive_and_bad_syntax_is_refused() {
    let name = repository();
    for bad in [
        "0",
        "a-b",
        "-",
        "0-",
        "-5",
        "5-0",
        "0--1",
        "0-1-2",
        "99999999999999999999-99999999999999999999",
    ] {
        let target = start(&name);
        let response = admin().send(
            "PATCH",
            &target,
            &[OCTETS, ("Content-Range", bad)],
            b"abcdef",
        );
        refused(&response, 400, "BLOB_UPLOAD_INVALID");
    }
    let response = admin().send(
        "PATCH",
        &start(&name),
        &[OCTETS, ("Content-Range", "0-9")],
        b"abc",
    );
    // A length that lies.
    refused(&response, 400, "SIZE_INVALID");
    assert_eq!(patch(&start(&name), 0, b"abc").status, 202);
}

#[test]
fn u11_patch_is_202_with_location_and_range() {
    let name = repository();
    let first = patch(&start(&name), 0, &bytes(100));
    assert_eq!((first.status, first.header("range")), (202, Some("0-99")));
    let second = patch(&location(&first), 100, &bytes(9000));
    assert_eq!(
        (second.status, second.header("range")),
        (202, Some("0-9099"))
    );
    let streamed = admin().send(
        "PATCH",
        &location(&second),
        &[OCTETS, ("Transfer-Encoding", "chunked")],
        &bytes(900),
    );
    assert_eq!(
        (streamed.status, streamed.header("range")),
        (202, Some("0-9999"))
    );
}

#[test]
fn u12_an_out_of_order_chunk_is_416_and_the_session_is_unharmed() {
    let name = repository();
    let content = bytes(6000);
    let target = start(&name);
    let early = patch(&target, 3000, &content[3000..]);
    refused(&early, 416, "BLOB_UPLOAD_INVALID");
    assert_eq!(early.header("range"), Some("0-0"));
    let target = location(&patch(&target, 0, &content[..3000]));
    for wrong in [0, 2999, 3001, 4000] {
        let response = patch(&target, wrong, &content[3000..]);
        refused(&response, 416, "BLOB_UPLOAD_INVALID");
        assert_eq!(response.header("range"), Some("0-2999"));
        assert!(response.header("location").is_some());
    }
    let target = location(&patch(&target, 3000, &content[3000..]));
    assert_eq!(
        admin()
            .send(
                "PUT",
                &with_query(&target, &format!("digest={}", sha256(&content))),
                &[],
                &[]
            )
            .status,
        201
    );
}

#[test]
fn u13_session_status_is_204_with_location_and_range() {
    let name = repository();
    let target = start(&name);
    let fresh = admin().get(&target);
    assert_eq!((fresh.status, fresh.header("range")), (204, Some("0-0")));
    let target = location(&patch(&location(&fresh), 0, &bytes(5000)));
    let status = admin().get(&target);
    assert_eq!(
        (status.status, status.header("range"), status.body.len()),
        (204, Some("0-4999"), 0)
    );
    assert!(status.header("docker-upload-uuid").is_some());
    assert_eq!(patch(&location(&status), 5000, b"x").status, 202);
}

#[test]
fn u14_the_last_chunk_comes_by_patch_or_by_the_closing_put() {
    let name = repository();
    for last_by_put in [false, true] {
        for sizes in [[10, 10, 10], [1000, 2000, 3000], [70_000, 1, 70_000]] {
            let content = bytes(sizes.iter().sum());
            let digest = sha256(&content);
            let (mut target, mut at) = (start(&name), 0);
            for (i, size) in sizes.into_iter().enumerate() {
                let chunk = &content[at..at + size];
                if i == 2 && last_by_put {
                    let range = format!("{at}-{}", at + size - 1);
                    let target = with_query(&target, &format!("digest={digest}"));
                    let response =
                        admin().send("PUT", &target, &[OCTETS, ("Content-Range", &range)], chunk);
                    assert_eq!(response.status, 201, "{response:?}");
                } else {
                    target = location(&patch(&target, at, chunk));
                }
                at += size;
            }
            if !last_by_put {
                assert_eq!(
                    admin()
                        .send(
                            "PUT",
                            &with_query(&target, &format!("digest={digest}")),
                            &[],
                            &[]
                        )
                        .status,
                    201
                );
            }
            assert!(admin().get(&format!("/v2/{name}/blobs/{digest}")).body == content);
        }
    }
}

#[test]
fn u15_an_out_of_order_final_put_is_416() {
    let name = repository();
    let content = bytes(6000);
    let target = location(&patch(&start(&name), 0, &content[..3000]));
    let finish = with_query(&target, &format!("digest={}", sha256(&content)));
    let response = admin().send(
        "PUT",
        &finish,
        &[OCTETS, ("Content-Range", "3001-5999")],
        &content[3001..],
    );
    refused(&response, 416, "BLOB_UPLOAD_INVALID");
    let response = admin().send(
        "PUT",
        &finish,
        &[OCTETS, ("Content-Range", "3000-5999")],
        &content[3000..],
    );
    assert_eq!(response.status, 201);
}

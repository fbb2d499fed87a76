//! Duties of one server, which the other targets leave out: some need settings of their own, some look into the data folder, and a
//! proxy answers one request itself.

use lazuli_testkit::server::Server;

use crate::support::*;

/// nginx refuses TRACE itself.
#[test]
fn g02_trace_is_405_with_allow() {
    let name = repository();
    push_image(&name, "v1");
    let target = format!("/v2/{name}/manifests/v1");
    let response = admin().send("TRACE", &target, &[], &[]);
    refused(&response, 405, "UNSUPPORTED");
    let allow = response.header("allow").unwrap();
    assert!(!allow.contains("TRACE"), "{allow}");
}

#[test]
fn u16_the_bytes_of_a_deleted_session_are_freed() {
    let target = start(&repository());
    let target = location(&patch(&target, 0, &bytes(123_457)));
    let kept = || {
        let uploads = std::fs::read_dir(server().data().join("uploads"));
        let sizes = uploads
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len());
        sizes.filter(|size| *size == 123_457).count()
    };
    assert_eq!(kept(), 1);
    assert_eq!(admin().delete(&target).status, 204);
    assert_eq!(kept(), 0);
}

#[test]
fn g05_too_many_requests_are_429_with_retry_after() {
    let limits = [
        ("LAZULI_LIMITS_REQUESTS_PER_SECOND", "1"),
        ("LAZULI_LIMITS_REQUESTS_BURST", "3"),
    ];
    let server = Server::start(env!("CARGO_BIN_EXE_lazuli"), &limits);
    let answers: Vec<_> = (0..10).map(|_| server.admin().get("/v2/")).collect();
    let limited: Vec<_> = answers.iter().filter(|r| r.status == 429).collect();
    assert!(limited.len() >= 5, "{answers:?}");
    for response in limited {
        refused(response, 429, "TOOMANYREQUESTS");
        assert!(
            response
                .header("retry-after")
                .and_then(|v| v.parse::<u32>().ok())
                .is_some_and(|s| s >= 1)
        );
    }
}

#[test]
fn u17_abandoned_sessions_time_out() {
    let server = Server::start(
        env!("CARGO_BIN_EXE_lazuli"),
        &[("LAZULI_UPLOADS_EXPIRY", "1s")],
    );
    let response = server
        .admin()
        .send("POST", "/v2/a/blobs/uploads/", &[], &[]);
    let response = server
        .admin()
        .send("PATCH", &location(&response), &[OCTETS], &bytes(100));
    assert_eq!(response.status, 202);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    refused(
        &server.admin().get(&location(&response)),
        404,
        "BLOB_UPLOAD_UNKNOWN",
    );
}

#[test]
fn x01_x03_x06_deletion_can_be_switched_off_and_is_then_405() {
    let server = Server::start(
        env!("CARGO_BIN_EXE_lazuli"),
        &[("LAZULI_DELETE_ENABLED", "false")],
    );
    let digest = sha256(b"x");
    for target in [
        "manifests/v1",
        &format!("manifests/{digest}"),
        &format!("blobs/{digest}"),
    ] {
        let response = server.admin().delete(&format!("/v2/a/{target}"));
        refused(&response, 405, "UNSUPPORTED");
        assert!(response.header("allow").is_some());
        assert!(String::from_utf8_lossy(&response.body).contains("delete.enabled"));
    }
}

#[test]
fn pushing_a_blob_whose_stored_bytes_changed_heals_it() {
    let server = Server::start(env!("CARGO_BIN_EXE_lazuli"), &[]);
    let content = bytes(50_000);
    let digest = sha256(&content);
    let push = || {
        server.admin().send(
            "POST",
            &format!("/v2/a/blobs/uploads/?digest={digest}"),
            &[OCTETS],
            &content,
        )
    };
    assert_eq!(push().status, 201);
    let mut folders = vec![server.data().join("blobs")];
    let mut changed = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.metadata().unwrap() {
                found if found.is_dir() => folders.push(entry.path()),
                found if found.len() == 50_000 => {
                    let mut stored = std::fs::read(entry.path()).unwrap();
                    stored[25_000] ^= 1;
                    std::fs::write(entry.path(), stored).unwrap();
                    changed += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!(changed, 1);
    assert!(
        server.admin().get(&format!("/v2/a/blobs/{digest}")).body != content,
        "the damage is real"
    );
    assert_eq!(push().status, 201);
    assert!(server.admin().get(&format!("/v2/a/blobs/{digest}")).body == content);
}

#[test]
fn an_aborted_upload_of_a_fresh_session_leaves_no_bytes() {
    let server = Server::start(env!("CARGO_BIN_EXE_lazuli"), &[]);
    let target = location(
        &server
            .admin()
            .send("POST", "/v2/a/blobs/uploads/", &[], &[]),
    );
    let target = with_query(&target, &format!("digest={}", sha256(b"x")));
    let authorization = lazuli_testkit::server::basic("lazuli", lazuli_testkit::server::PASSWORD);
    let mut connection = lazuli_testkit::http::Connection::open(server.http()).unwrap();
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 9000000\r\n\r\n"
    );
    connection.write(head.as_bytes()).unwrap();
    connection.write(&bytes(3_000_000)).unwrap();
    drop(connection);
    let left = || {
        std::fs::read_dir(server.data().join("uploads"))
            .unwrap()
            .count()
    };
    for _ in 0..200 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        if left() == 0 {
            return;
        }
    }
    panic!("{} files are left", left());
}

//! Lengths that lie, in both directions.

use std::io::Write as _;
use std::net::Shutdown;
use std::time::Duration;

use lazuli_testkit::server::{PASSWORD, basic};

use crate::support::{OCI, Raw, Target, image, send, sha256, start_upload, with_query};

fn head(target: &Target, method: &str, path: &str, length: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Type: {OCI}\r\nContent-Length: {length}\r\n\r\n",
        target.host(),
        basic("lazuli", PASSWORD)
    )
}

/// Routes that take a body, and whether anything there is there afterwards.
fn routes(target: &Target, digest: &str) -> Vec<(&'static str, String)> {
    let upload = start_upload(&target.admin(), "lengths/app");
    vec![
        (
            "POST",
            format!("/v2/lengths/app/blobs/uploads/?digest={digest}"),
        ),
        ("PUT", with_query(&upload, &format!("digest={digest}"))),
        ("PUT", "/v2/lengths/app/manifests/v1".to_owned()),
    ]
}

fn assert_nothing_stored(target: &Target, digest: &str, what: &str) {
    let admin = target.admin();
    for path in [
        format!("/v2/lengths/app/blobs/{digest}"),
        "/v2/lengths/app/manifests/v1".to_owned(),
    ] {
        assert_eq!(
            send(&admin, "GET", &path, &[], &[]).status,
            404,
            "{what}: {path}"
        );
    }
}

#[test]
fn a_body_shorter_than_announced_stores_nothing() {
    let target = Target::start();
    let content = image(b"{}", b"layer", "");
    let digest = sha256(content.as_bytes());
    for more in [1, 1000, 3_000_000] {
        for (method, path) in routes(&target, &digest) {
            let mut stream = target.connect();
            let request =
                head(&target, method, &path, &(content.len() + more).to_string()) + &content;
            stream.write_all(request.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let raw = Raw::read(&mut stream, Duration::from_secs(5));
            assert!(raw.is_closed, "{method} {path}");
            assert!(
                raw.statuses()
                    .iter()
                    .all(|status| (400..500).contains(status)),
                "{raw:?}"
            );
        }
        assert_nothing_stored(&target, &digest, "shorter");
    }
}

#[test]
fn a_body_longer_than_announced_stores_nothing_and_its_rest_is_no_request_that_counts() {
    let target = Target::start();
    let content = image(b"{}", b"layer", "");
    let digest = sha256(content.as_bytes());
    for (method, path) in routes(&target, &digest) {
        let request = head(&target, method, &path, &(content.len() - 7).to_string()) + &content;
        let raw = target.raw(request.as_bytes());
        assert!(
            raw.is_closed && !raw.statuses().is_empty(),
            "{method} {path}: {raw:?}"
        );
        assert!(
            raw.statuses()
                .iter()
                .all(|status| (400..500).contains(status)),
            "{raw:?}"
        );
    }
    assert_nothing_stored(&target, &digest, "longer");
}

#[test]
fn a_chunked_body_with_lying_chunks_stores_nothing() {
    let target = Target::start();
    let content = "some content";
    let digest = sha256(content.as_bytes());
    let path = format!("/v2/lengths/app/blobs/uploads/?digest={digest}");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        target.host(),
        basic("lazuli", PASSWORD)
    );
    for body in [
        format!("b\r\n{content}\r\n0\r\n\r\n"),
        format!("d\r\n{content}\r\n0\r\n\r\n"),
        format!("-c\r\n{content}\r\n0\r\n\r\n"),
        format!("+c\r\n{content}\r\n0\r\n\r\n"),
        format!("0xc\r\n{content}\r\n0\r\n\r\n"),
        format!("ffffffffffffffff\r\n{content}\r\n0\r\n\r\n"),
        format!("1000000000000000c\r\n{content}\r\n0\r\n\r\n"),
        format!("c\r\n{content}0\r\n\r\n"),
        format!("c\n{content}\n0\n\n"),
        format!("\r\n{content}\r\n0\r\n\r\n"),
        format!("c;{}\r\n{content}\r\n0\r\n\r\n", "x".repeat(1 << 20)),
        format!("c\r\n{content}\r\n0\r\n{}\r\n", "X: y\r\n".repeat(100_000)),
        format!("c\r\n{content}\r\n"),
    ] {
        let mut stream = target.connect();
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let raw = Raw::read(&mut stream, Duration::from_secs(5));
        assert!(raw.is_closed, "{body:.60}");
        assert!(
            raw.statuses()
                .iter()
                .all(|status| (400..500).contains(status)),
            "{body:.60}: {raw:?}"
        );
        assert_nothing_stored(&target, &digest, &body[..body.len().min(60)]);
    }
}

#[test]
fn lengths_that_are_no_numbers_are_refused_and_the_connection_closed() {
    let target = Target::start();
    for length in [
        "-1",
        "+5",
        "0x5",
        "5,5",
        "5 5",
        "5;",
        "",
        "五",
        "1e1",
        "18446744073709551616",
        "99999999999999999999999",
        "5\0",
    ] {
        for (method, path) in routes(&target, &sha256(b"some5")) {
            let request = head(&target, method, &path, length) + "some5";
            let raw = target.raw(request.as_bytes());
            assert_eq!(raw.statuses(), [400], "{length:?} {method} {path}: {raw:?}");
            assert!(raw.is_closed, "{length:?}");
        }
    }
}

#[test]
fn a_content_range_that_lies_leaves_the_upload_as_it_was() {
    let target = Target::start();
    let admin = target.admin();
    let upload = start_upload(&admin, "lengths/ranges");
    assert_eq!(
        send(
            &admin,
            "PATCH",
            &upload,
            &[("Content-Range", "0-3")],
            b"some"
        )
        .status,
        202
    );
    for range in [
        "4-3",
        "4-4",
        "4-8",
        "4-100",
        "0-3",
        "3-6",
        "5-8",
        "-4-7",
        "4--7",
        "4-",
        "-7",
        "4",
        "",
        "four-seven",
        "0x4-0x7",
        "4-18446744073709551615",
        "18446744073709551612-18446744073709551615",
        "99999999999999999999-99999999999999999999",
        "4-7-10",
        "4-7,8-9",
        "bytes 4-9/10",
        "bytes 0-3/8",
        "items 4-7/8",
    ] {
        for method in ["PATCH", "PUT"] {
            let path = with_query(&upload, &format!("digest={}", sha256(b"somemore")));
            let response = send(&admin, method, &path, &[("Content-Range", range)], b"more");
            assert!(
                matches!(response.status, 400 | 416),
                "{method} {range:?}: {response:?}"
            );
            let status = send(&admin, "GET", &upload, &[], &[]);
            assert_eq!(
                (status.status, status.header("range")),
                (204, Some("0-3")),
                "{method} {range:?}"
            );
        }
    }
    let twice = [("Content-Range", "4-7"), ("Content-Range", "4-7")];
    assert_eq!(send(&admin, "PATCH", &upload, &twice, b"more").status, 400);
    let path = with_query(&upload, &format!("digest={}", sha256(b"somemore")));
    assert_eq!(
        send(&admin, "PUT", &path, &[("Content-Range", "4-7")], b"more").status,
        201
    );
}
